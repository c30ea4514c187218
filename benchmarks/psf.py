"""The PSF model and PSF photometry beside psfex and source-extractor, on simulations with truth.

    python benchmarks/psf.py               # markdown; two frames of 9216 x 9232 pixels
    python benchmarks/psf.py --rows 2400   # a part of the detector

One frame has the same PSF everywhere, in the other it varies as in the simulated telescope. Photon
and read noise only, so that the drawn PSF is the truth. source-extractor and psfex (on the PATH)
get the same frame less its true sky.
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

from csst_imaging.psf.render import render_psf
from csst_imaging.psf.shape import adaptive_moments
from csst_imaging.stages.background import estimate_background
from csst_imaging.stages.detection import detect_sources
from csst_imaging.stages.psf import model_psf
from csst_imaging.stages.psf_photometry import measure_psf_photometry
from csst_sim.direct import shipped
from csst_sim.plan import parse_plan
from csst_sim.psf import shapes
from csst_sim.settings import DetectorRanges, Optics, Readout
from csst_sim.shot import Shot
from csst_sim.stages.scene import draw_scene
from csst_sim.stages.set_up import set_up
from csstcore.api import Image, Psf
from csstcore.notes import collecting

TIME_S, SKY_ELECTRON, READ_NOISE, FULL_WELL = 150.0, 33.0, 5.0, 90000.0
STAMP, PLACES = 25, 400
STAR_SIGNAL_TO_NOISE = {False: 55, True: 55}
"""SAMPLE_MINSN of psfex: about 1,400 stars, as many as the stage takes."""

EDGES = (5, 10, 20, 50, 100, 200, 1000)


def set_up_shot(rows: int, varies: bool) -> Shot:
    """Return the simulated exposure."""
    text = {
        "name": "psf",
        "kind": "imaging",
        "readout": "9560x9264",
        "detectors": [8],
        "instrument_seed": 20,
        "effects": {"psf_variation": varies},
        "exposure": [
            {"obs_id": "10100000001", "time": "2027-08-01T00:00:00", "exposure_time_s": TIME_S}
        ],
        "sky": {"seed": 20},
    }
    readout = replace(shipped("readout_9560x9264.toml", Readout), channel_rows=rows // 2)
    ranges = shipped("msc_detector_ranges.toml", DetectorRanges)
    optics = shipped("msc_optics.toml", Optics)
    plan = parse_plan(text, "the benchmark")
    return set_up(plan, readout, ranges, optics, obs_id="10100000001", detector=8)


def observe(shot: Shot, folder: Path) -> Rows:
    """Write a frame with true variance into `folder`; return the truth, fluxes in electrons."""
    scene, truth = draw_scene(shot)
    expected = scene.data * np.float32(TIME_S) + np.float32(SKY_ELECTRON)
    rng = np.random.default_rng(5)
    data = np.empty_like(expected)
    for row in range(0, len(data), 512):
        part = rng.poisson(expected[row : row + 512])
        data[row : row + 512] = part + rng.normal(0, READ_NOISE, part.shape)
    full = data > FULL_WELL
    np.minimum(data, np.float32(FULL_WELL), out=data)
    np.save(folder / "data.npy", data)
    np.save(folder / "variance.npy", expected + np.float32(READ_NOISE**2))
    np.save(folder / "flags.npy", full * np.uint16(8))
    fits.PrimaryHDU(data - np.float32(SKY_ELECTRON)).writeto(folder / "image.fits")
    table = Rows(truth.table)
    table["flux"] = np.asarray(table["flux"]) * TIME_S
    return table


def run_stages(folder: Path) -> None:
    """Measure the frame in `folder` twice (the first may compile); keep the second's figures."""
    planes = {name: np.load(folder / f"{name}.npy") for name in ("data", "variance", "flags")}
    image = Image(unit=u.electron, **planes)
    background = estimate_background(image)
    sources = detect_sources(image, background)
    figures = {}
    for _ in range(2):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        clocks = [(time.perf_counter(), time.process_time())]
        with collecting() as notes:
            psf = model_psf(image, sources, background)
        clocks.append((time.perf_counter(), time.process_time()))
        catalog = measure_psf_photometry(image, sources, background, psf)
        clocks.append((time.perf_counter(), time.process_time()))
        for name, (first, last) in zip(("psf", "photometry"), pairwise(clocks), strict=True):
            figures[name] = [last[0] - first[0], last[1] - first[1]]
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        figures.setdefault("memory", (after - before) / 1024)
    figures["stars"] = notes.metrics["psf_stars_accepted"]
    figures["degree"] = psf.degree
    np.savez(folder / "psf.npz", samples=psf.samples, zero=psf.zero, scale=psf.scale,
             step=psf.step_pixel, degree=psf.degree)  # fmt: skip
    names = ("x", "y", "x_psf", "y_psf", "x_psf_error", "y_psf_error", "flux_psf",
             "flux_psf_error", "spread_model", "spread_model_error")  # fmt: skip
    np.savez(folder / "ours.npz", **{name: np.asarray(catalog.table[name]) for name in names})
    (folder / "ours.json").write_text(json.dumps(figures))


def timed(words: list[str], folder: Path) -> list[float]:
    """Run a program; return wall and CPU seconds and memory in MB."""
    start = time.perf_counter()
    with open(folder / "program.log", "a") as log:
        child = subprocess.Popen(words, cwd=folder, stdout=log, stderr=log)
        _, status, used = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"{words[0]} failed: {(folder / 'program.log').read_text()[-2000:]}")
    wall = time.perf_counter() - start
    return [wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024]


def run_peers(folder: Path, minimum: float) -> tuple[list[float], list[float]]:
    """Run source-extractor and psfex on the frame; return their figures."""
    names = "XWIN_IMAGE YWIN_IMAGE VIGNET(35,35) FLUX_RADIUS SNR_WIN FLUX_APER(1) FLUXERR_APER(1) ELONGATION FLAGS"  # noqa: E501
    (folder / "se.param").write_text("\n".join(names.split()) + "\n")
    (folder / "empty").write_text("")
    settings = {
        "CATALOG_NAME": "se.cat", "CATALOG_TYPE": "FITS_LDAC", "PARAMETERS_NAME": "se.param",
        "FILTER": "N", "DETECT_THRESH": "2", "ANALYSIS_THRESH": "2", "DETECT_MINAREA": "4",
        "BACK_TYPE": "MANUAL", "BACK_VALUE": "0", "PHOT_APERTURES": "20", "GAIN": "1",
        "SATUR_LEVEL": str(FULL_WELL - SKY_ELECTRON - 10), "VERBOSE_TYPE": "QUIET",
    }  # fmt: skip
    words = [word for key, value in settings.items() for word in (f"-{key}", value)]
    extractor = timed(["source-extractor", "image.fits", "-c", "empty", *words], folder)
    settings = {
        "PSF_SIZE": "51,51", "PSFVAR_KEYS": "XWIN_IMAGE,YWIN_IMAGE", "PSFVAR_DEGREES": "2",
        "CENTER_KEYS": "XWIN_IMAGE,YWIN_IMAGE", "SAMPLE_MINSN": str(minimum), "NTHREADS": "1",
        "CHECKPLOT_TYPE": "NONE", "CHECKIMAGE_TYPE": "NONE", "WRITE_XML": "N",
        "VERBOSE_TYPE": "QUIET",
    }  # fmt: skip
    words = [word for key, value in settings.items() for word in (f"-{key}", value)]
    return extractor, timed(["psfex", "se.cat", "-c", "empty", *words], folder)


def read_psfex(path: Path) -> tuple[Psf, int]:
    """Return the PSF in a file of psfex, and the number of its stars."""
    with fits.open(path) as units:
        header, samples = units["PSF_DATA"].header, units["PSF_DATA"].data["PSF_MASK"][0]
    pair = [
        tuple(float(header[f"{name}{axis}"]) for axis in (1, 2)) for name in ("POLZERO", "POLSCAL")
    ]
    planes = np.ascontiguousarray(samples, np.float32)
    return Psf(planes, header["PSF_SAMP"], header["POLDEG1"], *pair), header["ACCEPTED"]


def true_stamps(shot: Shot, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return images of unit sources by the formula of the simulation."""
    parts = shapes(shot.psf, *shot.placement.field_position(x, y))
    pixel = np.arange(STAMP) - STAMP // 2
    column = pixel[None, None, :] - (x - np.floor(x + 0.5))[:, None, None]
    row = pixel[None, :, None] - (y - np.floor(y + 0.5))[:, None, None]
    total = np.zeros((len(x), STAMP, STAMP))
    for k in range(parts.fraction.shape[1]):
        xx, xy, yy, dx, dy, fraction = (
            part[:, k, None, None]
            for part in (parts.xx, parts.xy, parts.yy, parts.dx, parts.dy, parts.fraction)
        )
        determinant = xx * yy - xy**2
        a, b = column - dx, row - dy
        exponent = (yy * a**2 - 2 * xy * a * b + xx * b**2) / determinant
        total += fraction * np.exp(-0.5 * exponent) / (2 * np.pi * np.sqrt(determinant))
    return total


def against_truth(psf: Psf, shot: Shot) -> list[str]:
    """Return residual after re-centring, and rms errors of size and ellipticity, as cells."""
    rng = np.random.default_rng(2)
    x = rng.uniform(20, shot.readout.columns - 20, PLACES)
    y = rng.uniform(20, shot.readout.rows - 20, PLACES)
    made, true = render_psf(psf, x, y, STAMP).astype(float), true_stamps(shot, x, y)
    made *= (true.sum(axis=(1, 2)) / made.sum(axis=(1, 2)))[:, None, None]
    along_y, along_x = np.gradient(true, axis=(1, 2))
    residual = []
    for one, other, gy, gx in zip(made, true, along_y, along_x, strict=True):
        slopes = np.column_stack([gx.ravel(), gy.ravel()])
        rest = (one - other).ravel()
        rest = rest - slopes @ np.linalg.lstsq(slopes, rest, rcond=None)[0]
        residual.append(np.linalg.norm(rest) / np.linalg.norm(other))
    moments = [adaptive_moments(stamps.astype(np.float32), 1.0) for stamps in (made, true)]
    off = moments[0] - moments[1]
    size = np.sqrt(np.mean((off[:, 2] / moments[1][:, 2]) ** 2))
    e1, e2 = np.sqrt(np.mean(off[:, 3:] ** 2, axis=0))
    worst = np.max(np.abs(made - true)) / np.max(true)
    return [f"{np.median(residual):.4f}", f"{worst:.4f}", f"{100 * size:.3f} %",
            f"{e1:.5f}, {e2:.5f}"]  # fmt: skip


def photometry_rows(folder: Path, truth: Rows) -> list[str]:
    """Return a table of pulls, biases and centroids of isolated unsaturated stars."""
    found = dict(np.load(folder / "ours.npz"))
    peer = fits.getdata(folder / "se.cat", 2)
    at = np.column_stack([truth["x"], truth["y"]])
    flux = np.asarray(truth["flux"])
    near = cKDTree(at).query_pairs(12.0, output_type="ndarray")
    light = np.zeros(len(truth))
    np.add.at(light, near[:, 0], flux[near[:, 1]])
    np.add.at(light, near[:, 1], flux[near[:, 0]])
    good = (truth["type"].astype(str) == "star") & (np.asarray(truth["saturated"]) == 0)
    good &= light < 0.01 * flux
    distance, row = cKDTree(np.column_stack([found["x"], found["y"]])).query(at)
    far, other = cKDTree(np.column_stack([peer["XWIN_IMAGE"], peer["YWIN_IMAGE"]])).query(at)
    good &= (distance < 1.5) & np.isfinite(found["flux_psf"][row])
    mine = {name: values[row] for name, values in found.items()}
    ratio = flux / mine["flux_psf_error"]

    def spread(values: np.ndarray) -> float:
        return float(1.4826 * np.median(np.abs(values - np.median(values))))

    lines = []
    for low, high in pairwise(EDGES):
        use = good & (ratio > low) & (ratio < high)
        both = use & (far < 1.5)
        off_x, off_y = (mine[f"{axis}_psf"] - truth[axis] for axis in "xy")
        off_flux = mine["flux_psf"] - flux
        cells = [
            f"{low} to {high}", f"{np.count_nonzero(use)}",
            *(f"{spread(off[use] / mine[f'{name}_error'][use]):.2f}"
              for name, off in (("x_psf", off_x), ("y_psf", off_y), ("flux_psf", off_flux))),
            f"{100 * np.median(off_flux[use] / flux[use]):+.2f} %",
            f"{spread(off_x[both]):.4f}",
            f"{spread(mine['x'][both] - truth['x'][both]):.4f}",
            f"{spread(peer['XWIN_IMAGE'][other[both]] - truth['x'][both]):.4f}",
        ]  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def measure(varies: bool, rows: int) -> None:
    """Print the tables of one frame."""
    shot = set_up_shot(rows, varies)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        truth = observe(shot, folder)
        words = [sys.executable, __file__, "--stages", name]
        subprocess.run(words, check=True)
        ours = json.loads((folder / "ours.json").read_text())
        print(f"\nPSF {'varying over the field' if varies else 'the same everywhere'}:\n")
        print("| tool | stars | wall s | CPU s | residual | largest/peak | size | e1, e2 |")
        print("|---|---|---|---|---|---|---|---|")
        with np.load(folder / "psf.npz") as kept:
            psf = Psf(kept["samples"], float(kept["step"]), int(kept["degree"]),
                      tuple(kept["zero"]), tuple(kept["scale"]))  # fmt: skip
        cells = [f"{ours['stars']}", *(f"{value:.2f}" for value in ours["psf"])]
        print(f"| model_psf | {' | '.join(cells + against_truth(psf, shot))} |")
        if shutil.which("psfex") is None or shutil.which("source-extractor") is None:
            print("\npsfex and source-extractor are not installed")
            return
        extractor, psfex = run_peers(folder, STAR_SIGNAL_TO_NOISE[varies])
        peer, stars = read_psfex(folder / "se.psf")
        cells = [f"{stars}", *(f"{value:.1f}" for value in psfex[:2])]
        print(f"| psfex | {' | '.join(cells + against_truth(peer, shot))} |")
        print(f"\nsource-extractor, for psfex: {extractor[0]:.1f} s, CPU {extractor[1]:.1f} s; ")
        wall, cpu = ours["photometry"]
        print(f"measure_psf_photometry: {wall:.2f} s, CPU {cpu:.2f} s, {ours['memory']:.0f} MB\n")
        print("| S/N | stars | pull x | pull y | pull flux | bias | x, fit | window | XWIN |")
        print("|---|---|---|---|---|---|---|---|---|")
        print("\n".join(photometry_rows(folder, truth)), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=9232)
    parser.add_argument("--stages", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.stages is not None:
        run_stages(arguments.stages)
        return
    for varies in (False, True):
        measure(varies, arguments.rows)


if __name__ == "__main__":
    main()
