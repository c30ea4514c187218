"""Pictures of photon transfer curves and non-linearity for the report."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from astropy.table import QTable
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from csst_calib.ptc import Ptc
from csstcore.api import Table

COLUMNS = 4
"""Panels beside each other."""


def transfer_curves(ptc: Ptc) -> Figure:
    """Variance over mean of every channel with the fitted models."""
    figure, panels = _panels(len(ptc.fit))
    for axes, (levels, fit) in zip(panels, _channels(ptc), strict=True):
        mean, variance = levels["mean"].value, levels["variance"].value
        used = levels["used"] > 0
        for chosen, style in ((used, "o"), (~used, "x")):
            axes.plot(mean[chosen] / 1e3, (variance / mean)[chosen], style, markersize=3)
        x = np.linspace(mean.min(), mean.max(), 100)
        gain, slope = fit["gain"].value, 2 * fit["a00"].value * fit["gain"].value
        growth = np.expm1(slope * x) / (slope * x) if slope else np.ones_like(x)
        noise = (fit["noise"].value / gain) ** 2
        axes.plot(x / 1e3, growth / gain + noise / x, linewidth=0.8)
        axes.axvline(fit["turn_off"].value / 1e3, linewidth=0.5, linestyle=":")
        axes.set_title(f"channel {fit['channel']}: {gain:.4f} e-/adu", fontsize=7)
    figure.supxlabel("mean (1000 adu)", fontsize=8)
    figure.supylabel("variance / mean (adu)", fontsize=8)
    return figure


def transfer_residuals(ptc: Ptc) -> Figure:
    """Measured over fitted variance of every channel."""
    figure, panels = _panels(len(ptc.fit))
    for axes, (levels, fit) in zip(panels, _channels(ptc), strict=True):
        used = levels["used"] > 0
        mean, percent = levels["mean"][used].value / 1e3, 100 * levels["residual"][used]
        error = 100 * (levels["variance_error"] / levels["variance"])[used].value
        axes.errorbar(mean, percent, error, fmt="o", markersize=3, linewidth=0.8)
        axes.axhline(0, linewidth=0.5)
        axes.set_title(f"channel {fit['channel']}", fontsize=7)
    figure.supxlabel("mean (1000 adu)", fontsize=8)
    figure.supylabel("variance, measured over fitted - 1 (%)", fontsize=8)
    return figure


def area_changes(ptc: Ptc) -> Figure:
    """Mean over the channels of the changes of a pixel's area by its neighbours' charge."""
    figure = Figure(figsize=(5, 4), layout="constrained")
    axes = figure.subplots()
    mean = 1e6 * np.mean(ptc.fit["a"].value, axis=0)
    neighbours = mean.copy()
    neighbours[0, 0] = 0
    limit = max(float(np.abs(neighbours).max()), 1e-6)
    shown = axes.imshow(mean, origin="lower", cmap="RdBu_r", vmin=-limit, vmax=limit)
    figure.colorbar(shown, ax=axes, label="a (1e-6 per electron)")
    axes.set(xlabel="lag (columns)", ylabel="lag (rows)", title=f"a00 = {mean[0, 0]:.3f}e-6")
    return figure


def nonlinearity_curves(table: Table) -> Figure:
    """Relative correction of every channel up to its largest signal."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for row in table.table:
        x = np.linspace(0, row["largest_signal"].value, 100)
        coefficients = np.atleast_1d(row["coefficient"])
        axes.plot(x / 1e3, 100 * np.polyval([*coefficients[::-1], 0.0], x), linewidth=0.8)
    axes.set(xlabel="measured signal (1000 electron)", ylabel="true over measured - 1 (%)")
    return figure


def _panels(count: int) -> tuple[Figure, list[Axes]]:
    """Return a figure with one small panel per channel."""
    rows = -(-count // COLUMNS)
    figure = Figure(figsize=(9, 1.6 * rows + 0.6), layout="constrained")
    panels = list(np.ravel(figure.subplots(rows, COLUMNS, sharex=True, squeeze=False)))
    for axes in panels:
        axes.tick_params(labelsize=6)
    for axes in panels[count:]:
        axes.set_visible(False)
    return figure, panels[:count]


def _channels(ptc: Ptc) -> Iterator[tuple[QTable, QTable]]:
    """Yield the levels and the fit of every channel."""
    for row in ptc.fit:
        yield ptc.levels[ptc.levels["channel"] == row["channel"]], row
