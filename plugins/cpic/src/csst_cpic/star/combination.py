"""Combination of derotated frames, pixel by pixel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from csst_cpic.star.reduction import Combination
from csstcore.api import compiled, each, pieces


def combined(
    values: NDArray[np.float32],
    how: Combination,
    variance: NDArray[np.float32] | None = None,
    weights: NDArray[np.float32] | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int32]]:
    """Combine frames; values that are NaN do not count.

    Parameters
    ----------
    values
        Shape (frames, pixels).
    how
        Mean, median, or mean weighted with `weights`.
    variance
        Shape as `values`. Values whose variance is not positive do not count. None: no variance
        is propagated.
    weights
        Shape as `values`. Values whose weight is not positive do not count.

    Returns
    -------
    combined, variance, count
        Shape (pixels,); NaN, NaN and 0 where nothing counts. The variance of a median is that
        of a mean times pi / 2, its limit for many frames of Gaussian noise.
    """
    if how == "weighted" and weights is None:
        raise ValueError("a weighted mean needs weights")
    pixels = values.shape[1]
    result, error = np.empty(pixels, np.float32), np.full(pixels, np.nan, np.float32)
    count = np.empty(pixels, np.int32)
    none = np.empty((0, pixels), np.float32)
    noise = none if variance is None else variance
    weight = weights if how == "weighted" and weights is not None else none

    def part(run: slice) -> None:
        filled = (result[run], error[run], count[run])
        if how == "median":
            _medians(values[:, run], noise[:, run], *filled)
        else:
            _means(values[:, run], noise[:, run], weight[:, run], *filled)

    each(part, pieces(pixels, 1000))
    return result, error, count


@compiled
def _means(
    values: NDArray[np.float32],
    variance: NDArray[np.float32],
    weight: NDArray[np.float32],
    result: NDArray[np.float32],
    error: NDArray[np.float32],
    count: NDArray[np.int32],
) -> None:
    """Fill in means, weighted or not, their variances and numbers of values."""
    frames, pixels = values.shape
    given, weighted = variance.shape[0] > 0, weight.shape[0] > 0
    weights, sums, squares = np.zeros(pixels), np.zeros(pixels), np.zeros(pixels)
    count[:] = 0
    for frame in range(frames):
        for pixel in range(pixels):
            value = values[frame, pixel]
            noise = variance[frame, pixel] if given else np.float32(1.0)
            share = weight[frame, pixel] if weighted else np.float32(1.0)
            if not (np.isfinite(value) and 0 < noise < np.inf and 0 < share < np.inf):
                continue
            weights[pixel] += share
            sums[pixel] += share * value
            squares[pixel] += share * share * noise
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
