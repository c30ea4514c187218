"""Quality of a charge-transfer reference: what its fit leaves of the trails, and a picture."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from csst_calib.traps import DIRECTIONS
from csstcore.api import Table


def parallel_trail_residual(table: Table) -> float:
    """Part of the parallel trail, in the mean of all channels, that the fit leaves."""
    return _residual(table, "parallel")


def serial_trail_residual(table: Table) -> float:
    """Part of the serial trail, in the mean of all channels, that the fit leaves."""
    return _residual(table, "serial")


def trails(table: Table) -> Figure:
    """Trails behind flat fields with the fitted ones, and traps by channel."""
    figure = Figure(figsize=(9, 6), layout="constrained")
    for direction, (left, right) in zip(DIRECTIONS, figure.subplots(2, 2), strict=True):
        trail, error, fit = _mean_trails(table, direction)
        pixel = np.arange(1, len(trail) + 1)
        left.errorbar(pixel, trail, error, fmt="o", markersize=3, label="mean of the channels")
        left.plot(pixel, fit, label="fit")
        left.set(title=f"{direction} trail", xlabel="overscan pixel", ylabel="charge (electron)")
        left.set_yscale("symlog", linthresh=max(float(error.max()), 1e-3))
        left.legend()
        for species in range(table.table[f"{direction}_density"].shape[1]):
            density = table.table[f"{direction}_density"][:, species].value
            if not density.any():
                continue
            release = float(np.median(table.table[f"{direction}_release"][:, species].value))
            right.errorbar(
                table.table["channel"],
                density,
                table.table[f"{direction}_density_error"][:, species].value,
                fmt="o",
                markersize=3,
                label=f"release {release:.2f} pixel",
            )
        right.set(title=f"{direction} traps", xlabel="channel", ylabel="density (electron)")
        right.legend()
    return figure


def _mean_trails(
    table: Table, direction: str
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return trail, error and fit in the mean of all channels, overscan pixels only."""
    trail, error, fit = (
        np.asarray(table.table[f"{direction}_{name}"].value, np.float64)
        for name in ("trail", "trail_error", "trail_fit")
    )
    seen = np.isfinite(trail).all(axis=0)
    mean_error = np.sqrt((error[:, seen] ** 2).sum(axis=0)) / len(error)
    return trail[:, seen].mean(axis=0), mean_error, fit[:, seen].mean(axis=0)


def _residual(table: Table, direction: str) -> float:
    trail, _, fit = _mean_trails(table, direction)
    return float(np.abs(trail - fit).sum() / fit.sum())
