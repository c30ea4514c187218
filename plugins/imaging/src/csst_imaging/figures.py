"""Pictures for the report."""

from __future__ import annotations

import astropy.units as u
import numpy as np
from matplotlib.figure import Figure

from csst_imaging.columns import values
from csst_imaging.stages.detection import point_like
from csst_imaging.stages.photometry import APERTURE_RADII_PIXEL
from csstcore.api import Image, Table

PREVIEW_PIXELS = 900
MAX_CURVES = 200


def preview(image: Image) -> Figure:
    """Image, binned, and where it is flagged.

    Parameters
    ----------
    image
        Any image.
    """
    step = max(max(image.shape) // PREVIEW_PIXELS, 1)
    small = image.data[::step, ::step]
    finite = small[np.isfinite(small)]
    low, high = np.percentile(finite, [2.0, 99.0]) if finite.size else (0.0, 1.0)
    figure = Figure(figsize=(10, 5), layout="constrained")
    left, right = figure.subplots(1, 2)
    extent = (0.5, image.shape[1] + 0.5, 0.5, image.shape[0] + 0.5)
    shown = left.imshow(
        small, origin="lower", cmap="gray", vmin=low, vmax=high, extent=extent, aspect="equal"
    )
    figure.colorbar(shown, ax=left, label=f"{image.unit}", shrink=0.8)
    flags = np.zeros(small.shape) if image.flags is None else image.flags[::step, ::step] != 0
    right.imshow(flags, origin="lower", cmap="gray_r", vmin=0, vmax=1, extent=extent)
    left.set_title("data")
    right.set_title("flagged")
    for axes in (left, right):
        axes.set_xlabel("x [pixel]")
        axes.set_ylabel("y [pixel]")
    return figure


def source_map(catalog: Table) -> Figure:
    """Positions of the sources, and their sizes against brightness.

    Parameters
    ----------
    catalog
        A catalogue of `measure_photometry`.
    """
    table = catalog.table
    x, y = values(table, "x", u.pixel), values(table, "y", u.pixel)
    flagged = np.asarray(table["flags"]) != 0
    figure = Figure(figsize=(10, 5), layout="constrained")
    left, right = figure.subplots(1, 2)
    for which, label in ((~flagged, "no flags"), (flagged, "flags")):
        left.plot(x[which], y[which], ".", markersize=1.5, label=label)
    left.set(xlabel="x [pixel]", ylabel="y [pixel]", aspect="equal", title=f"{len(table)} sources")
    left.legend(loc="upper right", markerscale=5)
    flux = values(table, "flux_kron")
    bright = flux > 0
    magnitude = -2.5 * np.log10(flux[bright])
    right.plot(magnitude, values(table, "fwhm", u.pixel)[bright], ".", markersize=1.5)
    right.set(xlabel="instrumental Kron magnitude", ylabel="FWHM [pixel]", ylim=(0, 12))
    return figure


def growth_curves(catalog: Table) -> Figure:
    """Growth of the flux of bright stars with the radius of the aperture.

    Parameters
    ----------
    catalog
        A catalogue of `measure_photometry`.
    """
    flux = values(catalog.table, "flux_aperture")
    total = values(catalog.table, "flux_total")
    stars = np.flatnonzero(point_like(catalog.table) & (total > 0))
    stars = stars[np.argsort(-total[stars])][:MAX_CURVES]
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    curves = flux[stars] / total[stars, None]
    for curve in curves:
        axes.plot(APERTURE_RADII_PIXEL, curve, color="0.8", linewidth=0.5)
    if len(curves):
        axes.plot(APERTURE_RADII_PIXEL, np.median(curves, axis=0), "k.-")
    axes.axhline(1.0, linewidth=0.5)
    axes.set(xlabel="radius [pixel]", ylabel="flux / total flux", ylim=(0.85, 1.1))
    axes.set_title(f"{len(stars)} stars")
    return figure


def zero_point(catalog: Table) -> Figure:
    """Residuals of the reference stars about the zero point, by colour and magnitude.

    Parameters
    ----------
    catalog
        A catalogue of `calibrate_flux`.
    """
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    left.set(xlabel="BP - RP", ylabel="measured - reference magnitude")
    right.set(xlabel="G")
    for axes in (left, right):
        axes.axhline(0.0, color="0.6", linewidth=0.8)
    if "zero_point_residual" not in catalog.table.colnames:
        left.set_title("no zero point")
        return figure
    residual = values(catalog.table, "zero_point_residual")
    used = np.asarray(catalog.table["zero_point_used"])
    for which, colour in ((~used, "0.7"), (used, "tab:blue")):
        for axes, name in ((left, "reference_bp_rp"), (right, "reference_g")):
            axes.plot(values(catalog.table, name)[which], residual[which], ".", color=colour)
    if used.any():
        limit = 6.0 * float(np.std(residual[used])) + 0.005
        left.set(ylim=(-limit, limit), title=f"{np.count_nonzero(used)} stars used")
    return figure
