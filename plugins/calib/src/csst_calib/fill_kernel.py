"""Values for flagged pixels from their neighbours."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from csstcore.api import compiled

REACH = 3
"""Neighbours within this many pixels are used."""
FEWEST = 10
"""With fewer usable neighbours a pixel lies in a large gap."""
CELL = 16
"""Side of the cells whose medians fill large gaps."""
LARGEST_HALF_CELLS = 8
"""A median is taken from at most 17 x 17 cells."""
_WORD = 64
_STRUCTURE = 2.5
"""Standard deviations by which the scatter of neighbours exceeds their noise if they show a
source."""
_CONCENTRATION = 6.0
"""Power where a source is over its mean in the neighbourhood, of which it takes a part."""


@compiled
def fill(
    data: NDArray[np.float32],
    variance: NDArray[np.float32],
    flags: NDArray[np.uint16],
    bits: np.uint16,
    sigma: float,
    filled: NDArray[np.float32],
    error: NDArray[np.float32],
) -> tuple[int, int]:
    """Fill flagged pixels and set their variances, in place.

    Returns
    -------
    filled, isolated
        How many pixels were filled, and how many of them lie in large gaps.
    """
    rows, columns = data.shape
    side = 2 * REACH + 1
    weights = np.zeros((side, side))
    for j in range(side):
        for i in range(side):
            square = (j - REACH) ** 2 + (i - REACH) ** 2
            weights[j, i] = np.exp(-0.5 * square / sigma**2) if square <= REACH**2 + 1 else 0.0
    cells = np.full((rows // CELL + 1, columns // CELL + 1, 2), np.nan, np.float32)
    most = side * side
    near_y, near_x = np.empty(most, np.int64), np.empty(most, np.int64)
    count, isolated = 0, 0
    for y in range(rows):
        for block in range(0, columns, _WORD):
            end = min(block + _WORD, columns)
            any_bit = np.uint16(0)
            for x in range(block, end):
                any_bit |= flags[y, x]
            if not any_bit & bits:
                continue
            for x in range(block, end):
                if not flags[y, x] & bits:
                    continue
                count += 1
                found = _neighbours(data, variance, flags, bits, y, x, weights, near_y, near_x)
                if found < FEWEST:
                    isolated += 1
                    value, spread = _from_cells(data, variance, flags, bits, cells, y, x)
                else:
                    value, spread = _from_neighbours(
                        data, variance, y, x, weights, near_y[:found], near_x[:found], sigma
                    )
                filled[y, x] = value
                error[y, x] = spread
    return count, isolated


@compiled
def _neighbours(
    data: NDArray[np.float32],
    variance: NDArray[np.float32],
    flags: NDArray[np.uint16],
    bits: np.uint16,
    y: int,
    x: int,
    weights: NDArray[np.float64],
    near_y: NDArray[np.int64],
    near_x: NDArray[np.int64],
) -> int:
    """List the usable pixels of the neighbourhood; return their number."""
    rows, columns = data.shape
    found = 0
    for j in range(max(0, y - REACH), min(rows, y + REACH + 1)):
        for i in range(max(0, x - REACH), min(columns, x + REACH + 1)):
            if weights[j - y + REACH, i - x + REACH] == 0.0 or flags[j, i] & bits:
                continue
            if np.isfinite(data[j, i] + variance[j, i]) and variance[j, i] > 0:
                near_y[found], near_x[found] = j, i
                found += 1
    return found


@compiled
def _from_neighbours(
    data: NDArray[np.float32],
    variance: NDArray[np.float32],
    y: int,
    x: int,
    weights: NDArray[np.float64],
    near_y: NDArray[np.int64],
    near_x: NDArray[np.int64],
    sigma: float,
) -> tuple[float, float]:
    """Return value and variance of a pixel from its usable neighbours.

    In the sky the weighted mean; where the neighbours scatter more than their noise, the
    Gaussian process of a source as wide as the PSF. The variance counts that the neighbours'
    noise is in the value again: the variances of an aperture's pixels add up to that of its
    sum.
    """
    count = len(near_y)
    total, norm, squares, noise, mean, scatter = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for k in range(count):
        value = np.float64(data[near_y[k], near_x[k]])
        weight = weights[near_y[k] - y + REACH, near_x[k] - x + REACH]
        total += weight * value
        norm += weight
        squares += weight * weight
        noise += variance[near_y[k], near_x[k]]
        mean += value
    noise /= count
    mean /= count
    for k in range(count):
        scatter += (data[near_y[k], near_x[k]] - mean) ** 2
    scatter /= count - 1
    if scatter <= (1.0 + _STRUCTURE * np.sqrt(2.0 / (count - 1))) * noise:
        return total / norm, noise * (2.0 + squares / norm**2)
    power = _CONCENTRATION * (scatter - noise)
    return _process(data, variance, y, x, near_y, near_x, mean, power, sigma)


@compiled
def _process(
    data: NDArray[np.float32],
    variance: NDArray[np.float32],
    y: int,
    x: int,
    near_y: NDArray[np.int64],
    near_x: NDArray[np.int64],
    mean: float,
    power: float,
    sigma: float,
) -> tuple[float, float]:
    """Return value and variance of a pixel by a Gaussian process.

    The covariance of a source is that of its PSF with itself, ``power exp(-r^2 / 4 sigma^2)``;
    the noise is that of each pixel (Rasmussen & Williams 2006, eqs. 2.25 and 2.26).
    """
    count = len(near_y)
    lower = np.empty((count, count))
    own, left = np.empty(count), np.empty(count)
    scale = -0.25 / (sigma * sigma)
    for k in range(count):
        for m in range(k + 1):
            square = (near_y[k] - near_y[m]) ** 2 + (near_x[k] - near_x[m]) ** 2
            lower[k, m] = power * np.exp(scale * square)
        lower[k, k] += variance[near_y[k], near_x[k]]
        square = (near_y[k] - y) ** 2 + (near_x[k] - x) ** 2
        own[k] = power * np.exp(scale * square)
        left[k] = data[near_y[k], near_x[k]] - mean
    value, known, again = mean, 0.0, 0.0
    # Cholesky: K = L L^T; value = own^T K^-1 left, known = own^T K^-1 own
    for k in range(count):
        for m in range(k):
            rest = lower[k, m]
            for n in range(m):
                rest -= lower[k, n] * lower[m, n]
            lower[k, m] = rest / lower[m, m]
        rest = lower[k, k]
        for n in range(k):
            rest -= lower[k, n] * lower[k, n]
        lower[k, k] = np.sqrt(max(rest, 1e-6 * variance[near_y[k], near_x[k]]))
        for n in range(k):
            own[k] -= lower[k, n] * own[n]
            left[k] -= lower[k, n] * left[n]
        own[k] /= lower[k, k]
        left[k] /= lower[k, k]
        value += own[k] * left[k]
        known += own[k] * own[k]
    for k in range(count - 1, -1, -1):
        for n in range(k + 1, count):
            own[k] -= lower[n, k] * own[n]
        own[k] /= lower[k, k]
        again += (2.0 * own[k] + own[k] ** 2) * variance[near_y[k], near_x[k]]
    return value, max(power - known, 0.0) + max(again, 0.0)


@compiled
def _from_cells(
    data: NDArray[np.float32],
    variance: NDArray[np.float32],
    flags: NDArray[np.uint16],
    bits: np.uint16,
    cells: NDArray[np.float32],
    y: int,
    x: int,
) -> tuple[float, float]:
    """Return value and variance of a pixel in a large gap: between the medians of four cells."""
    place_y, place_x = (y + 0.5) / CELL - 0.5, (x + 0.5) / CELL - 0.5
    low_y, low_x = int(np.floor(place_y)), int(np.floor(place_x))
    value, spread = 0.0, 0.0
    for j in range(low_y, low_y + 2):
        for i in range(low_x, low_x + 2):
            share = (1.0 - abs(place_y - j)) * (1.0 - abs(place_x - i))
            row = min(max(j, 0), (data.shape[0] - 1) // CELL)
            column = min(max(i, 0), (data.shape[1] - 1) // CELL)
            if np.isnan(cells[row, column, 0]):
                _median_about(data, variance, flags, bits, row, column, cells)
            if share > 0.0:
                value += share * cells[row, column, 0]
                spread += share * cells[row, column, 1]
    return value, spread


@compiled
def _median_about(
    data: NDArray[np.float32],
    variance: NDArray[np.float32],
    flags: NDArray[np.uint16],
    bits: np.uint16,
    row: int,
    column: int,
    cells: NDArray[np.float32],
) -> None:
    """Set the median of the usable pixels in and around a cell; 0 if there are none near.

    The square about the cell grows until half a cell's worth of pixels is usable. Twice the mean
    variance of the pixels is that of a filled one, as for small gaps.
    """
    rows, columns = data.shape
    half = 1
    cells[row, column, 0] = 0.0
    cells[row, column, 1] = np.inf
    while half <= LARGEST_HALF_CELLS:
        top, left = max(0, (row - half) * CELL), max(0, (column - half) * CELL)
        bottom = min(rows, (row + half + 1) * CELL)
        right = min(columns, (column + half + 1) * CELL)
        buffer = np.empty((bottom - top) * (right - left), np.float32)
        count, noise = 0, 0.0
        for y in range(top, bottom):
            for x in range(left, right):
                if not flags[y, x] & bits and np.isfinite(data[y, x] + variance[y, x]):
                    buffer[count] = data[y, x]
                    noise += variance[y, x]
                    count += 1
        if 2 * count >= CELL * CELL:
            cells[row, column, 0] = np.median(buffer[:count])
            cells[row, column, 1] = 2.0 * noise / count
            return
        half *= 2
