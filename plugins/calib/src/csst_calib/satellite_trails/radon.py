"""Sums along all straight lines through an image by the fast discrete Radon transform.

Goetz & Druckmueller 1996 (Pattern Recognition 29, 711), Brady 1998 (SIAM J. Comput. 27, 107);
for streaks in astronomical images Nir, Zackay & Ofek 2018 (AJ 156, 229). All N^2 lines of a
quarter of the directions cost N^2 log N additions: sums over 2^m rows are put together from
pairs of sums over half as many.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from csstcore.api import compiled

WIDTHS = (1, 2, 4, 8)
"""Numbers of neighbouring parallel lines that are added up, for wide trails."""
_TILE = 16


@dataclass(frozen=True, order=True)
class Candidate:
    """A line whose sum is high."""

    signal_to_noise: float
    start: tuple[float, float]
    """(x, y) of its two ends in 0-based cells."""
    end: tuple[float, float]
    width: int
    """Cells across."""


def find_lines(signal: NDArray[np.float32], limit: float, shortest: int) -> list[Candidate]:
    """Find lines along which the sum is significant, the highest first.

    Parameters
    ----------
    signal
        Cells in units of their noise, at most 1024 a side.
    limit
        Least sum over the square root of the number of cells.
    shortest
        Least number of cells of a line within the image.

    Returns
    -------
    list
        The highest in each tile of 16 x 16 lines of similar slope and place.
    """
    found = []
    for transposed in (False, True):
        image = signal.T if transposed else signal
        for mirrored in (False, True):
            view = image[:, ::-1] if mirrored else image
            sums = _transform(view)
            rows, columns = view.shape
            for line in _peaks(sums, rows, columns, np.array(WIDTHS), limit, shortest):
                found.append(_line(line, view.shape, transposed, mirrored))
    return sorted(found, reverse=True)


def _line(
    line: NDArray[np.float64], shape: tuple[int, int], transposed: bool, mirrored: bool
) -> Candidate:
    value, slope, start, width = line
    rows, columns = shape
    ends = [(start, 0.0), (start + slope, rows - 1.0)]
    if mirrored:
        ends = [(columns - 1 - x, y) for x, y in ends]
    if transposed:
        ends = [(y, x) for x, y in ends]
    return Candidate(float(value), ends[0], ends[1], int(width))


def _transform(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return sums by shift over all rows and by column of the first row.

    ``sums[s, n + x]`` is that along the line from column x of the first row to x + s of row
    n - 1, where n, a power of two, is at least the number of rows.
    """
    rows, columns = image.shape
    padded = 1 << max(rows - 1, 1).bit_length()
    first = np.zeros((padded, columns + padded), np.float32)
    first[:rows, padded:] = image
    return _double(first, np.empty_like(first))


@compiled
def _double(old: NDArray[np.float32], new: NDArray[np.float32]) -> NDArray[np.float32]:
    rows, width = old.shape
    length = 1
    while length < rows:
        for block in range(0, rows, 2 * length):
            for shift in range(length):
                upper = old[block + length + shift]
                lower = old[block + shift]
                for odd in range(2):
                    step = shift + odd
                    out = new[block + 2 * shift + odd]
                    for x in range(width - step):
                        out[x] = lower[x] + upper[x + step]
                    for x in range(width - step, width):
                        out[x] = lower[x]
        old, new = new, old
        length *= 2
    return old


@compiled
def _length(start: float, per_row: float, side: float, rows: int, columns: int) -> float:
    """Return the rows in which all of a strip is within the image."""
    low, high = 0.0, float(rows)
    if per_row > 0:
        low = max(low, (side - start) / per_row)
        high = min(high, (columns - side - start) / per_row)
    elif start < side or start >= columns - side:
        return 0.0
    return high - low


@compiled
def _noise(sums: NDArray[np.float32], rows: int, columns: int, width: int, shortest: int) -> float:
    """Return the scatter of sums over the square root of their cells: 1 but for sources.

    Sources are larger than a cell, so that wide strips are noisier than their cells tell.
    """
    slopes, places = sums.shape
    limit, result = np.inf, 1.0
    for _ in range(3):  # trails are cut away
        square, count = 0.0, 0
        for slope in range(0, slopes, 16):
            per_row = slope / max(slopes - 1, 1)
            for place in range(0, places - width, 4):
                start = place + 0.5 * (width - 1) - slopes
                length = _length(start, per_row, 0.5 * (width - 1), rows, columns)
                if length >= shortest:
                    value = 0.0
                    for k in range(place, place + width):
                        value += sums[slope, k]
                    value = value * value / (length * width)
                    if value < limit:
                        square += value
                        count += 1
        if count == 0:
            break
        result = np.sqrt(square / count)
        limit = (3.0 * result) ** 2
    return max(result, 1.0)


@compiled
def _peaks(
    sums: NDArray[np.float32],
    rows: int,
    columns: int,
    widths: NDArray[np.int64],
    limit: float,
    shortest: int,
) -> NDArray[np.float64]:
    """Return (value, slope over the rows of the image, first column, width) of the peaks."""
    slopes, places = sums.shape
    tiles = -(-slopes // _TILE), -(-places // _TILE)
    best = np.zeros((tiles[0], tiles[1], 4))
    cumulated = np.zeros(places + 1)
    noise = np.ones(len(widths))
    for k in range(len(widths)):
        noise[k] = _noise(sums, rows, columns, widths[k], shortest)
    for slope in range(slopes):
        for place in range(places):
            cumulated[place + 1] = cumulated[place] + sums[slope, place]
        per_row = slope / max(slopes - 1, 1)
        for k in range(len(widths)):
            width = widths[k]
            least = limit * noise[k] * np.sqrt(float(shortest * width))
            for place in range(places - width):
                value = cumulated[place + width] - cumulated[place]
                if value < least:
                    continue
                start = place + 0.5 * (width - 1) - slopes
                length = _length(start, per_row, 0.5 * (width - 1), rows, columns)
                if length < shortest:
                    continue
                value /= noise[k] * np.sqrt(length * width)
                tile = best[slope // _TILE, place // _TILE]
                if value >= limit and value > tile[0]:
                    tile[0] = value
                    tile[1] = per_row * (rows - 1)
                    tile[2] = start
                    tile[3] = width
    return _filled(best)


@compiled
def _filled(best: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the tiles that hold a peak."""
    found = 0
    for i in range(best.shape[0]):
        for j in range(best.shape[1]):
            found += 1 if best[i, j, 0] > 0 else 0
    result = np.empty((found, 4))
    found = 0
    for i in range(best.shape[0]):
        for j in range(best.shape[1]):
            if best[i, j, 0] > 0:
                result[found] = best[i, j]
                found += 1
    return result
