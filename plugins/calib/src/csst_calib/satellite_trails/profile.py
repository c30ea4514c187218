"""Brightness across a path, piece by piece: medians along the path."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from csst_calib.satellite_trails.binned import Binned
from csst_calib.satellite_trails.trail import Path
from csstcore.api import compiled

Floats = NDArray[np.float64]
_MEDIAN_NOISE = 1.2533
"""Standard deviation of a median in units of that of a mean."""


@dataclass(frozen=True)
class Profiles:
    """Profiles of consecutive pieces of a path."""

    value: Floats
    """Shape (pieces, 2 reach + 1), in units of a pixel's noise, less the sky beside; NaN where
    too few pixels are usable."""
    error: Floats
    middle: Floats
    """Place of each piece along the path."""
    piece: float
    """Length of a piece."""

    @property
    def reach(self) -> int:
        """Pixels to either side."""
        return int(self.value.shape[1] // 2)


def profiles(
    data: NDArray[np.float32],
    flags: NDArray[np.uint16],
    unusable: np.uint16,
    binned: Binned,
    path: Path,
    reach: int,
) -> Profiles:
    """Return the brightness across a path in pieces of 32 to 256 pixels.

    The median along a piece passes over stars. What is left of the sky is a line
    through the medians of the outer quarters on both sides.
    """
    length = 2 * path.half_length
    piece = float(np.clip(length / 24, 32, 256))
    count = max(1, int(length // piece))
    piece = length / count
    edges = -path.half_length + piece * np.arange(count + 1)
    t = np.arange(-path.half_length, path.half_length)
    x, y = path.points(t)
    which = np.searchsorted(t, edges)
    value, used = _medians(
        data, flags, unusable, binned.sky, binned.size, x, y, path.ux, path.uy, which, reach
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        error = np.where(used > 0, _MEDIAN_NOISE / np.sqrt(used), np.inf)
    value = (value - _beside(value)) / binned.noise
    return Profiles(value, error, 0.5 * (edges[1:] + edges[:-1]), piece)


def _beside(value: Floats) -> Floats:
    """Return the straight line through the outer quarters of each profile."""
    width = value.shape[1]
    outer = max(2, width // 4)
    low, high = _middles(value[:, :outer]), _middles(value[:, -outer:])
    low, high = np.where(np.isnan(low), high, low), np.where(np.isnan(high), low, high)
    step = np.linspace(0, 1, width) - 0.5
    share = 0.5 + step * width / (width - outer)
    return np.asarray(low[:, None] + (high - low)[:, None] * share)


def _middles(value: Floats) -> Floats:
    """Return the median of each row without NaN; NaN where all are."""
    return np.array([np.median(row[np.isfinite(row)]) if np.isfinite(row).any() else np.nan
                     for row in value])  # fmt: skip


@compiled
def _medians(
    data: NDArray[np.float32],
    flags: NDArray[np.uint16],
    unusable: np.uint16,
    sky: NDArray[np.float32],
    size: int,
    x: Floats,
    y: Floats,
    ux: float,
    uy: float,
    which: NDArray[np.int64],
    reach: int,
) -> tuple[Floats, Floats]:
    """Return medians of the pixels nearest to the path's parallels, and how many they are."""
    rows, columns = data.shape
    pieces, width = len(which) - 1, 2 * reach + 1
    value, used = np.full((pieces, width), np.nan), np.zeros((pieces, width))
    buffer = np.empty(len(x), np.float32)
    for piece in range(pieces):
        first, last = which[piece], which[piece + 1]
        for k in range(width):
            offset = k - reach
            count = 0
            for step in range(first, last):
                column = int(np.floor(x[step] - uy * offset + 0.5))
                row = int(np.floor(y[step] + ux * offset + 0.5))
                if row < 0 or column < 0 or row >= rows or column >= columns:
                    continue
                here = data[row, column]
                if flags[row, column] & unusable or here != here:
                    continue
                buffer[count] = here - sky[row // size, column // size]
                count += 1
            if 3 * count >= last - first:
                value[piece, k] = np.median(buffer[:count])
                used[piece, k] = count
    return value, used
