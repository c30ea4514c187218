"""Sums of pixels in concentric circles, all radii in one pass over the pixels."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

HALF_DIAGONAL = math.sqrt(0.5)
FINE_RADIUS_PIXEL = 12.0
"""Circles up to this radius share their edge pixels out finely: stars are steep there."""

FINE_CHORDS, COARSE_CHORDS = 8, 2


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def sum_circles(
    data: NDArray[np.float32],
    variance: NDArray[np.float32],
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    radii: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int32]]:
    """Sum data and variance in concentric circles around positions.

    A pixel on the edge counts by the part of its area inside, from chords across it.

    Parameters
    ----------
    data, variance
        Planes of shape (rows, columns); a pixel of infinite variance has no value.
    x, y
        Positions, 0-based pixel.
    radii
        Growing radii of at least 1 pixel.

    Returns
    -------
    tuple
        Sums and errors, shape (positions, radii); and the index of the smallest circle that
        is not complete (number of radii if all are).
    """
    rows, columns = data.shape
    number = radii.size
    largest = radii[-1] + HALF_DIAGONAL
    first = np.empty(int(largest * largest) + 2, np.int64)  # circle met, by squared distance
    whole = np.empty(first.size, np.bool_)  # and whether the pixel surely lies inside it
    for squared in range(first.size):
        k = np.searchsorted(radii, math.sqrt(squared) - HALF_DIAGONAL)
        first[squared] = k
        whole[squared] = k < number and radii[k] >= math.sqrt(squared + 1) + HALF_DIAGONAL
    flux = np.zeros((x.size, number))
    noise = np.zeros((x.size, number))
    complete = np.full(x.size, number, np.int32)
    inside_flux, inside_noise = np.empty(number), np.empty(number)
    for i in range(x.size):
        inside_flux[:] = 0.0
        inside_noise[:] = 0.0
        margin = min(x[i], y[i], columns - 1 - x[i], rows - 1 - y[i]) + 0.5
        complete[i] = np.searchsorted(radii, margin, side="right")
        for row in range(max(0, int(y[i] - largest)), min(rows, int(y[i] + largest) + 2)):
            dy = abs(row - y[i])
            for column in range(max(0, int(x[i] - largest)), min(columns, int(x[i] + largest) + 2)):
                dx = abs(column - x[i])
                squared_distance = dx * dx + dy * dy
                if squared_distance >= largest * largest:
                    continue
                value, sigma2 = data[row, column], variance[row, column]
                cell = int(squared_distance)
                k = first[cell]
                if sigma2 == np.inf:
                    complete[i] = min(complete[i], k)
                    continue
                if whole[cell]:
                    inside_flux[k] += value
                    inside_noise[k] += sigma2
                    continue
                distance = math.sqrt(squared_distance)
                while k < number and radii[k] < distance + HALF_DIAGONAL:
                    part = edge_fraction(dx, dy, radii[k])
                    flux[i, k] += part * value
                    noise[i, k] += part * sigma2
                    k += 1
                if k < number:
                    inside_flux[k] += value
                    inside_noise[k] += sigma2
        flux[i] += np.cumsum(inside_flux)
        noise[i] = np.sqrt(noise[i] + np.cumsum(inside_noise))
    return flux, noise, complete


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def edge_fraction(dx: float, dy: float, radius: float) -> float:
    """Return the part of a pixel inside a circle.

    Parameters
    ----------
    dx, dy
        Absolute distances of the pixel's centre from the circle's.
    radius
        Radius of the circle, at least 1 pixel.
    """
    along, across = min(dx, dy), max(dx, dy)
    chords = FINE_CHORDS if radius <= FINE_RADIUS_PIXEL else COARSE_CHORDS
    total = 0.0
    for n in range(chords):
        t = along - 0.5 + (n + 0.5) / chords
        height = radius * radius - t * t
        if height > 0.0:
            total += min(max(math.sqrt(height) - across + 0.5, 0.0), 1.0)
    return total / chords
