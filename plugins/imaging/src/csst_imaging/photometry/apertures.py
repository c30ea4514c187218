"""Sums of pixels in concentric circles."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from csstcore.api import compiled

FINE_RADIUS_PIXEL = 12.0
"""Circles up to this radius share their edge pixels out finely: stars are steep there."""

FINE_CHORDS, COARSE_CHORDS = 8, 4
"""Chords per column of pixels."""

TIP_CHORDS = 6
"""So many times more at the tips of the circle, where their length changes fast."""


@compiled
def sum_circles(
    data: NDArray[np.float32],
    background: NDArray[np.float32],
    variance: NDArray[np.float32],
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    radii: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int32]]:
    """Sum signal and variance in concentric circles around positions.

    Sums along the columns of pixels are accumulated once for each source; a circle is made of
    chords along the columns, each the difference of two accumulated sums.

    Parameters
    ----------
    data, background, variance
        Planes of shape (rows, columns); a pixel without finite positive variance, or that is
        not finite, has no value.
    x, y
        Positions, 0-based pixel.
    radii
        Growing radii of at least 1 pixel.

    Returns
    -------
    tuple
        Sums and errors, shape (positions, radii), NaN for positions outside the image; and the
        index of the smallest circle that is not complete (number of radii if all are).
    """
    rows, columns = data.shape
    number = radii.size
    side = 2 * math.ceil(radii[-1]) + 3
    flux = np.zeros((x.size, number))
    noise = np.zeros((x.size, number))
    complete = np.full(x.size, number, np.int32)
    light, squares = np.zeros((side + 1, side)), np.zeros((side + 1, side))
    for i in range(x.size):
        if not (-0.5 < x[i] < columns - 0.5 and -0.5 < y[i] < rows - 0.5):
            flux[i] = noise[i] = np.nan
            complete[i] = 0
            continue
        margin = min(x[i], y[i], columns - 1 - x[i], rows - 1 - y[i]) + 0.5
        complete[i] = np.searchsorted(radii, margin, side="right")
        reach = radii[-1] + 0.5
        top, bottom = max(0, math.ceil(y[i] - reach)), min(rows, math.floor(y[i] + reach) + 1)
        left, right = max(0, math.ceil(x[i] - reach)), min(columns, math.floor(x[i] + reach) + 1)
        for row in range(top, bottom):
            good = accumulate(
                data[row, left:right], background[row, left:right], variance[row, left:right],
                light[row - top], squares[row - top],
                light[row - top + 1], squares[row - top + 1],
            )  # fmt: skip
            if not good:
                k = first_incomplete(data, variance, row, left, right, x[i], y[i], radii)
                complete[i] = min(complete[i], k)
        height = bottom - top
        for k in range(number):
            first = max(math.floor(x[i] - radii[k] + 0.5), left)
            last = min(math.floor(x[i] + radii[k] + 0.5), right - 1)
            for column in range(first, last + 1):
                signal, sigma2 = sum_chords(
                    light[:, column - left], squares[:, column - left], height,
                    column - x[i], y[i] - top + 0.5, radii[k],
                )  # fmt: skip
                flux[i, k] += signal
                noise[i, k] += sigma2
        noise[i] = np.sqrt(noise[i])
    return flux, noise, complete


@compiled
def accumulate(
    data: NDArray[np.float32],
    background: NDArray[np.float32],
    variance: NDArray[np.float32],
    light: NDArray[np.float64],
    squares: NDArray[np.float64],
    next_light: NDArray[np.float64],
    next_squares: NDArray[np.float64],
) -> bool:
    """Add a row of signal and variance to the sums before it; return whether all have a value."""
    missing = 0
    for n in range(data.size):
        value, sigma2 = data[n] - background[n], variance[n]
        good = (sigma2 > 0.0) & (sigma2 < np.inf) & (abs(value) < np.inf)
        next_light[n] = light[n] + (value if good else np.float32(0.0))
        next_squares[n] = squares[n] + (sigma2 if good else np.float32(0.0))
        missing += not good
    return missing == 0


@compiled
def first_incomplete(
    data: NDArray[np.float32],
    variance: NDArray[np.float32],
    row: int,
    left: int,
    right: int,
    x: float,
    y: float,
    radii: NDArray[np.float64],
) -> int:
    """Return the index of the smallest circle that a pixel without value of a row touches."""
    smallest = radii.size
    for column in range(left, right):
        sigma2 = variance[row, column]
        if sigma2 > 0.0 and sigma2 < np.inf and math.isfinite(data[row, column]):
            continue
        distance = math.hypot(max(abs(column - x) - 0.5, 0.0), max(abs(row - y) - 0.5, 0.0))
        smallest = min(smallest, int(np.searchsorted(radii, distance)))
    return smallest


@compiled
def sum_chords(
    light: NDArray[np.float64],
    squares: NDArray[np.float64],
    height: int,
    dx: float,
    center: float,
    radius: float,
) -> tuple[float, float]:
    """Return signal and variance of the part of one column of pixels inside a circle.

    Parameters
    ----------
    light, squares
        Signal and variance, accumulated along the column; one more than its pixels.
    height
        Pixels in the column.
    dx, center
        The column's centre from the circle's; the circle's centre in pixels from the first edge.
    radius
        Radius of the circle, at least 1 pixel.
    """
    chords = FINE_CHORDS if radius <= FINE_RADIUS_PIXEL else COARSE_CHORDS
    if abs(dx) + 1.0 > radius:
        chords *= TIP_CHORDS
    signal = sigma2 = 0.0
    for n in range(chords):
        t = dx - 0.5 + (n + 0.5) / chords
        square = radius * radius - t * t
        if square <= 0.0:
            continue
        half = math.sqrt(square)
        low = min(max(center - half, 0.0), float(height))
        high = min(max(center + half, 0.0), float(height))
        j, k = min(int(low), height - 1), min(int(high), height - 1)
        f, g = low - j, high - k
        a, b = light[k], light[j]
        signal += a + g * (light[k + 1] - a) - b - f * (light[j + 1] - b)
        a, b = squares[k], squares[j]
        sigma2 += a + g * (squares[k + 1] - a) - b - f * (squares[j + 1] - b)
    return signal / chords, sigma2 / chords
