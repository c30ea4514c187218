"""Pixels worth a look: peaks against their surroundings, and the patches around them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from csstcore.api import compiled

SIGNIFICANCE = 3.5
"""How far a pixel stands above the background and above its neighbours, over their noise."""
REACH_PIXEL = 2
"""A pixel is a candidate by what lies within this distance."""


@compiled
def find_candidates(
    electron: NDArray[np.float32],
    level: NDArray[np.float32],
    noise: NDArray[np.float32],
) -> NDArray[np.bool_]:
    """Find pixels that stand out, and their neighbours.

    A pixel stands out if it is `SIGNIFICANCE` times its noise above the background, and as much
    above the mean of two opposite neighbours in one of four directions; that is so on a track and
    not in a smooth source. With the eight neighbours nearly all pixels with charge of a particle
    are found (measured in the benchmark), and a few in a hundred of all.

    Parameters
    ----------
    electron
        Pixels in electrons, shape (rows, columns), finite.
    level, noise
        Background and its noise in electrons, same shape.

    Returns
    -------
    numpy.ndarray
        Same shape.
    """
    rows, columns = electron.shape
    limit = np.float32(SIGNIFICANCE)
    found = np.zeros((rows, columns), np.bool_)
    for row in range(rows):
        above, below = max(row - 1, 0), min(row + 1, rows - 1)
        for column in range(columns):
            signal = electron[row, column] - level[row, column]
            if signal <= limit * noise[row, column]:
                continue
            left, right = max(column - 1, 0), min(column + 1, columns - 1)
            opposite = min(
                min(
                    electron[above, column] + electron[below, column],
                    electron[row, left] + electron[row, right],
                ),
                min(
                    electron[above, left] + electron[below, right],
                    electron[above, right] + electron[below, left],
                ),
            )
            excess = electron[row, column] - np.float32(0.5) * opposite
            variance = np.float32(1.5) * (noise[row, column] ** 2 + signal)
            if excess > 0 and excess * excess > limit * limit * variance:
                found[above : below + 1, left : right + 1] = True
    return found


@compiled
def gather(
    plane: NDArray[np.float32], rows: NDArray[np.intp], columns: NDArray[np.intp], side: int
) -> NDArray[np.float32]:
    """Return the square patches around pixels, zero outside the plane.

    Parameters
    ----------
    plane
        Shape (rows, columns).
    rows, columns
        Centres, shape (n,).
    side
        Side of a patch, odd.

    Returns
    -------
    numpy.ndarray
        Shape (n, side, side).
    """
    half = side // 2
    patches = np.zeros((len(rows), side, side), np.float32)
    for index in range(len(rows)):
        top, left = rows[index] - half, columns[index] - half
        for row in range(max(0, -top), min(side, plane.shape[0] - top)):
            for column in range(max(0, -left), min(side, plane.shape[1] - left)):
                patches[index, row, column] = plane[top + row, left + column]
    return patches
