"""From light to expected electrons: response of pixels, illumination and shutter."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from csstcore.api import compiled


@compiled
def pixel_normal(seed: np.uint64, index: np.uint64) -> np.float32:
    """Return a fixed, nearly normal number of a pixel: mean 0, standard deviation 1.

    The sum of the four 16-bit parts of a splitmix64 hash (Steele, Lea & Flood 2014); so the
    pattern of a whole detector needs no memory and no order.
    """
    z = seed + index * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    mask = np.uint64(0xFFFF)
    total = np.float32(
        (z & mask)
        + ((z >> np.uint64(16)) & mask)
        + ((z >> np.uint64(32)) & mask)
        + (z >> np.uint64(48))
    )
    return (total - np.float32(131070.0)) * np.float32(1.0 / 37837.2)


@compiled
def apply_response(
    image: NDArray[np.float32],
    along_y: NDArray[np.float32],
    along_x: NDArray[np.float32],
    time_y: NDArray[np.float32],
    prnu: np.float32,
    seed: np.uint64,
) -> None:
    """Turn a rate into detected electrons, in place: times response, times open time.

    Parameters
    ----------
    image
        Electrons per second of an ideal pixel, shape (rows, columns).
    along_y, along_x
        Large-scale response; the response is their product.
    time_y
        Open time of the shutter by row, in seconds.
    prnu
        Standard deviation of the response of pixels.
    seed
        Seed of the pattern.
    """
    rows, columns = image.shape
    for row in range(rows):
        factor = along_y[row] * time_y[row]
        first = np.uint64(row) * np.uint64(columns)
        for column in range(columns):
            value = image[row, column] * factor * along_x[column]
            if prnu > 0.0:
                pattern = pixel_normal(seed, first + np.uint64(column))
                value *= np.float32(1.0) + prnu * pattern
            image[row, column] = value


def shutter_times(exposure_time_s: float, error_s: float, rows: int) -> NDArray[np.float32]:
    """Return the open time by row: ``t + e (1 - 3 y^2) / 2`` with y from -1 to 1.

    The error is that of a blade whose speed is not constant; its mean over the frame is 0.
    """
    y = np.linspace(-1.0, 1.0, rows)
    return np.maximum(exposure_time_s + error_s * (0.5 - 1.5 * y * y), 0.0).astype(np.float32)
