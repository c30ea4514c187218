"""Pictures of Level 2 for the report."""

from __future__ import annotations

import astropy.units as u
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from csst_cpic.planets.residual_map import ResidualMap
from csst_cpic.star.reduction import Reduction
from csst_cpic.star.sky_frame import central_pixel
from csstcore.api import NotApplicable, Table


def residual_with_companions(residual: ResidualMap) -> Figure:
    """Residual image and signal over noise, with the companions marked.

    Parameters
    ----------
    residual
        Of `join_residual`.
    """
    if residual.settings is None or not np.isfinite(residual.data).any():
        raise NotApplicable("the residual image has no values or no settings")
    settings = Reduction.from_table(residual.settings)
    figure = Figure(figsize=(11, 5), layout="constrained")
    left, right = figure.subplots(1, 2)
    spread = 6 * 1.4826 * float(np.nanmedian(np.abs(residual.data))) or 1.0
    _show(figure, left, residual.data, settings, spread, f"residual [{residual.unit}]")
    if residual.signal_to_noise is not None:
        _show(figure, right, residual.signal_to_noise, settings, 6.0, "signal over noise")
    for axes in (left, right):
        _mark(axes, residual, settings)
    return figure


def contrast_curve(contrast: Table) -> Figure:
    """Contrast that is detected by separation, and the throughput of the reduction.

    Parameters
    ----------
    contrast
        Of the stage `contrast_curve`.
    """
    table = contrast.table
    if not len(table) or not np.isfinite(table["contrast"]).any():
        raise NotApplicable("nothing was recovered at any separation")
    separation = table["separation"].to_value(u.arcsec)
    rarity = float(table["false_positive_fraction"][0])
    figure = Figure(figsize=(8, 6), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    upper.semilogy(separation, table["contrast"], "-", label="detected in half of all cases")
    upper.semilogy(separation, table["complete_contrast"], "--", label="detected in 95 %")
    upper.semilogy(separation, table["noise"], ":", color="0.4", label="noise (one sigma)")
    upper.set(ylabel="contrast", title=f"false-positive fraction {rarity:.2e}")
    upper.grid(alpha=0.3, which="both")
    upper.legend()
    lower.errorbar(separation, table["throughput"], table["throughput_error"], fmt=".-")
    lower.set(xlabel="separation [arcsec]", ylabel="throughput", ylim=(0, 1.1))
    lower.grid(alpha=0.3)
    return figure


def _show(
    figure: Figure,
    axes: Axes,
    plane: NDArray[np.float32],
    settings: Reduction,
    spread: float,
    label: str,
) -> None:
    """Draw a plane in arcseconds from the star, East to the left."""
    row, column = central_pixel(plane.shape)
    scale = settings.pixel_scale_arcsec
    left, right = (column + 0.5) * scale, -(plane.shape[1] - column - 0.5) * scale
    bottom, top = -(row + 0.5) * scale, (plane.shape[0] - row - 0.5) * scale
    image = axes.imshow(
        plane,
        origin="lower",
        extent=(left, right, bottom, top),
        vmin=-spread,
        vmax=spread,
        cmap="RdBu_r",
        interpolation="nearest",
    )
    figure.colorbar(image, ax=axes, label=label, shrink=0.85)
    axes.plot(0, 0, "k*", markersize=7)
    axes.set(xlabel="east of the star [arcsec]", ylabel="north of the star [arcsec]")


def _mark(axes: Axes, residual: ResidualMap, settings: Reduction) -> None:
    """Put a circle and a letter at each companion."""
    if residual.companions is None:
        return
    for k, row in enumerate(residual.companions):
        separation = row["separation"].to_value(u.arcsec)
        angle = row["position_angle"].to_value(u.rad)
        east, north = separation * np.sin(angle), separation * np.cos(angle)
        size = 1.5 * settings.fwhm_pixel * settings.pixel_scale_arcsec
        theta = np.linspace(0, 2 * np.pi, 60)
        axes.plot(east + size * np.cos(theta), north + size * np.sin(theta), "k-", linewidth=1)
        axes.text(east - size, north + size, chr(ord("b") + k % 25), fontsize=11, ha="center")
