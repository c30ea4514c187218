"""Pictures of calibration references for the report."""

from __future__ import annotations

import numpy as np
from astropy.stats import mad_std
from matplotlib.figure import Figure
from numpy.typing import NDArray

from csst_cpic.camera.transfer import DIRECTIONS
from csstcore.api import Image, Table

OUTLIER_SIGMA = 20.0
"""Pixels farther from the median, hot ones above all, take no part in a profile."""

LEAST_TIMES = 3
"""Exposure times from which a straight line can fail."""


def em_gains(table: Table) -> Figure:
    """Measured over commanded EM gain by both methods, with errors."""
    rows = table.table
    commanded = np.asarray(rows["commanded_em_gain"])
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for name, label, shift in (("likelihood", "histogram", 0.98), ("moments", "moments", 1.02)):
        ratio = rows[f"{name}_em_gain"] / commanded
        error = rows[f"{name}_em_gain_error"] / commanded
        axes.errorbar(commanded * shift, ratio, error, fmt="o", markersize=4, label=label)
    axes.axhline(1.0, color="0.6", linewidth=1)
    axes.set_xscale("log")
    axes.set(xlabel="commanded EM gain", ylabel="measured / commanded")
    axes.legend()
    return figure


def relative_gains(table: Table) -> Figure:
    """Relative gain by counts at every EM gain, with errors and deviations."""
    rows = table.table
    figure = Figure(figsize=(7, 5.5), layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    for em_gain in np.unique(rows["em_gain"]):
        own = rows[rows["em_gain"] == em_gain]
        counts, error = own["counts"].value, own["relative_gain_error"]
        top.errorbar(counts, own["relative_gain"], error, fmt="o-", markersize=3, linewidth=1,
                     label=f"EM gain {em_gain:g}")  # fmt: skip
        bottom.errorbar(counts, 100 * own["residual"], 100 * error, fmt="o", markersize=3)
    top.set(ylabel="relative gain")
    top.legend()
    bottom.axhline(0.0, color="0.6", linewidth=1)
    bottom.set_xscale("log")
    bottom.set(xlabel="counts (adu)", ylabel="residual (%)")
    return figure


def dark_ramp(table: Table) -> Figure:
    """Mean charge of dark frames by exposure time, with the fitted line."""
    rows = table.table
    seconds, charge = rows["exposure_time"].value, rows["charge"].value
    error, fit = rows["charge_error"].value, rows["fit"].value
    figure = Figure(figsize=(6, 5), layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    top.errorbar(seconds, charge, error, fmt="o", markersize=4, label="mean of the pixels")
    top.plot(seconds, fit, label="clock-induced charge + dark current")
    top.set(ylabel="charge (electron)", ylim=(0, None))
    if len(seconds) < LEAST_TIMES:
        top.set_title(f"{len(seconds)} exposure times: the line goes through them in any case")
    top.legend()
    bottom.errorbar(seconds, (charge - fit) / error, 1.0, fmt="o", markersize=4)
    bottom.axhline(0.0, color="0.6", linewidth=1)
    bottom.set(xlabel="exposure time (s)", ylabel="deviation / error")
    return figure


def trails(table: Table) -> Figure:
    """Trails behind the edges of bright frames with the fitted ones."""
    rows = table.table
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    for axes, name in zip(figure.subplots(1, 2), DIRECTIONS, strict=True):
        trail, error, fit = (
            rows[f"{name}_{kind}"][0].value for kind in ("trail", "trail_error", "trail_fit")
        )
        pixel = np.arange(1, len(trail) + 1)
        axes.errorbar(pixel, trail, error, fmt="o", markersize=4, label="brightest edges")
        inefficiency, release = rows[f"{name}_inefficiency"][0], rows[f"{name}_release"][0]
        axes.plot(pixel, fit, label=f"fit, release {release:.2f}")
        axes.set(
            title=f"{name}: {inefficiency:.2e} per transfer",
            xlabel="pixel behind the edge",
            ylabel="charge (electron)",
        )
        axes.axhline(0.0, color="0.6", linewidth=1)
        axes.legend()
    return figure


def profiles(image: Image) -> Figure:
    """Mean of the rows and of the columns of a reference, without outliers, with errors."""
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    usable = np.isfinite(image.data) & ~image.flagged()
    if usable.any():
        usable &= np.abs(image.data - np.median(image.data[usable])) <= _reach(image, usable)
    variance = np.zeros(image.shape) if image.variance is None else image.variance
    for axes, name, axis in zip(figure.subplots(1, 2), ("row", "column"), (1, 0), strict=True):
        number = usable.sum(axis=axis)
        total = np.where(usable, image.data, 0).sum(axis=axis, dtype=np.float64)
        error = np.sqrt(np.where(usable, variance, 0).sum(axis=axis, dtype=np.float64))
        seen = number > 0
        axes.errorbar(
            np.flatnonzero(seen) + 1,
            total[seen] / number[seen],
            error[seen] / number[seen],
            fmt=".",
            markersize=3,
            elinewidth=0.6,
        )
        axes.set(title=f"mean of each {name}", xlabel=f"{name} (pixel)", ylabel=f"{image.unit}")
    return figure


def _reach(image: Image, usable: NDArray[np.bool_]) -> float:
    """Return how far from the median a usual pixel may be.

    Most pixels of few electrons have counted none, so their median deviation is 0: the median
    error is taken where it is larger.
    """
    values = image.data[usable]
    spread = float(mad_std(values))
    if image.variance is not None:
        spread = max(spread, float(np.sqrt(np.median(image.variance[usable]))))
    return OUTLIER_SIGMA * spread if spread > 0 else np.inf
