"""Background, detection and photometry beside source-extractor, on simulations with truth.

    python benchmarks/detection.py               # markdown; a frame of 9216 x 9232 pixels
    python benchmarks/detection.py --crowded     # a field of 3000 stars per square arcminute
    python benchmarks/detection.py --traps       # bright stars, with and without charge traps

The frames are those of csst-sim without cosmic rays and with a perfect flat. source-extractor
(on the PATH) gets the same variance plane, filter, thresholds, deblending and apertures.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.table import Table as Rows
from scipy.spatial import cKDTree

from csst_imaging.detection.filtering import gaussian_profile
from csst_imaging.stages.background import estimate_background
from csst_imaging.stages.detection import detect_sources
from csst_imaging.stages.photometry import APERTURE_RADII_PIXEL, measure_photometry
from csst_sim.direct import shipped
from csst_sim.effects.charge_transfer import to_raw_format
from csst_sim.plan import parse_plan
from csst_sim.settings import DetectorRanges, Optics, Readout
from csst_sim.shot import Shot
from csst_sim.stages.charge import apply_brighter_fatter, saturate, transfer
from csst_sim.stages.light import add_sky, expose
from csst_sim.stages.scene import draw_scene
from csst_sim.stages.set_up import set_up
from csstcore.api import Image
from csstcore.notes import collecting

TIME_S = 150.0
READ_NOISE = 5.0
MATCH_PIXEL = 3.0
APERTURE = 2
OFF = ("cosmic_rays", "prnu", "illumination", "shutter", "hot_pixels", "dead_pixels", "dark")


BRIGHT = {
    "stars_per_arcmin2": 40.0, "galaxies_per_arcmin2": 0.0, "star_g_mag": [16.5, 22.0],
    "star_slope": 0.01,
}  # fmt: skip
"""A sky for the pulls of bright stars."""


def observe(
    columns: int, rows: int, sky_settings: dict, seed: int, traps: bool = False
) -> tuple[Image, Rows]:
    """Return a calibrated frame in electrons per second, and its truth."""
    text = {
        "name": "detection",
        "kind": "imaging",
        "readout": "9560x9264",
        "detectors": [8],
        "instrument_seed": 20,
        "effects": dict.fromkeys(OFF, False),
        "exposure": [
            {"obs_id": "10100000001", "time": "2027-08-01T00:00:00", "exposure_time_s": TIME_S}
        ],
        "sky": {"seed": seed, **sky_settings},
    }
    plan = parse_plan(text, "the benchmark")
    readout = replace(
        shipped("readout_9560x9264.toml", Readout),
        channel_columns=columns // 8,
        channel_rows=rows // 2,
    )
    ranges = shipped("msc_detector_ranges.toml", DetectorRanges)
    optics = shipped("msc_optics.toml", Optics)
    shot = set_up(plan, readout, ranges, optics, obs_id="10100000001", detector=8)
    sky, truth = draw_scene(shot)
    rng = np.random.default_rng(seed)
    image = saturate(apply_brighter_fatter(expose(add_sky(sky, shot), shot, rng=rng), shot), shot)
    full = image.data > 0.98 * shot.device.full_well
    if traps:
        image = past_traps(image, shot)
    image.data += rng.normal(0.0, READ_NOISE, image.shape).astype(np.float32)
    variance = np.maximum(image.data, 0) + np.float32(READ_NOISE**2)
    image.data /= np.float32(TIME_S)
    flags = np.where(full, np.uint16(image.bit("saturated")), np.uint16(0))
    unit = u.electron / u.s
    variance /= np.float32(TIME_S**2)
    return replace(image, unit=unit, variance=variance, flags=flags), Rows(truth.table)


def past_traps(image: Image, shot: Shot) -> Image:
    """Return the active pixels after charge transfer that nothing corrects."""
    marks = np.mgrid[1 : image.shape[0] + 1, 1 : image.shape[1] + 1]
    row, column = (to_raw_format(axis.astype(np.float32), shot.readout).astype(int)
                   for axis in marks)  # fmt: skip
    active, inside = np.empty_like(image.data), row > 0
    active[row[inside] - 1, column[inside] - 1] = transfer(image, shot).data[inside]
    return replace(image, data=active)


def run_stages(folder: Path) -> None:
    """Measure the frame in `folder` twice (the first may compile); keep the second's figures."""
    planes = {name: np.load(folder / f"{name}.npy") for name in ("data", "variance", "flags")}
    image = Image(unit=u.electron / u.s, **planes)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    figures = {}
    for _ in range(2):
        clocks = [(time.perf_counter(), time.process_time())]
        background = estimate_background(image)
        clocks.append((time.perf_counter(), time.process_time()))
        sources = detect_sources(image, background)
        clocks.append((time.perf_counter(), time.process_time()))
        catalog = measure_photometry(image, sources, background)
        clocks.append((time.perf_counter(), time.process_time()))
        for name, first, last in zip(
            ("estimate_background", "detect_sources", "measure_photometry"),
            clocks, clocks[1:], strict=False,
        ):  # fmt: skip
            figures[name] = [last[0] - first[0], last[1] - first[1]]
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    figures["memory"] = [after / 1024, (after - before) / 1024]
    columns = (
        "x", "y", "x_error", "y_error", "flux_aperture", "flux_aperture_error", "flux_total",
        "flux_total_error", "flags", "converged",
    )  # fmt: skip
    np.savez(folder / "ours.npz", **{n: np.asarray(catalog.table[n]) for n in columns})
    (folder / "ours.json").write_text(json.dumps(figures))


def run_source_extractor(folder: Path) -> dict[str, list[float]]:
    """Run source-extractor on the frame in `folder`; return wall, CPU seconds and memory."""
    parameters = (
        "XWIN_IMAGE YWIN_IMAGE ERRX2WIN_IMAGE ERRY2WIN_IMAGE A_IMAGE B_IMAGE THETA_IMAGE "
        "FLUX_APER(12) FLUXERR_APER(12) FLUX_AUTO FLUXERR_AUTO FLUX_RADIUS FWHM_IMAGE FLAGS"
    )
    (folder / "se.param").write_text("\n".join(parameters.split()) + "\n")
    profile = gaussian_profile(2.0)
    kernel = "\n".join(" ".join(f"{v:.6f}" for v in row) for row in np.outer(profile, profile))
    (folder / "se.conv").write_text(f"CONV NORM\n{kernel}\n")
    (folder / "se.nnw").write_text("")
    diameters = ",".join(f"{2 * radius:g}" for radius in APERTURE_RADII_PIXEL)
    settings = {
        "CATALOG_NAME": "se.fits", "CATALOG_TYPE": "FITS_1.0", "PARAMETERS_NAME": "se.param",
        "FILTER": "Y", "FILTER_NAME": "se.conv", "DETECT_THRESH": "1.5", "ANALYSIS_THRESH": "1.5",
        "THRESH_TYPE": "RELATIVE", "DETECT_MINAREA": "4", "DEBLEND_NTHRESH": "32",
        "DEBLEND_MINCONT": "0.005", "BACK_SIZE": "256", "BACK_FILTERSIZE": "3",
        "WEIGHT_TYPE": "MAP_VAR", "WEIGHT_IMAGE": "variance.fits", "WEIGHT_GAIN": "N",
        "RESCALE_WEIGHTS": "N", "PHOT_APERTURES": diameters, "PHOT_FLUXFRAC": "0.2,0.5,0.9",
        "SATUR_LEVEL": "500", "GAIN": "0", "MASK_TYPE": "CORRECT", "VERBOSE_TYPE": "QUIET",
        "MEMORY_PIXSTACK": "3000000", "NTHREADS": "1",
    }  # fmt: skip
    words = [word for key, value in settings.items() for word in (f"-{key}", value)]
    program = shutil.which("source-extractor")
    (folder / "se.sex").write_text("")
    start = time.perf_counter()
    child = subprocess.Popen([program, "image.fits", "-c", "se.sex", *words], cwd=folder)
    _, _, used = os.wait4(child.pid, 0)
    wall = time.perf_counter() - start
    return {"all": [wall, used.ru_utime + used.ru_stime], "memory": [used.ru_maxrss / 1024]}


def read_source_extractor(folder: Path) -> dict[str, np.ndarray]:
    """Return its catalogue under our names."""
    rows = fits.getdata(folder / "se.fits", 1)
    return {
        "x": rows["XWIN_IMAGE"].astype(float),
        "y": rows["YWIN_IMAGE"].astype(float),
        "x_error": np.sqrt(rows["ERRX2WIN_IMAGE"].astype(float)),
        "y_error": np.sqrt(rows["ERRY2WIN_IMAGE"].astype(float)),
        "flux_aperture": rows["FLUX_APER"].astype(float),
        "flux_aperture_error": rows["FLUXERR_APER"].astype(float),
        "flags": rows["FLAGS"],
    }


def completeness(truth: Rows, found: dict, kind: str, edges: list[float]) -> list[str]:
    chosen = truth[truth["type"].astype(str) == kind]
    tree = cKDTree(np.column_stack([found["x"], found["y"]]))
    distance, _ = tree.query(np.column_stack([chosen["x"], chosen["y"]]))
    magnitude = np.asarray(chosen["mag"])
    cells = []
    for low, high in pairwise(edges):
        inside = (magnitude >= low) & (magnitude < high)
        cells.append(f"{np.mean(distance[inside] < MATCH_PIXEL):.3f}")
    return cells


def purity(truth: Rows, found: dict) -> str:
    tree = cKDTree(np.column_stack([truth["x"], truth["y"]]))
    distance, _ = tree.query(np.column_stack([found["x"], found["y"]]))
    return f"{np.mean(distance < MATCH_PIXEL):.4f}"


def isolated_stars(truth: Rows, found: dict, reach: float) -> tuple[Rows, np.ndarray]:
    """Return unsaturated stars that no neighbour disturbs, and their rows.

    The true light of the neighbours within reach is less than a hundredth of the flux and less
    than 0.3 of its error.
    """
    at = np.column_stack([truth["x"], truth["y"]])
    flux = np.asarray(truth["flux"])
    near = cKDTree(at).query_pairs(reach, output_type="ndarray")
    light = np.zeros(len(truth))
    np.add.at(light, near[:, 0], flux[near[:, 1]])
    np.add.at(light, near[:, 1], flux[near[:, 0]])
    good = (truth["type"].astype(str) == "star") & (np.asarray(truth["saturated"]) == 0)
    good &= light < np.minimum(0.01, 0.3 / np.asarray(truth["signal_to_noise"])) * flux
    distance, nearest = cKDTree(np.column_stack([found["x"], found["y"]])).query(at)
    good &= distance < 1.0
    return truth[good], nearest[good]


def scatter(truth: Rows, found: dict, edges: list[float]) -> tuple[list[str], list[str]]:
    """Return rms of the centroid (clipped) and scatter of the aperture flux by magnitude."""
    stars, row = isolated_stars(truth, found, 8.0)
    magnitude = np.asarray(stars["mag"])
    centroids, fluxes = [], []
    for low, high in pairwise(edges):
        chosen = (magnitude >= low) & (magnitude < high)
        offset = np.concatenate(
            [found[axis][row[chosen]] - np.asarray(stars[axis])[chosen] for axis in "xy"]
        )
        offset -= np.median(offset)
        centroids.append(f"{np.std(offset[np.abs(offset) < 0.5]):.4f}")
        ratio = found["flux_aperture"][row[chosen], APERTURE] / np.asarray(stars["flux"])[chosen]
        low_edge, middle, high_edge = np.percentile(ratio, [15.865, 50, 84.135])
        fluxes.append(f"{50 * (high_edge - low_edge) / middle:.2f}")
    return centroids, fluxes


def calibration(truth: Rows, found: dict, edges: list[float]) -> list[list[str]]:
    """Return pulls of position and flux, and the bias of the flux, of stars by signal to noise."""
    stars, row = isolated_stars(truth, found, 12.0)
    flux = np.asarray(stars["flux"])
    total, error = found["flux_total"][row], found["flux_total_error"][row]
    ratio = flux / error
    lines = []
    for low, high in pairwise(edges):
        chosen = (ratio >= low) & (ratio < high)
        if np.count_nonzero(chosen) < 30:
            continue
        cells = [f"{low:g} to {high:g}", str(np.count_nonzero(chosen))]
        for axis in "xy":
            offset = (found[axis][row] - np.asarray(stars[axis]))[chosen]
            cells += spread(offset / found[f"{axis}_error"][row][chosen])
        cells += spread(((total - flux) / error)[chosen])
        aperture = found["flux_aperture"][row, APERTURE]
        fraction = np.median((aperture / flux)[ratio > 50])
        noise = found["flux_aperture_error"][row, APERTURE]
        cells += spread(((aperture - fraction * flux) / noise)[chosen])
        cells.append(f"{100 * (np.median((total / flux)[chosen]) - 1):+.2f}")
        lines.append(cells)
    return lines


def spread(pull: np.ndarray) -> list[str]:
    """Return robust standard deviation and that within 5."""
    low, high = np.percentile(pull, [15.865, 84.135])
    return [f"{(high - low) / 2:.2f}", f"{np.std(pull[np.abs(pull) < 5]):.2f}"]


def bright_stars(traps: bool, seed: int) -> np.ndarray:
    """Return, of the stars of a quarter of a frame, what `compare_traps` prints.

    Rows: S/N without the error of the growth curve; pulls of x, y, flux_total, and of flux_total
    without that error; y away from the amplifier [millipixel] and its error.
    """
    columns, rows = 2304, 9232
    image, truth = observe(columns, rows, BRIGHT, seed, traps)
    with collecting() as notes:
        background = estimate_background(image)
        catalog = measure_photometry(image, detect_sources(image, background), background)
    found = {name: np.asarray(catalog.table[name]) for name in catalog.table.colnames}
    stars, row = isolated_stars(truth, found, 16.0)
    flux, y = np.asarray(stars["flux"]), np.asarray(stars["y"])
    total, error = found["flux_total"][row], found["flux_total_error"][row]
    used = APERTURE_RADII_PIXEL.index(notes.metrics["aperture_radius_pixel"])
    light, noise = (found[f"flux_aperture{end}"][row, used] for end in ("", "_error"))
    noise = noise * total / light
    y_error = found["y_error"][row]
    away = np.where(y > rows / 2, -1000.0, 1000.0) * (found["y"][row] - y)
    x_pull = (found["x"][row] - np.asarray(stars["x"])) / found["x_error"][row]
    flux_pulls = (total - flux) / error, (total - flux) / noise
    return np.stack(
        [flux / noise, x_pull, (found["y"][row] - y) / y_error, *flux_pulls, away, 1000 * y_error]
    )


def compare_traps(seed: int) -> None:
    """Print pulls of bright stars of six quarters of frames, without and with traps."""
    lines = []
    for traps in (False, True):
        stars = np.concatenate([bright_stars(traps, seed + k) for k in range(6)], axis=1)
        for low, high in pairwise([50, 100, 200, 400, 800]):
            chosen = stars[:, (stars[0] >= low) & (stars[0] < high)]
            weight = 1.0 / chosen[6] ** 2
            cells = ["yes" if traps else "no", f"{low} to {high}", str(chosen.shape[1])]
            cells += [", ".join(spread(pull)) for pull in chosen[1:5]]
            cells.append(f"{np.average(chosen[5], weights=weight):+.2f}")
            lines.append([*cells, f"{np.sum(weight) ** -0.5:.2f}"])
    titles = ["traps", "S/N", "stars", "x", "y", "total", "total, growth known"]
    table([*titles, "y from the amplifier, millipixel", "+-"], lines)


def table(titles: list[str], lines: list[list[str]]) -> None:
    print("\n| " + " | ".join(titles) + " |")
    print("|---" * len(titles) + "|")
    for line in lines:
        print("| " + " | ".join(line) + " |")


def compare(columns: int, rows: int, density: float, seed: int) -> None:
    image, truth = observe(columns, rows, {"stars_per_arcmin2": density}, seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for plane in ("data", "variance", "flags"):
            np.save(folder / f"{plane}.npy", getattr(image, plane))
        fits.writeto(folder / "image.fits", image.data)
        fits.writeto(folder / "variance.fits", image.variance)
        del image
        subprocess.run([sys.executable, __file__, "--stages", name], check=True)
        ours = json.loads((folder / "ours.json").read_text())
        found = {"ours": dict(np.load(folder / "ours.npz"))}
        used = {}
        if shutil.which("source-extractor"):
            used = run_source_extractor(folder)
            found["source-extractor"] = read_source_extractor(folder)
    memory = ours.pop("memory")
    lines = [[name, f"{wall:.2f}", f"{cpu:.2f}", ""] for name, (wall, cpu) in ours.items()]
    wall, cpu = np.sum(list(ours.values()), axis=0)
    lines.append(
        ["all three", f"{wall:.2f}", f"{cpu:.2f}", f"{memory[0]:.0f} ({memory[1]:.0f} more)"]
    )
    if used:
        lines.append(
            ["source-extractor", *(f"{v:.2f}" for v in used["all"]), f"{used['memory'][0]:.0f}"]
        )
    table(["", "wall s", "CPU s", "largest resident set, MB"], lines)
    stars, galaxies = [18.0, 22.0, 23.0, 24.0, 25.0, 25.5, 26.0], [20.0, 22.0, 23.0, 24.0, 25.0]
    titles = [f"{kind} {low:g}-{high:g}" for kind, edges in (("star", stars), ("galaxy", galaxies))
              for low, high in pairwise(edges)]  # fmt: skip
    lines = [
        [name, str(len(rows["x"])), purity(truth, rows),
         *completeness(truth, rows, "star", stars), *completeness(truth, rows, "galaxy", galaxies)]
        for name, rows in found.items()
    ]  # fmt: skip
    table(["found within 3 pixels", "sources", "purity", *titles], lines)
    edges = [18.5, 21.0, 23.0, 24.5]
    lines = [
        [name, *(cell for pair in zip(*scatter(truth, rows, edges), strict=True) for cell in pair)]
        for name, rows in found.items()
    ]
    titles = [f"{what} {low:g}-{high:g}" for low, high in pairwise(edges)
              for what in ("centroid pixel", "flux %")]  # fmt: skip
    table(["stars, scatter", *titles], lines)
    lines = calibration(truth, found["ours"], [5, 7, 10, 15, 25, 50, 100, 200, 400, 1000, 4000])
    titles = [f"{what} {how}" for what in ("x", "y", "total", "5 px") for how in ("robust", "std")]
    table(["S/N", "stars", *titles, "total, bias %"], lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--crowded", action="store_true", help="a small, dense field")
    parser.add_argument("--traps", action="store_true", help="bright stars and charge traps")
    parser.add_argument("--seed", type=int, default=77, help="seed of the sky and the noise")
    parser.add_argument("--stages", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.stages:
        run_stages(arguments.stages)
    elif arguments.traps:
        compare_traps(arguments.seed)
    elif arguments.crowded:
        compare(2048, 2048, 3000.0, arguments.seed)
    else:
        compare(9216, 9232, 70.0, arguments.seed)


if __name__ == "__main__":
    main()
