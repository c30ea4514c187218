"""Sums over the pixels of each source."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from csstcore.api import compiled

THIN = 1.0 / 12.0
"""Variance of a pixel's width, added to the moments of sources as thin as a pixel."""

THIN_DETERMINANT = 0.00694

COLUMNS = (
    "flux", "noise", "peak", "x", "y", "xx", "yy", "xy", "area", "bits", "flagged", "top_row",
    "top_column", "truncated", "x_noise", "y_noise",
    "filtered",
)  # fmt: skip
"""What `sum_isophotes` returns: moments about the centroid, 0-based pixel; noise is a
variance."""


@compiled
def sum_isophotes(
    data: NDArray[np.float32],
    background: NDArray[np.float32],
    variance: NDArray[np.float32],
    flags: NDArray[np.uint16],
    row: NDArray[np.int32],
    column: NDArray[np.int32],
    value: NDArray[np.float32],
    source: NDArray[np.int32],
    number: int,
) -> NDArray[np.float64]:
    """Return sums over the pixels of each source; see `COLUMNS`.

    Positions and second moments are those of the filtered values, as SExtractor's.

    Parameters
    ----------
    data, background, variance, flags
        Planes of shape (rows, columns); flags of one row stand for none.
    row, column, value, source
        Pixels with their filtered value and source (-1: none).
    number
        How many sources there are.

    Returns
    -------
    ndarray
        Shape (sources, columns).
    """
    result = np.zeros((number, len(COLUMNS)))
    best = np.zeros(number)
    weight = np.zeros(number)
    result[:, 2] = -np.inf
    for i in range(row.size):
        s = source[i]
        if s < 0:
            continue
        r, c, v = row[i], column[i], float(value[i])
        signal = data[r, c] - background[r, c]
        sums = result[s]
        sums[0] += signal
        sums[1] += variance[r, c]
        sums[2] = max(sums[2], signal)
        sums[8] += 1.0
        if flags.shape[0] > 1 and flags[r, c] != 0:
            sums[9] = int(sums[9]) | flags[r, c]
            sums[10] += 1.0
        if v > best[s]:
            best[s] = v
            sums[11], sums[12] = r, c
        if r == 0 or c == 0 or r == data.shape[0] - 1 or c == data.shape[1] - 1:
            sums[13] = 1.0
        weight[s] += v
        sums[3] += v * c
        sums[4] += v * r
    for s in range(number):
        result[s, 3] /= weight[s]
        result[s, 4] /= weight[s]
    for i in range(row.size):
        s = source[i]
        if s >= 0:
            dx, dy = column[i] - result[s, 3], row[i] - result[s, 4]
            result[s, 5] += value[i] * dx * dx
            result[s, 6] += value[i] * dy * dy
            result[s, 7] += value[i] * dx * dy
            result[s, 14] += variance[row[i], column[i]] * dx * dx
            result[s, 15] += variance[row[i], column[i]] * dy * dy
    for s in range(number):
        result[s, 5:8] /= weight[s]
        result[s, 14:16] /= weight[s] ** 2
        result[s, 16] = weight[s]
        if result[s, 5] * result[s, 6] - result[s, 7] ** 2 < THIN_DETERMINANT:
            result[s, 5] += THIN
            result[s, 6] += THIN
    return result


def axes(
    xx: NDArray[np.float64], yy: NDArray[np.float64], xy: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return major and minor axis [pixel] and the angle from +x to +y [rad] of moments."""
    half, turn = (xx + yy) / 2.0, np.hypot((xx - yy) / 2.0, xy)
    angle = 0.5 * np.arctan2(2.0 * xy, xx - yy)
    return np.sqrt(half + turn), np.sqrt(np.maximum(half - turn, THIN**2)), angle
