"""Say and plot what the demonstration made, beside the simulated truth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.io import fits
from numpy.typing import NDArray
from scipy.spatial import cKDTree

mpl.use("Agg")

from matplotlib import pyplot as plt

COSMIC_RAY = 16
SATURATED = 8
NOT_SOLVED = -1
DETECTABLE_ELECTRON = 3.0


def print_summary(folder: Path) -> None:
    """Print statuses, accuracy against the truth, times and paths; draw ``summary.png``."""
    record_path = sorted((folder / "level1" / "runs").glob("*/jobs/*.json"))[-1]
    record = json.loads(record_path.read_text())
    print("\nstage                 status              wall s   peak MB  why")
    for stage in record["stages"]:
        why = stage["why"] or "; ".join(stage["caveats"])
        print(
            f"{stage['id']:21} {stage['status']:18} {stage['wall_s']:7.2f} "
            f"{stage['peak_bytes'] / 1e6:9.0f}  {why}"
        )
    print(
        f"whole job             {record['status']:18} {record['wall_s']:7.2f} "
        f"{record['peak_bytes'] / 1e6:9.0f}"
    )
    paths = {item["definition"]: folder / "level1" / item["path"] for item in record["outputs"]}
    image, flags = fits.getdata(paths["msc.l1_image"], 1), fits.getdata(paths["msc.l1_flags"], 1)
    catalog = fits.getdata(paths["msc.l1_catalog"], 1)
    truth = fits.getdata(_one(folder / "exposure", "*truth.fits"), 1)
    deposit = fits.getdata(_one(folder / "exposure", "*cosmic_rays.fits"), 1)
    recall, precision = cosmic_rays(flags, deposit)
    print(f"\nsources            {len(catalog)}")
    residual = astrometry(catalog, truth)
    if residual is not None:
        east, north = np.sqrt(np.mean(np.square(residual), axis=0))
        print(
            f"position           {east:.2f}, {north:.2f} mas rms per axis, "
            f"{len(residual)} unsaturated stars above S/N 100"
        )
    print_fluxes(fits.getheader(paths["msc.l1_image"], 1), catalog, truth)
    print(f"cosmic rays        recall {recall:.4f}, precision {precision:.4f} above 3 electrons")
    print(f"products           {paths['msc.l1_image'].parent}")
    print(f"record             {record_path}")
    print(f"report             {record_path.parent.parent / 'report.html'}")
    picture = folder / "summary.png"
    draw(image, flags, catalog, residual, picture)
    print(f"picture            {picture}")


def print_fluxes(header: fits.Header, catalog: Any, truth: Any) -> None:
    """Print zero point, depth and magnitudes beside the truth."""
    if header["STA_FLUX"] != 0:
        print("zero point         none")
        return
    bright = (truth["type"] == "star") & (truth["saturated"] == 0)
    stars = truth[bright & (truth["signal_to_noise"] > 50)]
    true = float(np.median(stars["mag"] + 2.5 * np.log10(stars["flux"])))
    print(
        f"zero point         {header['ZP']:.4f} +- {header['ZPERR']:.4f} mag "
        f"from {header['NS_ZP']} stars, truth {true:.4f}"
    )
    nearest, near = _nearest(catalog, stars)
    difference = catalog["Mag_Total"][nearest[near]] - stars["mag"][near]
    print(
        f"magnitudes         {np.median(difference):+.4f} mag from the truth in the median of "
        f"{near.sum()} stars"
    )
    print(f"depth              {header['MAG_LIM']:.2f} mag at 5 sigma")


def _nearest(catalog: Any, stars: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the source nearest to each star, and whether it is within a pixel."""
    measured = cKDTree(np.column_stack([catalog["X"], catalog["Y"]]))
    distance, index = measured.query(np.column_stack([stars["x"], stars["y"]]))
    return index, distance < 1


def cosmic_rays(flags: NDArray[Any], deposit: NDArray[Any]) -> tuple[float, float]:
    """Return recall and precision of the flag against the deposited charge."""
    flagged = (flags & COSMIC_RAY) != 0
    hit = deposit > DETECTABLE_ELECTRON
    # What is saturated anyway is no test of the detection.
    valid = (flags & SATURATED) == 0
    found = np.count_nonzero(flagged & hit & valid)
    return (
        found / max(1, np.count_nonzero(hit & valid)),
        found / max(1, np.count_nonzero(flagged & valid)),
    )


def astrometry(catalog: Any, truth: Any) -> NDArray[Any] | None:
    """Return the residuals (stars, 2) in mas: catalogue minus truth."""
    if np.all(catalog["RA"] == NOT_SOLVED):
        return None
    bright = (truth["type"] == "star") & (truth["saturated"] == 0)
    stars = truth[bright & (truth["signal_to_noise"] > 100)]
    index, near = _nearest(catalog, stars)
    found = catalog[index[near]]
    sky = SkyCoord(found["RA"], found["DEC"], unit="deg")
    true = SkyCoord(stars["ra"][near], stars["dec"][near], unit="deg")
    east, north = true.spherical_offsets_to(sky)
    return np.column_stack([east.to_value("mas"), north.to_value("mas")])


def draw(
    image: NDArray[Any],
    flags: NDArray[Any],
    catalog: Any,
    residual: NDArray[Any] | None,
    path: Path,
) -> None:
    """Draw a corner of the image with its sources, its flags, and the residuals."""
    size = min(400, *image.shape)
    corner = np.s_[:size, :size]
    figure, axes = plt.subplots(1, 3, figsize=(15, 5), layout="constrained")
    middle, spread = np.median(image[corner]), np.std(np.clip(image[corner], -1, 1))
    axes[0].imshow(
        image[corner], origin="lower", cmap="gray", vmin=middle - spread, vmax=middle + 3 * spread
    )
    inside = (catalog["X"] < size) & (catalog["Y"] < size)
    axes[0].scatter(
        catalog["X"][inside] - 1, catalog["Y"][inside] - 1, s=60, ec="tab:orange", fc="none"
    )
    axes[0].set_title("Level 1 image (e/s) and sources")
    axes[1].imshow(flags[corner] != 0, origin="lower", cmap="gray_r", interpolation="nearest")
    axes[1].set_title("flagged pixels")
    for axis in axes[:2]:
        axis.set(xlabel="x (pixel)", ylabel="y (pixel)")
    if residual is not None:
        axes[2].plot(*residual.T, ".", ms=3)
        limit = 4 * np.std(residual)
        axes[2].set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal")
    axes[2].set(xlabel="east (mas)", ylabel="north (mas)", title="position minus truth")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _one(folder: Path, pattern: str) -> Path:
    (path,) = folder.rglob(pattern)
    return path
