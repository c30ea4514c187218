"""What the simulator knows of an exposure, beside what the pipeline measured of it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.io import fits
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from csst_sim.direct import shot_of
from csst_sim.plan import read_plan
from csst_sim.stages.light import add_sky
from csst_sim.stages.scene import draw_scene
from csstcore.api import Image, NotApplicable

SATURATED, COSMIC_RAY = 8, 16


@dataclass
class Exposure:
    """Level 1 and truth of the demonstration's exposure."""

    folder: Path
    record: dict[str, Any]
    image: NDArray[np.float32]
    weight: NDArray[np.float32]
    flags: NDArray[np.uint16]
    header: fits.Header
    catalog: NDArray[Any]
    truth: NDArray[Any]
    deposit: NDArray[np.float32]


def load_exposure(folder: Path) -> Exposure:
    """Read everything of the exposure that the demonstration left in `folder`."""
    path = sorted((folder / "level1" / "runs").glob("*/jobs/*.json"))[-1]
    record = json.loads(path.read_text())
    paths = {item["definition"]: folder / "level1" / item["path"] for item in record["outputs"]}
    (truth,) = (folder / "exposure").rglob("*truth.fits")
    (deposit,) = (folder / "exposure").rglob("*cosmic_rays.fits")
    return Exposure(
        folder,
        record,
        fits.getdata(paths["msc.l1_image"], 1),
        fits.getdata(paths["msc.l1_weight"], 1),
        fits.getdata(paths["msc.l1_flags"], 1),
        fits.getheader(paths["msc.l1_image"], 1),
        fits.getdata(paths["msc.l1_catalog"], 1),
        fits.getdata(truth, 1),
        fits.getdata(deposit, 1),
    )


def pulls(exposure: Exposure) -> NDArray[np.float64]:
    """Return (measured - true) / sigma of source-free pixels that no cosmic ray touched.

    A pixel is source-free if the noiseless scene has less than half an electron in it.
    """
    _, (plan,) = read_plan(exposure.folder / "sky.toml")
    (entry,) = plan.exposure
    shot = shot_of(plan, entry.obs_id, plan.detectors[0])
    scene, _ = draw_scene(shot)
    assert scene.unit == u.electron / u.s
    sources_electron = scene.data * np.float32(entry.exposure_time_s)
    true = _with_sky(scene, shot).data
    usable = (sources_electron < 0.5) & (exposure.weight > 0) & (exposure.deposit < 0.1)
    difference = exposure.image[usable] - true[usable]
    return np.asarray(difference * np.sqrt(exposure.weight[usable]), np.float64)


def _with_sky(scene: Image, shot: Any) -> Image:
    try:
        return add_sky(scene, shot)
    except NotApplicable:
        return scene


def matched_stars(exposure: Exposure, signal_to_noise: float) -> tuple[Any, Any]:
    """Return truth and catalogue rows of unsaturated stars above a signal-to-noise ratio."""
    truth = exposure.truth
    stars = truth[
        (truth["type"] == "star")
        & (truth["saturated"] == 0)
        & (truth["signal_to_noise"] > signal_to_noise)
    ]
    tree = cKDTree(np.column_stack([exposure.catalog["X"], exposure.catalog["Y"]]))
    distance, index = tree.query(np.column_stack([stars["x"], stars["y"]]))
    near = distance < 1.0
    return stars[near], exposure.catalog[index[near]]


def position_residual_mas(stars: Any, found: Any) -> NDArray[np.float64]:
    """Return catalogue minus truth, east and north, shape (stars, 2)."""
    true = SkyCoord(stars["ra"], stars["dec"], unit="deg")
    east, north = true.spherical_offsets_to(SkyCoord(found["RA"], found["DEC"], unit="deg"))
    return np.column_stack([east.to_value("mas"), north.to_value("mas")])


def flux_bias_by_magnitude(
    stars: Any, found: Any, fewest: int = 300
) -> list[tuple[float, int, float]]:
    """Return (faint edge of the bin, stars, median of measured over true flux minus one)."""
    ratio = found["Flux_Total"] / stars["flux"]
    order = np.argsort(stars["mag"])
    bins = []
    edges = np.arange(np.floor(stars["mag"].min()), np.ceil(stars["mag"].max()) + 1, 1.0)
    magnitude = stars["mag"][order]
    start = 0
    for edge in edges[1:]:
        stop = int(np.searchsorted(magnitude, edge))
        if stop - start >= fewest:
            chosen = ratio[order[start:stop]]
            bins.append((float(edge), stop - start, float(np.nanmedian(chosen) - 1)))
            start = stop
    return bins
