"""Full wells and bleeding along columns."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from csstcore.api import compiled


@compiled
def _bleed_column(charge: NDArray[np.float64], full_well: float) -> None:
    rows = len(charge)
    excess = np.zeros(rows)
    for row in range(rows):
        if charge[row] > full_well:
            excess[row] = 0.5 * (charge[row] - full_well)
            charge[row] = full_well
    for direction in (1, -1):
        carried = 0.0
        for step in range(rows):
            row = step if direction == 1 else rows - 1 - step
            carried += excess[row]
            if carried > 0.0:
                taken = min(carried, full_well - charge[row])
                charge[row] += taken
                carried -= taken


@compiled
def bleed(image: NDArray[np.float32], full_well: float) -> None:
    """Cut charge at the full well and let the rest flow along its column, in place.

    Half of the excess flows up, half down, and fills pixel after pixel; what reaches the edge
    of the detector is lost.

    Parameters
    ----------
    image
        Electrons, shape (rows, columns).
    full_well
        Electrons.
    """
    rows, columns = image.shape
    over = np.zeros(columns, np.bool_)
    for row in range(rows):
        for column in range(columns):
            if image[row, column] > full_well:
                over[column] = True
    for line in np.flatnonzero(over):
        charge = image[:, line].astype(np.float64)
        _bleed_column(charge, full_well)
        for row in range(rows):
            image[row, line] = np.float32(charge[row])
