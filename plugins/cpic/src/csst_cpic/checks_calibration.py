"""Quality checks of calibration references."""

from __future__ import annotations

import astropy.units as u
import numpy as np
from astropy.table import QTable

from csst_cpic.camera.transfer import DIRECTIONS
from csstcore.api import Image, NotApplicable, Table

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
    """Largest relative difference of an EM gain between its methods, less twice its error."""
    rows = _with_histogram(table)
    gain = rows["likelihood_em_gain"]
    difference = np.abs(rows["moments_em_gain"] / gain - 1)
    error = np.hypot(rows["moments_em_gain_error"], rows["likelihood_em_gain_error"]) / gain
    return float(np.max(np.maximum(difference - 2 * error, 0.0)))


def largest_histogram_chi_square(table: Table) -> float:
    """Largest chi-square, per degree of freedom, of a histogram with the EM model."""
    return float(np.max(_with_histogram(table)["chi_square"]))


def largest_serial_rate(table: Table) -> float:
    """Largest charge born in the register, less three times its error."""
    rows = _with_histogram(table)
    rate, error = rows["serial_rate"], rows["serial_rate_error"]
    return float(np.max(np.maximum(rate - 3 * error, 0 * rate)).to_value(u.electron))


def _with_histogram(table: Table) -> QTable:
    rows = table.table[np.isfinite(table.table["likelihood_em_gain"])]
    if not len(rows):
        raise NotApplicable("no EM gain is high enough for a histogram of single electrons")
    return rows


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
