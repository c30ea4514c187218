"""Speed and accuracy of `imaging.fit_galaxies` on a simulated exposure, beside Kron fluxes.

    python benchmarks/galaxy_models.py               # markdown; a frame of 9216 x 9232 pixels
    python benchmarks/galaxy_models.py --side 3000   # a part of it, for a first look

Stars, galaxies and noise come from csst-sim: 150 s in g, 124 galaxies per square arcminute to
i = 26. The PSF is that estimated from the stars. CPU times are those of this process, without
compilation.
"""

import argparse
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import astropy.units as u
import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from csst_imaging.stages.background import estimate_background
from csst_imaging.stages.detection import detect_sources
from csst_imaging.stages.galaxy_models import fit_galaxies
from csst_imaging.stages.photometry import measure_photometry
from csst_imaging.stages.psf import model_psf
from csst_sim.direct import shipped
from csst_sim.focal_plane import footprint
from csst_sim.plan import Exposure, Plan
from csst_sim.settings import DetectorRanges, Optics, Readout
from csst_sim.shot import Shot
from csst_sim.sky import draw_galaxies
from csst_sim.stages.scene import draw_scene
from csst_sim.stages.set_up import set_up
from csstcore.api import Image, Table
from csstcore.notes import collecting

DETECTOR, SECONDS, READ_NOISE_ELECTRON = 8, 150.0, 5.0
MAGNITUDES = (18, 20, 21, 22, 23, 24, 25)
NEIGHBOUR_FRACTION, NEIGHBOUR_SIGMA = 0.05, 0.3
"""A galaxy is isolated if other true sources within 2.5 half-light radii and 4 pixels have less
light than this part of its flux, and less than this part of the error of its model's flux."""

Floats = NDArray[np.float64]


@dataclass
class Frame:
    """An exposure in electrons with its truth."""

    image: Image
    galaxies: QTable
    """Galaxies on the detector: x, y, flux, mag, radius, axis ratio, bulge, light of neighbours."""


def simulate(side: int) -> Frame:
    """Draw a frame of at most the detector's size."""
    exposure = Exposure(obs_id="10100000001", time=datetime(2027, 5, 1, tzinfo=UTC))
    readout = shipped("readout_9560x9264.toml", Readout)
    readout = replace(
        readout,
        channel_columns=min(side // 8, readout.channel_columns),
        channel_rows=min(side // 2, readout.channel_rows),
    )
    plan = Plan("galaxies", "imaging", (exposure,), readout.readout, (DETECTOR,))
    ranges = shipped("msc_detector_ranges.toml", DetectorRanges)
    optics = shipped("msc_optics.toml", Optics)
    shot = set_up(plan, readout, ranges, optics, obs_id=exposure.obs_id, detector=DETECTOR)
    assert shot.filter is not None
    scene, truth = draw_scene(shot)
    rng = np.random.default_rng(3)
    expected = scene.data
    expected += np.float32(shot.filter.sky_electron_per_s)
    expected *= np.float32(SECONDS)
    data = rng.standard_normal(expected.shape, np.float32)
    data *= np.sqrt(expected + np.float32(READ_NOISE_ELECTRON**2))
    data += expected
    expected += np.float32(READ_NOISE_ELECTRON**2)
    flags = np.zeros(data.shape, np.uint16)
    image = Image(data, unit=u.electron, variance=expected, flags=flags)
    return Frame(image, true_galaxies(truth, shot))


def true_galaxies(truth: Table, shot: Shot) -> QTable:
    """Return the galaxies with their shapes."""
    ra, dec, radius = footprint(shot.exposure, DETECTOR, shot.optics, shot.readout)
    drawn = draw_galaxies(ra, dec, radius, shot.sky)
    drawn.sort("id")
    table = truth.table
    everything = cKDTree(np.column_stack([table["x"].value, table["y"].value]))
    light = table["flux"].value * SECONDS
    kept = np.asarray(table["type"]) == "galaxy"
    shapes = drawn[np.searchsorted(drawn["id"], table["id"][kept])]
    galaxies = QTable({name: table[name][kept].value for name in ("x", "y", "mag")})
    galaxies["flux"] = light[kept]
    galaxies["radius"] = shapes["half_light_radius"].value / shot.optics.pixel_scale_arcsec
    galaxies["axis_ratio"] = np.asarray(shapes["axis_ratio"])
    galaxies["bulge"] = np.asarray(shapes["bulge_fraction"])
    place = np.column_stack([galaxies["x"], galaxies["y"]])
    near = everything.query_ball_point(place, 2.5 * galaxies["radius"] + 4.0)
    galaxies["around"] = [light[list(found)].sum() for found in near] - galaxies["flux"]
    return galaxies


def timed(name: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a stage, print what it took."""
    cpu, wall = time.process_time(), time.perf_counter()
    result = function(*arguments)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"| {name} | {cpu:.1f} | {wall:.1f} | {peak:.0f} |", flush=True)
    return result, cpu


def scatter(values: Floats) -> str:
    """Return median and robust standard deviation."""
    low, middle, high = np.nanpercentile(values, [15.87, 50.0, 84.13])
    return f"{middle:+.3f} +- {(high - low) / 2:.3f}"


def compare(galaxies: QTable, catalog: QTable, models: QTable) -> None:
    """Print flux against truth and pulls by magnitude."""
    tree = cKDTree(np.column_stack([catalog["x"].value, catalog["y"].value]))
    distance, row = tree.query(np.column_stack([galaxies["x"], galaxies["y"]]))
    fitted = np.isfinite(models["flux_disk"].value[row]) & (distance < 1.0)
    error = models["flux_model_error"].value[row]
    alone = galaxies["around"] < np.minimum(
        NEIGHBOUR_FRACTION * galaxies["flux"], NEIGHBOUR_SIGMA * error
    )
    by_light = np.argsort(-galaxies["flux"], kind="stable")
    first = np.zeros(len(galaxies), np.bool_)
    first[by_light[np.unique(row[by_light], return_index=True)[1]]] = True
    print(
        "\n| galaxies | mag | N | Kron | bulge + disk | Sersic | pull flux | pull Sersic | pull x "
        "| pull y | pull re disk | bulge part |\n|---" + "|---" * 11 + "|"
    )
    for isolated in (True, False):
        for low, high in pairwise(MAGNITUDES):
            chosen = fitted & first & (alone == isolated)
            chosen &= (galaxies["mag"] >= low) & (galaxies["mag"] < high)
            if np.count_nonzero(chosen) < 20:
                continue
            true, found = galaxies[chosen], models[row[chosen]]
            kron = catalog["flux_kron"].value[row[chosen]]
            cells = ["isolated" if isolated else "blended", f"{low}-{high}", str(len(true))]
            for flux in (kron, found["flux_model"].value, found["flux_sersic"].value):
                cells.append(scatter(flux / true["flux"] - 1.0))
            for name, other in (
                ("flux_model", "flux"), ("flux_sersic", "flux"), ("x_model", "x"),
                ("y_model", "y"), ("re_disk", "radius"),
            ):  # fmt: skip
                difference = found[name].value - true[other]
                cells.append(scatter(difference / found[f"{name}_error"].value))
            cells.append(scatter(1.0 - np.asarray(found["ratio_disk"]) - true["bulge"]))
            print("| " + " | ".join(cells) + " |")


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=20000, help="rows and columns at most")
    frame = simulate(parser.parse_args().side)
    image = frame.image
    print("| step | CPU s | wall s | largest resident set so far, MB |\n|---|---|---|---|")
    with collecting() as notes:
        background, _ = timed("estimate_background", estimate_background, image)
        sources, _ = timed("detect_sources", detect_sources, image, background)
        psf, _ = timed("model_psf", model_psf, image, sources, background)
        catalog, _ = timed("measure_photometry", measure_photometry, image, sources, background)
        few = Table(catalog.table[:50])
        timed("fit_galaxies, compilation", fit_galaxies, image, background, few, psf)
        models, cpu = timed("fit_galaxies", fit_galaxies, image, background, catalog, psf)
    number = int(notes.metrics["modelled_galaxies"])
    print(
        f"\n{number} galaxies of {len(catalog)} sources in {notes.metrics['model_groups']} groups:"
    )
    print(f"{number / cpu:.0f} galaxies per second of CPU time; PSF as Gaussians:")
    print(f"relative error {notes.metrics['psf_approximation_error']:.4f}")
    compare(frame.galaxies, catalog.table, models.table)


if __name__ == "__main__":
    main()
