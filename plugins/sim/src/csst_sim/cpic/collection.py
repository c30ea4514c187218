"""Electrons collected in the pixels: shot noise, full wells and blooming."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from csstcore.api import compiled

_INVERSION_LIMIT = 10.0


@compiled
def collect(
    expected: NDArray[np.float32],
    none: NDArray[np.float32],
    extra: NDArray[np.float32],
    rng: np.random.Generator,
    out: NDArray[np.float32],
) -> None:
    """Draw Poisson numbers of electrons, by inversion where few are expected.

    Parameters
    ----------
    expected
        Mean number of electrons.
    none
        ``exp(-expected)``: the probability of no electron.
    extra
        Whole electrons that come beside, of cosmic rays.
    rng
        Random numbers.
    out
        The result, whole numbers.
    """
    rows, columns = expected.shape
    for row in range(rows):
        for column in range(columns):
            mean = expected[row, column]
            number = 0
            if mean > _INVERSION_LIMIT:
                number = rng.poisson(mean)
            elif mean > 0.0:
                uniform = rng.random()
                term = float(none[row, column])
                while uniform > term and number < 100:
                    uniform -= term
                    number += 1
                    term *= mean / number
            out[row, column] = number + extra[row, column]


@compiled
def bloom(charge: NDArray[np.float32], full_well: float) -> None:
    """Let charge beyond the full well flow up and down its column, in place.

    Half of the excess of each pixel goes either way, in whole electrons, until it finds room;
    what reaches the first or last row is lost.
    """
    rows, columns = charge.shape
    for column in range(columns):
        over = False
        for row in range(rows):
            over = over or charge[row, column] > full_well
        if not over:
            continue
        up, down = np.zeros(rows), np.zeros(rows)
        for row in range(rows):
            excess = np.floor(charge[row, column] - full_well)
            if excess > 0.0:
                up[row] = np.floor(0.5 * excess)
                down[row] = excess - up[row]
                charge[row, column] -= np.float32(excess)
        carried = 0.0
        for row in range(rows):
            room = max(0.0, np.floor(full_well - charge[row, column]))
            taken = min(carried, room)
            charge[row, column] += np.float32(taken)
            carried += up[row] - taken
        carried = 0.0
        for back in range(rows):
            row = rows - 1 - back
            room = max(0.0, np.floor(full_well - charge[row, column]))
            taken = min(carried, room)
            charge[row, column] += np.float32(taken)
            carried += down[row] - taken
