"""Charge left behind in transfers, electron by electron.

In each transfer an electron stays behind with a small probability, and comes out an
exponentially distributed number of transfers later. The mean is the usual linear trail; in
faint frames, where a pixel holds one electron or none, whole electrons move.
"""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from csstcore.api import compiled

_SINGLE = 8


@compiled
def _defer(
    charge: NDArray[np.float32],
    left: NDArray[np.float64],
    step: int,
    columns: int,
    along_rows: bool,
    release: float,
    rng: np.random.Generator,
) -> None:
    """Move the electrons that are left behind; `charge` is the raw frame as a flat stream.

    `left` is the probability of being left, by column or by row; `step` is the way from a
    packet to the one behind it.
    """
    number = len(charge)
    stay = np.exp(-1.0 / release)
    for back in range(number):
        here = number - 1 - back  # from the last packet on, so that no electron moves twice
        packet = charge[here]
        if packet <= 0.0:
            continue
        chance = left[here % columns] if along_rows else left[here // columns]
        taken = 0
        if packet <= _SINGLE:
            for _ in range(int(packet)):
                if rng.random() < chance:
                    taken += 1
        else:
            taken = min(int(packet), rng.poisson(packet * chance))
        charge[here] -= np.float32(taken)
        place = here + step
        while taken > 0 and place < number:
            out = 0
            if taken <= _SINGLE:
                for _ in range(taken):
                    if rng.random() >= stay:
                        out += 1
            else:
                mean = taken * (1.0 - stay)
                out = int(np.rint(mean + np.sqrt(mean * stay) * rng.standard_normal()))
                out = min(max(out, 0), taken)
            charge[place] += np.float32(out)
            taken -= out
            place += step


def transfer_rows(
    charge: NDArray[np.float32], inefficiency: float, release_pixel: float, rng: Generator
) -> None:
    """Shift a raw frame towards row 0, in place.

    Parameters
    ----------
    charge
        Whole electrons, shape (rows, columns); row r makes r + 1 transfers.
    inefficiency
        Part of a packet that one transfer leaves behind.
    release_pixel
        Exponential time of release, in transfers.
    rng
        Random numbers.
    """
    rows, columns = charge.shape
    left = 1 - (1 - inefficiency) ** np.arange(1, rows + 1)
    _defer(charge.reshape(-1), left, columns, columns, False, release_pixel, rng)


def transfer_columns(
    charge: NDArray[np.float32], inefficiency: float, release_pixel: float, rng: Generator
) -> None:
    """Shift the rows of a raw frame through the register towards column 0, in place.

    As `transfer_rows`; column c makes c + 1 transfers, and what comes out after the end of a
    row is in the next one.
    """
    columns = charge.shape[1]
    left = 1 - (1 - inefficiency) ** np.arange(1, columns + 1)
    _defer(charge.reshape(-1), left, 1, columns, True, release_pixel, rng)
