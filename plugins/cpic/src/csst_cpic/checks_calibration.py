"""Quality checks of calibration references."""

from __future__ import annotations

import numpy as np

from csst_cpic.camera.transfer import DIRECTIONS
from csstcore.api import Image, Table

SHOWN = 2
"""Pixels that hold most of a trail; the level under the others is of the same size."""


def median_error(image: Image) -> float:
    """Median error of the unflagged pixels."""
    if image.variance is None:
        return float("nan")
    variance = image.variance[~image.flagged()]
    return float(np.sqrt(np.median(variance))) if variance.size else float("nan")


def largest_em_gain_error(table: Table) -> float:
    """Largest relative error of an EM gain."""
    rows = table.table
    return float(np.max(np.abs(rows["em_gain_error"] / rows["em_gain"])))


def largest_method_difference(table: Table) -> float:
    """Largest relative difference of an EM gain between histogram and moments."""
    rows = table.table
    return float(np.max(np.abs(rows["moments_em_gain"] / rows["likelihood_em_gain"] - 1)))


def largest_histogram_chi_square(table: Table) -> float:
    """Largest chi-square, per degree of freedom, of a histogram with the EM model."""
    return float(np.max(table.table["chi_square"]))


def largest_ramp_residual(table: Table) -> float:
    """Largest deviation of a relative gain from the line between its neighbours."""
    return float(np.max(np.abs(table.table["residual"])))


def largest_relative_gain_error(table: Table) -> float:
    """Largest relative error of a relative gain."""
    rows = table.table
    return float(np.max(rows["relative_gain_error"] / rows["relative_gain"]))


def largest_ramp_pull(table: Table) -> float:
    """Largest deviation of a mean dark charge from the fitted line, over its error."""
    rows = table.table
    return float(np.max(np.abs((rows["charge"] - rows["fit"]) / rows["charge_error"]).value))


def vertical_trail_residual(table: Table) -> float:
    """Part of the vertical trail, in its first two pixels, that the fit leaves."""
    return _trail_residual(table, "vertical")


def horizontal_trail_residual(table: Table) -> float:
    """Part of the horizontal trail, in its first two pixels, that the fit leaves."""
    return _trail_residual(table, "horizontal")


def largest_trail_chi_square(table: Table) -> float:
    """Largest chi-square, per degree of freedom, of the trails of all levels."""
    return float(max(table.table[f"{name}_chi_square"][0] for name in DIRECTIONS))


def _trail_residual(table: Table, direction: str) -> float:
    trail, fit = (table.table[f"{direction}_{name}"][0].value for name in ("trail", "trail_fit"))
    return float(abs((trail - fit)[:SHOWN].sum()) / fit[:SHOWN].sum())
