"""Small images around sources, with what is wrong with their pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from csst_imaging.planes import Planes
from csstcore.api import Image, compiled

UNUSABLE = ("bad", "hot", "saturated", "cosmic_ray", "trail")
"""Flags of pixels whose value is not the light of the sky."""


def unusable_bits(image: Image) -> np.uint16:
    """Return the flags that forbid a pixel."""
    return np.uint16(sum(image.flag_bits.get(name, 0) for name in UNUSABLE))


def cut(
    planes: Planes, forbidden: np.uint16, x: NDArray[np.int64], y: NDArray[np.int64], size: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Cut square stamps around pixels.

    Parameters
    ----------
    planes
        The image.
    forbidden
        Flags of pixels that have no value, see `unusable_bits`.
    x, y
        0-based pixels, each at index ``size // 2`` of its stamp.
    size
        Rows and columns of a stamp.

    Returns
    -------
    tuple
        Data less background, and variance, shape (n, size, size). A pixel that is outside,
        not finite or flagged has the value 0 and infinite variance.
    """
    data = np.zeros((len(x), size, size), np.float32)
    variance = np.full(data.shape, np.inf, np.float32)
    _cut(
        *(planes.data, planes.background, planes.variance, planes.flags, forbidden),
        *(x.astype(np.int64), y.astype(np.int64), data, variance),
    )
    return data, variance


@compiled
def _cut(
    data: NDArray[np.float32],
    background: NDArray[np.float32],
    variance: NDArray[np.float32],
    flags: NDArray[np.uint16],
    forbidden: np.uint16,
    x: NDArray[np.int64],
    y: NDArray[np.int64],
    out_data: NDArray[np.float32],
    out_variance: NDArray[np.float32],
) -> None:
    rows, columns = data.shape
    size = out_data.shape[1]
    flagged = flags.shape == data.shape
    for i in range(len(x)):
        top, left = y[i] - size // 2, x[i] - size // 2
        for row in range(max(0, -top), min(size, rows - top)):
            for column in range(max(0, -left), min(size, columns - left)):
                r, c = top + row, left + column
                value = data[r, c] - background[r, c]
                noise = variance[r, c]
                bad = flagged and (flags[r, c] & forbidden) != 0
                if not bad and np.isfinite(value) and noise > 0 and noise < np.inf:
                    out_data[i, row, column] = value
                    out_variance[i, row, column] = noise


def mask_neighbours(
    variance: NDArray[np.float32],
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    sources: NDArray[np.float64],
    radius: NDArray[np.float64],
) -> None:
    """Give the pixels of neighbours infinite variance, in place.

    A pixel is a neighbour's if it lies within the radius of that source and nearer to it
    than to the star of the stamp.

    Parameters
    ----------
    variance
        Stamps around the pixels nearest to `x`, `y`; shape (stars, size, size).
    x, y
        0-based positions of the stars.
    sources
        0-based positions x, y of all sources, shape (sources, 2).
    radius
        Of the sources, pixel.
    """
    size = variance.shape[1]
    near = cKDTree(sources).query_ball_point(np.stack([x, y], axis=-1), 0.75 * size)
    number = np.array([len(found) for found in near])
    which = np.concatenate([*near, np.empty(0)]).astype(np.int64)
    _mask(variance, x, y, sources[which], radius[which], np.concatenate([[0], np.cumsum(number)]))


@compiled
def _mask(
    variance: NDArray[np.float32],
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    sources: NDArray[np.float64],
    radius: NDArray[np.float64],
    edge: NDArray[np.int64],
) -> None:
    size = variance.shape[1]
    for i in range(len(x)):
        left = np.floor(x[i] + 0.5) - size // 2
        top = np.floor(y[i] + 0.5) - size // 2
        for k in range(edge[i], edge[i + 1]):
            dx, dy = sources[k, 0] - left, sources[k, 1] - top
            if (sources[k, 0] - x[i]) ** 2 + (sources[k, 1] - y[i]) ** 2 < 0.25:
                continue  # the star itself
            for row in range(size):
                for column in range(size):
                    distance2 = (column - dx) ** 2 + (row - dy) ** 2
                    own = (column + left - x[i]) ** 2 + (row + top - y[i]) ** 2
                    if distance2 < radius[k] ** 2 and distance2 < own:
                        variance[i, row, column] = np.inf
