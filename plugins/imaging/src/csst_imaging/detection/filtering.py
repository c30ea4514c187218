"""The pixels that stand out of the sky after a matched filter."""

from __future__ import annotations

import math
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from csstcore.api import compiled

FIRST_CAPACITY = 1 << 16
CANDIDATE = np.float32(0.25)
"""Only pixels whose squared filtered value is this part of the limit are looked at closely."""

RUN = 64
"""Pixels looked at together: most runs hold none above the threshold."""

FWHM_OVER_SIGMA = 2.0 * np.sqrt(2.0 * np.log(2.0))
Number = TypeVar("Number", bound=np.generic)


def gaussian_profile(fwhm_pixel: float) -> NDArray[np.float32]:
    """Return a Gaussian of odd width, at least 3 pixels, with sum 1."""
    half = max(int(np.ceil(fwhm_pixel)), 1)
    x = np.arange(-half, half + 1)
    profile = np.exp(-0.5 * (x * FWHM_OVER_SIGMA / fwhm_pixel) ** 2)
    return np.asarray(profile / profile.sum(), np.float32)


@compiled
def bright_pixels(
    data: NDArray[np.float32],
    background: NDArray[np.float32],
    variance: NDArray[np.float32],
    profile: NDArray[np.float32],
    threshold: float,
    start: int,
    stop: int,
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32], NDArray[np.float32]]:
    """Return the pixels of some rows whose filtered value exceeds the threshold.

    Only `profile.size` filtered rows are held at a time. Beyond the edges and at pixels without
    value (not finite, or without a finite positive variance) the signal is 0.

    Parameters
    ----------
    data, background, variance
        Planes of shape (rows, columns).
    profile
        The filter is the outer product of this with itself; odd width.
    threshold
        In standard deviations of the noise of one pixel. The variance is averaged under the
        filter: where it was made from the data it would otherwise rise with the noise's peaks.
    start, stop
        Rows.

    Returns
    -------
    tuple
        Row, column, filtered value and threshold of the pixels, row by row.
    """
    rows, columns = data.shape
    taps = profile.size
    half = taps // 2
    line = np.zeros(columns + 2 * half, np.float32)
    ring = np.zeros((taps, columns), np.float32)
    smooth = np.empty(columns, np.float32)
    limit = np.float32(threshold * threshold)
    row_of = np.empty(FIRST_CAPACITY, np.int32)
    column_of = np.empty(FIRST_CAPACITY, np.int32)
    value_of = np.empty(FIRST_CAPACITY, np.float32)
    limit_of = np.empty(FIRST_CAPACITY, np.float32)
    number = 0
    for entering in range(start - half, stop + half):
        slot = ring[entering % taps]
        if 0 <= entering < rows:
            signals(data[entering], background[entering], variance[entering], line[half:])
            weigh(line, profile, slot)
        else:
            slot[:] = 0.0
        row = entering - half
        if row < start:
            continue
        smooth[:] = 0.0
        for tap in range(taps):
            add(profile[tap], ring[(row + tap - half) % taps], smooth)
        if number + columns > row_of.size:
            row_of, column_of = longer(row_of), longer(column_of)
            value_of, limit_of = longer(value_of), longer(limit_of)
        noise = variance[row]
        for first in range(0, columns, RUN):
            last = min(first + RUN, columns)
            if not any_above(smooth[first:last], noise[first:last], CANDIDATE * limit):
                continue
            for column in range(first, last):
                value = smooth[column]
                if not (value > 0.0 and value * value > CANDIDATE * limit * noise[column] > 0.0):
                    continue
                square = limit * filtered_variance(variance, profile, row, column)
                if value * value > square:
                    row_of[number], column_of[number], value_of[number] = row, column, value
                    limit_of[number] = math.sqrt(square)
                    number += 1
    return (
        row_of[:number].copy(),
        column_of[:number].copy(),
        value_of[:number].copy(),
        limit_of[:number].copy(),
    )


@compiled
def filtered_variance(
    variance: NDArray[np.float32], profile: NDArray[np.float32], row: int, column: int
) -> float:
    """Return the mean variance of the pixels under the filter, weighted by it."""
    half = profile.size // 2
    total = weight = 0.0
    for j in range(max(row - half, 0), min(row + half + 1, variance.shape[0])):
        for i in range(max(column - half, 0), min(column + half + 1, variance.shape[1])):
            noise = variance[j, i]
            if noise > 0.0 and noise < np.inf:
                w = profile[j - row + half] * profile[i - column + half]
                total += w * noise
                weight += w
    return total / weight if weight > 0.0 else np.inf


@compiled
def signals(
    data: NDArray[np.float32],
    background: NDArray[np.float32],
    variance: NDArray[np.float32],
    line: NDArray[np.float32],
) -> None:
    """Write data minus background of one row, 0 where there is no value."""
    for column in range(data.size):
        signal = data[column] - background[column]
        noise = variance[column]
        good = (abs(signal) < np.inf) & (noise > 0.0) & (noise < np.inf)
        line[column] = signal if good else np.float32(0.0)


@compiled
def weigh(
    line: NDArray[np.float32], profile: NDArray[np.float32], smooth: NDArray[np.float32]
) -> None:
    """Write the filtered values along one row."""
    smooth[:] = 0.0
    for tap in range(profile.size):
        add(profile[tap], line[tap : tap + smooth.size], smooth)


@compiled
def add(weight: np.float32, part: NDArray[np.float32], total: NDArray[np.float32]) -> None:
    """Add a weighted row to another."""
    for column in range(total.size):
        total[column] += weight * part[column]


@compiled
def any_above(
    smooth: NDArray[np.float32], variance: NDArray[np.float32], limit: np.float32
) -> bool:
    """Return whether a pixel of a run may exceed its threshold; a loop without branches."""
    number = 0
    for column in range(smooth.size):
        value = smooth[column]
        number += (value > 0.0) & (value * value > limit * variance[column])
    return number > 0


@compiled
def longer(values: NDArray[Number]) -> NDArray[Number]:
    """Return an array of twice the length with the same beginning."""
    grown = np.empty(2 * values.size, values.dtype)
    grown[: values.size] = values
    return grown
