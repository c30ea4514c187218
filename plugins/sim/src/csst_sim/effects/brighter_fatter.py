"""The brighter-fatter effect: collected charge repels the charge that comes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from csstcore.api import compiled

_SIDE = np.float32(0.35)
_CORNER = np.float32(0.15)


@compiled
def _potential(
    image: NDArray[np.float32], row: int, limit: np.float32, out: NDArray[np.float32]
) -> None:
    """Fill `out` with the weighted charge about the pixels of a row; edges repeat."""
    rows, columns = image.shape
    above, below = min(row + 1, rows - 1), max(row - 1, 0)
    for column in range(columns):
        left, right = max(column - 1, 0), min(column + 1, columns - 1)
        sides = (
            min(image[row, left], limit)
            + min(image[row, right], limit)
            + min(image[above, column], limit)
            + min(image[below, column], limit)
        )
        corners = (
            min(image[above, left], limit)
            + min(image[above, right], limit)
            + min(image[below, left], limit)
            + min(image[below, right], limit)
        )
        out[column] = min(image[row, column], limit) + _SIDE * sides + _CORNER * corners


@compiled
def redistribute(image: NDArray[np.float32], strength: np.float32, full_well: np.float32) -> None:
    """Move charge across the boundaries of pixels by their difference of charge, in place.

    The boundary between neighbours p and r shifts by ``s (V_p - V_r)`` pixel at the end of the
    exposure and half of that on average, where V is the charge in the pixel and, weighted,
    around it; the charge between old and new boundary changes sides (finite differences of the
    model of Antilogus et al. 2014, JINST 9, C03048; Guyonnet et al. 2015):

        flow(p -> r) = s/2 (V_p - V_r) (Q_p + Q_r)/2

    Charge is conserved. A flat field of mean m loses variance: ``-2.6 s m^2``.

    Parameters
    ----------
    image
        Electrons, shape (rows, columns).
    strength
        s, per electron.
    full_well
        Charge beyond this repels no more.
    """
    rows, columns = image.shape
    half = np.float32(0.25) * strength
    here = np.empty(columns, np.float32)
    above = np.empty(columns, np.float32)
    upward = np.zeros(columns, np.float32)
    sideways = np.zeros(columns + 1, np.float32)
    _potential(image, 0, full_well, here)
    for row in range(rows):
        last = row == rows - 1
        if not last:
            _potential(image, row + 1, full_well, above)
        for column in range(columns - 1):
            sideways[column + 1] = (
                half
                * (here[column] - here[column + 1])
                * (image[row, column] + image[row, column + 1])
            )
        for column in range(columns):
            charge = image[row, column]
            change = upward[column] + sideways[column] - sideways[column + 1]
            if not last:
                flow = half * (here[column] - above[column]) * (charge + image[row + 1, column])
                upward[column] = flow
                change -= flow
            image[row, column] = charge + change
        here, above = above, here
