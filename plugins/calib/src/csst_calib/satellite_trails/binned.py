"""A frame binned to about 1000 cells a side, in units of the noise, sources held down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates, median_filter, uniform_filter

from csst_calib.tiles import Region
from csstcore.api import compiled

MOST_CELLS = 1024
"""Cells along the longer side of a frame."""
CLIP_SIGMA = 3.0
"""Pixels beyond this count as this: a source adds little to the sum along a line, while a
trail adds at every step."""
_CLIP_CELLS = 2.0
"""The same for cells."""
_MESH_CELLS = 48
_SAMPLE_STEP = 8
_SAMPLES_A_SIDE = 18
_SIGMA_OF_MAD = 1.4826
_LEAST_GOOD_FRACTION = 0.3


@dataclass(frozen=True)
class Binned:
    """A frame in cells of `size` x `size` pixels."""

    signal: NDArray[np.float32]
    """Signal over noise of each cell; 0 where too few pixels are usable."""
    sky: NDArray[np.float32]
    """What was subtracted, in the unit of the frame."""
    size: int
    noise: float
    """Standard deviation of a pixel of sky, in the unit of the frame."""


def bin_frame(
    data: NDArray[np.float32],
    flags: NDArray[np.uint16],
    unusable: np.uint16,
    regions: Sequence[Region],
) -> Binned:
    """Bin a frame for the search of lines.

    Background and noise come from medians of a sample of the pixels. Pixels are cut at 3
    sigma before they are averaged in cells; what varies over more than about 50 cells, and the
    medians of rows and columns, are subtracted; the result is in units of its own robust
    scatter, cut at 2, less its local mean.

    Parameters
    ----------
    data
        Shape (rows, columns).
    flags
        Of the same shape.
    unusable
        Pixels with any of these bits are left out.
    regions
        Parts of the frame that are read by one amplifier each.
    """
    level, noise = _background(data, flags, unusable)
    size = -(-max(data.shape) // MOST_CELLS)
    shape = -(-data.shape[0] // size), -(-data.shape[1] // size)
    total: NDArray[np.float32] = np.zeros(shape, np.float32)
    count: NDArray[np.float32] = np.zeros(shape, np.float32)
    reach = np.float32(CLIP_SIGMA * noise)
    sample = _SAMPLE_STEP * _SAMPLES_A_SIDE
    _bin(data, flags, unusable, level, sample, reach, size, total, count)
    usable = count >= _LEAST_GOOD_FRACTION * size * size
    count[~usable] = 1
    signal: NDArray[np.float32] = total / count
    sky = _smooth(signal, usable)
    signal -= sky
    root = np.sqrt(count)
    signal *= root
    signal[~usable] = 0
    scatter = _SIGMA_OF_MAD * float(np.median(np.abs(signal[usable]))) if usable.any() else 0.0
    if scatter > 0:
        signal /= np.float32(scatter)
        lines = _lines(signal, usable, regions, size)
        signal -= lines
        sky += lines * np.float32(scatter) / root
    np.clip(signal, -_CLIP_CELLS, _CLIP_CELLS, out=signal)
    _subtract_mean(signal, usable)
    return Binned(signal, sky, size, noise)


def _background(
    data: NDArray[np.float32], flags: NDArray[np.uint16], unusable: np.uint16
) -> tuple[NDArray[np.float32], float]:
    """Return medians of squares of 144 pixels, and the noise of a pixel."""
    part = data[::_SAMPLE_STEP, ::_SAMPLE_STEP]
    bad = (flags[::_SAMPLE_STEP, ::_SAMPLE_STEP] & unusable) != 0
    sample = np.where(bad | ~np.isfinite(part), np.float32(np.nan), part)
    level = _medians(sample, _SAMPLES_A_SIDE)
    known = np.isfinite(level)
    if not known.any():
        return np.zeros_like(level), 0.0
    level[~known] = np.median(level[known])
    shape = sample.shape
    rows = np.arange(shape[0]) // _SAMPLES_A_SIDE
    columns = np.arange(shape[1]) // _SAMPLES_A_SIDE
    deviation = np.abs(sample - level[np.ix_(rows, columns)])
    return level, _SIGMA_OF_MAD * float(np.median(deviation[np.isfinite(deviation)]))


def _subtract_mean(signal: NDArray[np.float32], usable: NDArray[np.bool_]) -> None:
    """Subtract the local mean, which sources raise above the median, in place."""
    side = 2 * _MESH_CELLS + 1
    share = uniform_filter(usable.astype(np.float32), side, mode="nearest")
    mean = uniform_filter(signal, side, mode="nearest")
    signal -= mean / np.maximum(share, np.float32(0.1))
    signal[~usable] = 0


def _lines(
    signal: NDArray[np.float32], usable: NDArray[np.bool_], regions: Sequence[Region], size: int
) -> NDArray[np.float32]:
    """Return medians of the rows and columns of each region.

    They hold the drift and the pattern of the bias. Of a bright trail along a row or column
    most stays in the signal, for they are cut at 1.
    """
    found = np.zeros_like(signal)
    for region in regions:
        cells = tuple(
            slice(round(part.start / size), max(round(part.stop / size), part.start // size + 1))
            for part in region
        )
        good = usable[cells]
        for axis in (1, 0):
            known = good.sum(axis=axis) >= _LEAST_GOOD_FRACTION * good.shape[axis]
            middle = np.median(signal[cells] - found[cells], axis=axis)
            level = np.where(known, np.clip(middle, -1, 1), 0).astype(np.float32)
            found[cells] += np.expand_dims(level, axis)
    found[~usable] = 0
    return found


def _smooth(signal: NDArray[np.float32], usable: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return what varies over many cells: medians of a mesh, filtered, interpolated."""
    mesh = _medians(np.where(usable, signal, np.float32(np.nan)), _MESH_CELLS)
    known = np.isfinite(mesh)
    if not known.any():
        return np.zeros_like(signal)
    mesh[~known] = np.median(mesh[known])
    mesh = median_filter(mesh, size=3, mode="nearest")
    rows, columns = ((np.arange(n) + 0.5) / _MESH_CELLS - 0.5 for n in signal.shape)
    along = map_coordinates(
        mesh,
        np.meshgrid(rows, np.arange(mesh.shape[1]), indexing="ij"),
        order=1,
        mode="nearest",
        output=np.float32,
    )
    left = np.clip(np.floor(columns).astype(int), 0, mesh.shape[1] - 1)
    right = np.minimum(left + 1, mesh.shape[1] - 1)
    share = np.clip(columns - left, 0, 1).astype(np.float32)
    return np.asarray(along[:, left] * (1 - share) + along[:, right] * share, np.float32)


@compiled
def _medians(values: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Return the medians of squares, leaving NaN out; NaN where half is missing."""
    rows, columns = values.shape
    result = np.full((-(-rows // side), -(-columns // side)), np.nan, np.float32)
    buffer = np.empty(side * side, np.float32)
    for i in range(result.shape[0]):
        for j in range(result.shape[1]):
            count, total = 0, 0
            for row in range(i * side, min((i + 1) * side, rows)):
                for column in range(j * side, min((j + 1) * side, columns)):
                    total += 1
                    if not np.isnan(values[row, column]):
                        buffer[count] = values[row, column]
                        count += 1
            if count > 0 and 2 * count >= total:
                result[i, j] = np.median(buffer[:count])
    return result


@compiled
def _bin(
    data: NDArray[np.float32],
    flags: NDArray[np.uint16],
    unusable: np.uint16,
    level: NDArray[np.float32],
    level_side: int,
    reach: np.float32,
    size: int,
    total: NDArray[np.float32],
    count: NDArray[np.float32],
) -> None:
    """Add up pixels in cells, cut at `reach` either side of the background."""
    rows, columns = data.shape
    sums, good = np.zeros(columns, np.float32), np.zeros(columns, np.float32)
    zero, one = np.float32(0.0), np.float32(1.0)
    for row in range(rows):
        background = level[row // level_side]
        for j in range(len(background)):
            here = background[j]
            for column in range(j * level_side, min((j + 1) * level_side, columns)):
                value = data[row, column]
                usable = (flags[row, column] & unusable) == 0 and value == value
                value = min(max(value, here - reach), here + reach)
                sums[column] += value if usable else zero
                good[column] += one if usable else zero
        if row % size == size - 1 or row == rows - 1:
            for column in range(columns):
                total[row // size, column // size] += sums[column]
                count[row // size, column // size] += good[column]
            sums[:] = zero
            good[:] = zero
