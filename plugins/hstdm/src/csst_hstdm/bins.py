"""Residuals of dumps in bins of channels, and averages of them: where features are told apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from csst_hstdm.scatter import scatter_about_zero
from csstcore.api import compiled, each

BINS = 1024
GROUPS = (1, 8, 64)
"""Dumps averaged to find what a single dump does not show; besides, all of them."""
_BLOCK_ROWS = 64
_LEAST = 8
"""Fewer differences tell no noise."""
_NOISELESS = 1e-3
"""Noise of a dump that has none, in units of what is left of it."""


def binned(
    flux: NDArray[np.float32], good: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return means over equal runs of channels, about a thousand, and which of them count.

    Parameters
    ----------
    flux, good
        Shape (dumps, channels).

    Returns
    -------
    values, valid
        Shape (dumps, bins); the last channels are left out where they fill no bin. A bin counts
        if half of its channels are good.
    """
    dumps, channels = flux.shape
    size = max(channels // BINS, 1)
    whole = channels // size * size
    values = np.zeros((dumps, channels // size), np.float32)
    valid = np.zeros(values.shape, bool)

    def work(low: int) -> None:
        part = slice(low, low + _BLOCK_ROWS)
        count = good[part, :whole].reshape(-1, values.shape[1], size).sum(axis=2)
        clean = np.where(good[part, :whole], flux[part, :whole], np.float32(0))
        total = clean.reshape(-1, values.shape[1], size).sum(axis=2)
        valid[part] = 2 * count >= size
        values[part] = np.where(valid[part], total / np.maximum(count, 1), 0)

    each(work, range(0, dumps, _BLOCK_ROWS))
    return values, valid


def group_edges(dumps: int) -> list[NDArray[np.intp]]:
    """Return where the averages of 1, 8, 64 and all consecutive dumps begin and end."""
    sizes = [*(size for size in GROUPS if size < dumps), dumps]
    return [np.unique(np.append(np.arange(0, dumps, size), dumps)) for size in sizes]


@dataclass(frozen=True, slots=True, eq=False)
class Level:
    """Averages of consecutive dumps in units of their noise."""

    edges: NDArray[np.intp]
    """Where the dumps of each average begin, and the end."""
    total: NDArray[np.float64]
    """Sums over the dumps times `weight`, whose variance is `weight`; shape (averages, bins)."""
    weight: NDArray[np.float64]


def levels(rest: NDArray[np.float32], used: NDArray[np.bool_]) -> list[Level]:
    """Return the averages of residuals, dumps weighted with the inverse of their variance.

    Each average is scaled to its own noise, that between neighbouring bins: dumps that share an
    OFF do not average down as if they were independent.

    Parameters
    ----------
    rest, used
        Residuals in bins, finite, and which of them count.
    """
    noise = np.empty(len(rest))
    _noise(rest, used, noise)
    known = noise > 0
    weight = np.where(known, 1 / np.where(known, noise, 1.0) ** 2, 0.0)[:, None] * used
    value = rest * weight
    out = []
    before: NDArray[np.intp] = np.arange(len(rest) + 1)
    for edges in group_edges(len(rest)):
        first = np.searchsorted(before, edges[:-1])
        value, weight = (np.add.reduceat(plane, first, axis=0) for plane in (value, weight))
        before = edges
        counts = weight > 0
        pull = value / np.sqrt(np.where(counts, weight, 1.0))
        ratio = np.empty(len(pull))
        _noise(pull, counts, ratio)
        square = np.where(ratio > 0, 1 / np.where(ratio > 0, ratio, 1.0) ** 2, 0.0)[:, None]
        out.append(Level(edges, value * square, weight * square))
    return out


@compiled
def _noise(
    rest: NDArray[np.floating[Any]], used: NDArray[np.bool_], out: NDArray[np.float64]
) -> None:
    """Set the noise of each row by the differences of neighbouring bins; 0 if it has too few."""
    bins = rest.shape[1]
    steps = np.empty(bins)
    for row in range(len(rest)):
        number, square = 0, 0.0
        for b in range(bins):
            if used[row, b]:
                square += rest[row, b] ** 2
                if b > 0 and used[row, b - 1]:
                    steps[number] = rest[row, b] - rest[row, b - 1]
                    number += 1
        out[row] = 0.0
        if number >= _LEAST:
            noise = scatter_about_zero(steps[:number]) / np.sqrt(2.0)
            out[row] = max(noise, _NOISELESS * np.sqrt(square / bins))
