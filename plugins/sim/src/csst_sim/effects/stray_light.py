"""Ghosts and scattered light of bright stars."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from csstcore.api import compiled

FAINTEST_ELECTRON_PER_S = 2e-4
"""Surface brightness that still is drawn."""
LARGEST_RADIUS_PIXEL = 4000.0


@compiled
def add_disc(
    image: NDArray[np.float32], x: float, y: float, radius: float, inner: float, level: float
) -> None:
    """Add a ring of constant brightness to an image, in place; 0-based pixels.

    Pixels on its edges get the part of the brightness by which they lie inside, to first order.
    """
    rows, columns = image.shape
    for row in range(max(0, int(y - radius - 1)), min(rows, int(y + radius + 3))):
        for column in range(max(0, int(x - radius - 1)), min(columns, int(x + radius + 3))):
            r = np.sqrt((column - x) ** 2 + (row - y) ** 2)
            share = min(max(radius + 0.5 - r, 0.0), 1.0)
            if inner > 0.0:
                share -= min(max(inner + 0.5 - r, 0.0), 1.0)
            if share > 0.0:
                image[row, column] += level * share


@compiled
def add_halo(
    image: NDArray[np.float32], x: float, y: float, core: float, exponent: float, level: float
) -> None:
    """Add ``level (1 + r^2 / core^2)^(-exponent / 2)`` to an image, in place; 0-based pixels."""
    rows, columns = image.shape
    if level <= FAINTEST_ELECTRON_PER_S:
        return
    radius = core * np.sqrt((level / FAINTEST_ELECTRON_PER_S) ** (2.0 / exponent) - 1.0)
    radius = min(radius, LARGEST_RADIUS_PIXEL)
    for row in range(max(0, int(y - radius)), min(rows, int(y + radius) + 2)):
        across = (row - y) ** 2
        for column in range(max(0, int(x - radius)), min(columns, int(x + radius) + 2)):
            square = (column - x) ** 2 + across
            if square <= radius * radius:
                image[row, column] += level * (1.0 + square / core**2) ** (-0.5 * exponent)
