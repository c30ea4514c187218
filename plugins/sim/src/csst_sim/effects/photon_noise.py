"""Poisson noise of electrons, fast on whole frames."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from csst_sim.compiled import compiled

TILE_ROWS = 256
SMALLEST_NORMAL = 16.0
"""Expected electrons from which the normal expansion is used; below, the exact inverse."""


@compiled
def poisson(
    expected: NDArray[np.float32], normal: NDArray[np.float32], uniform: NDArray[np.float32]
) -> None:
    """Replace expected values by Poisson variates, in place.

    Small values: the inverse distribution function of a uniform number. Larger ones: Giles's
    expansion of it in a normal number w (2016, ACM TOMS 42, 1, eq. 6),

        floor(m + sqrt(m) w + (2 + w^2)/6 - (2 w + w^3)/(72 sqrt(m)))

    whose mean, variance and skewness are those of Poisson's distribution.
    """
    rows, columns = expected.shape
    for row in range(rows):
        for column in range(columns):
            mean = expected[row, column]
            if mean <= 0.0:
                expected[row, column] = 0.0
            elif mean >= SMALLEST_NORMAL:
                w = normal[row, column]
                root = np.sqrt(mean)
                value = (
                    mean + root * w + (2.0 + w * w) / 6.0 - (2.0 * w + w * w * w) / (72.0 * root)
                )
                expected[row, column] = max(np.floor(value), 0.0)
            else:
                left = np.float64(uniform[row, column])
                term = np.exp(-np.float64(mean))
                count = 0
                while left > term and count < 100:
                    left -= term
                    count += 1
                    term *= mean / count
                expected[row, column] = count


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
