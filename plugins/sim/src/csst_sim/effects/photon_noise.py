"""Poisson noise of electrons, fast on whole frames."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from csstcore.api import compiled

TILE_ROWS = 256
SMALLEST_NORMAL = 16.0
"""Expected electrons from which the normal expansion is used; below, the exact inverse."""


@compiled
def poisson(
    expected: NDArray[np.float32], normal: NDArray[np.float32], uniform: NDArray[np.float32]
) -> None:
    """Replace expected values by Poisson variates, in place.

    Values below `SMALLEST_NORMAL`: the inverse distribution function of a uniform number, for
    a row at a time so that it vectorises. Larger ones: Giles's expansion of that function in a
    normal number w (2016, ACM TOMS 42, 1, eq. 6),

        floor(m + sqrt(m) w + (2 + w^2)/6 - (2 w + w^3)/(72 sqrt(m)))

    whose mean, variance and skewness are those of Poisson's distribution.
    """
    rows, columns = expected.shape
    mean = np.empty(columns, np.float64)
    term = np.empty(columns, np.float64)
    below = np.empty(columns, np.float64)
    count = np.empty(columns, np.float32)
    zero, one, two = np.float32(0.0), np.float32(1.0), np.float32(2.0)
    sixth, small_factor = np.float32(1.0 / 6.0), np.float32(1.0 / 72.0)
    for row in range(rows):
        largest = zero
        for column in range(columns):
            value = expected[row, column]
            small = max(value, zero) if value < SMALLEST_NORMAL else zero
            mean[column], count[column] = small, zero
            largest = max(largest, small)
        last = int(largest + 6.0 * np.sqrt(largest) + 8.0) if largest > zero else 0
        if last:
            for column in range(columns):
                term[column] = np.exp(-mean[column])
                below[column] = term[column]
        for k in range(1, last):
            share = 1.0 / k
            for column in range(columns):
                count[column] += one if uniform[row, column] > below[column] else zero
                term[column] *= mean[column] * share
                below[column] += term[column]
        for column in range(columns):
            value = expected[row, column]
            if value < SMALLEST_NORMAL:
                expected[row, column] = count[column]
            else:
                w, root = normal[row, column], np.sqrt(value)
                square = two + w * w
                value += root * w + square * sixth - w * square * small_factor / root
                expected[row, column] = max(np.floor(value), zero)


def add_photon_noise(image: NDArray[np.float32], rng: np.random.Generator) -> None:
    """Replace expected electrons by a realisation, in place, by tiles of rows.

    Normal numbers are drawn for tiles that need one.
    """
    normal = np.empty((min(TILE_ROWS, len(image)), image.shape[1]), np.float32)
    uniform = np.empty_like(normal)
    for start in range(0, len(image), TILE_ROWS):
        tile = image[start : start + TILE_ROWS]
        if tile.max() >= SMALLEST_NORMAL:
            rng.standard_normal(out=normal, dtype=np.float32)
        rng.random(out=uniform, dtype=np.float32)
        poisson(tile, normal[: len(tile)], uniform[: len(tile)])
