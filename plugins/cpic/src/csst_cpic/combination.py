"""Combination of derotated frames, pixel by pixel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from csst_cpic.reduction import Combination
from csstcore.api import compiled, each, pieces


def combined(
    values: NDArray[np.float32],
    how: Combination,
    variance: NDArray[np.float32] | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int32]]:
    """Combine frames; values that are NaN do not count.

    Parameters
    ----------
    values
        Shape (frames, pixels).
    how
        Mean, median, or mean weighted with 1 / `variance`.
    variance
        Shape as `values`. Values whose variance is not positive do not count. None: no variance
        is propagated.

    Returns
    -------
    combined, variance, count
        Shape (pixels,); NaN, NaN and 0 where nothing counts. The variance of a median is that
        of a mean times pi / 2, its limit for many frames of Gaussian noise.
    """
    if how == "weighted" and variance is None:
        raise ValueError("a weighted mean needs variances")
    pixels = values.shape[1]
    result, error = np.empty(pixels, np.float32), np.full(pixels, np.nan, np.float32)
    count = np.empty(pixels, np.int32)
    noise = np.empty((0, 0), np.float32) if variance is None else variance

    def part(run: slice) -> None:
        given = noise if variance is None else noise[:, run]
        columns = values[:, run]
        if how == "median":
            _medians(columns, given, result[run], error[run], count[run])
        else:
            _means(columns, given, how == "weighted", result[run], error[run], count[run])

    each(part, pieces(pixels, 1000))
    return result, error, count


@compiled
def _means(
    values: NDArray[np.float32],
    variance: NDArray[np.float32],
    weighted: bool,
    result: NDArray[np.float32],
    error: NDArray[np.float32],
    count: NDArray[np.int32],
) -> None:
    """Fill in means, weighted or not, their variances and numbers of values."""
    frames, pixels = values.shape
    given = variance.shape[0] > 0
    weights, sums, squares = np.zeros(pixels), np.zeros(pixels), np.zeros(pixels)
    count[:] = 0
    for frame in range(frames):
        for pixel in range(pixels):
            value = values[frame, pixel]
            noise = variance[frame, pixel] if given else np.float32(1.0)
            if not (np.isfinite(value) and noise > 0 and np.isfinite(noise)):
                continue
            weight = 1.0 / noise if weighted else 1.0
            weights[pixel] += weight
            sums[pixel] += weight * value
            squares[pixel] += weight * weight * noise
            count[pixel] += 1
    for pixel in range(pixels):
        result[pixel] = sums[pixel] / weights[pixel] if count[pixel] else np.nan
        if given:
            error[pixel] = squares[pixel] / weights[pixel] ** 2 if count[pixel] else np.nan


@compiled
def _medians(
    values: NDArray[np.float32],
    variance: NDArray[np.float32],
    result: NDArray[np.float32],
    error: NDArray[np.float32],
    count: NDArray[np.int32],
) -> None:
    """Fill in medians, their variances and numbers of values."""
    frames, pixels = values.shape
    given = variance.shape[0] > 0
    chosen = np.empty(frames, np.float32)
    for pixel in range(pixels):
        number, noise = 0, 0.0
        for frame in range(frames):
            value = values[frame, pixel]
            if not np.isfinite(value):
                continue
            if given:
                if not (variance[frame, pixel] > 0 and np.isfinite(variance[frame, pixel])):
                    continue
                noise += variance[frame, pixel]
            chosen[number] = value
            number += 1
        count[pixel] = number
        result[pixel] = np.median(chosen[:number]) if number else np.nan
        if given:
            error[pixel] = np.nan
            if number:
                error[pixel] = noise / number**2 * (np.pi / 2 if number > 2 else 1.0)
