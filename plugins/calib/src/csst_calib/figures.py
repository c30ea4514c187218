"""Pictures of images and calibration references for the report."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from csstcore.api import Image, Table

PICTURE_PIXELS = 600
"""Largest number of pixels of a picture along an axis."""


def image_with_flags(image: Image) -> Figure:
    """Image at reduced size beside its flagged pixels."""
    step = max(1, -(-max(image.shape) // PICTURE_PIXELS))
    small = np.asarray(image.data[::step, ::step], np.float64)
    low, high = np.percentile(small[np.isfinite(small)], (1, 99)) if small.size else (0.0, 1.0)
    figure = Figure(figsize=(9, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2, sharex=True, sharey=True)
    extent = (-0.5, image.shape[1] - 0.5, -0.5, image.shape[0] - 0.5)
    shown = left.imshow(
        small, origin="lower", cmap="gray", vmin=low, vmax=high, extent=extent, aspect="equal"
    )
    figure.colorbar(shown, ax=left, label=str(image.unit) or "value", shrink=0.8)
    left.set(title="image", xlabel="x (pixel)", ylabel="y (pixel)")
    fraction = right.imshow(
        _flagged(image, step), origin="lower", cmap="magma", vmin=0, vmax=1, extent=extent
    )
    figure.colorbar(fraction, ax=right, label="flagged", shrink=0.8)
    right.set(title="flags", xlabel="x (pixel)")
    return figure


def histogram(image: Image) -> Figure:
    """Histogram of the unflagged pixels, with the expected noise where it is known."""
    sample = np.asarray(image.data[::7, ::7], np.float64)
    good = np.isfinite(sample)
    if image.flags is not None:
        good &= image.flags[::7, ::7] == 0
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    axes.set(xlabel=str(image.unit) or "value", ylabel="pixels", title="unflagged pixels")
    if not good.any():
        return figure
    values = sample[good]
    median = float(np.median(values))
    width = max(1.4826 * float(np.median(np.abs(values - median))), 1e-12)
    edges = np.linspace(median - 8 * width, median + 12 * width, 121)
    counts, _, _ = axes.hist(values, bins=list(edges), histtype="step")
    if image.variance is not None:
        sigma = float(np.sqrt(np.median(image.variance[::7, ::7])))
        if sigma > 0:
            normal = np.exp(-0.5 * ((edges - median) / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi))
            axes.plot(edges, normal * values.size * (edges[1] - edges[0]), label="expected noise")
            axes.legend()
    axes.set_yscale("log")
    axes.set_ylim(0.5, 5 * max(float(np.max(counts)), 1.0))
    return figure


def gains(table: Table) -> Figure:
    """Gain and read noise of every channel with their errors."""
    figure = Figure(figsize=(7, 3.5), layout="constrained")
    for axes, name in zip(figure.subplots(1, 2), ("gain", "read_noise"), strict=True):
        values, errors = table.table[name], table.table[f"{name}_error"]
        axes.errorbar(table.table["channel"], values.value, errors.value, fmt="o", markersize=3)
        axes.set(xlabel="channel", ylabel=f"{name.replace('_', ' ')} ({values.unit})")
    return figure


def _flagged(image: Image, step: int) -> NDArray[np.float64]:
    """Return the flagged fraction of every `step` x `step` cell."""
    rows, columns = (size // step for size in image.shape)
    if image.flags is None:
        return np.zeros((rows, columns))
    cells = np.empty((rows, columns))
    for row in range(rows):
        strip = image.flags[row * step : (row + 1) * step, : columns * step] != 0
        cells[row] = strip.reshape(step, columns, step).mean(axis=(0, 2))
    return cells
