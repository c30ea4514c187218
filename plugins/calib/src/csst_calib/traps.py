"""`Traps`: what captures charge on its way to the amplifier, and delays it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from csst_calib.readout import Readout
from csstcore.api import Table, UnprocessableData

REFERENCE_ELECTRON = 1.0e5
"""Charge of the packet that densities refer to."""
DIRECTIONS = ("parallel", "serial")


@dataclass(frozen=True, eq=False)
class Traps:
    """Traps of one channel in one direction of transfer.

    A packet of charge q reaches, in every pixel that it passes, the number
    ``density (q / 1e5 electron)^exponent`` of traps of each species: the law of the volume of
    a packet in Short et al. 2013 (MNRAS 430, 3078) and Massey et al. 2014 (MNRAS 439, 887).
    """

    density: NDArray[np.float64]
    """Traps per pixel that a packet of 1e5 electron reaches; one value per species."""
    release_pixel: NDArray[np.float64]
    """Mean time until a trap releases its electron, in transfers; one value per species."""
    exponent: float

    def __post_init__(self) -> None:
        if self.density.ndim != 1 or self.density.shape != self.release_pixel.shape:
            raise ValueError(
                f"density and release_pixel have shapes {self.density.shape} and "
                f"{self.release_pixel.shape}; expected one value per species in both"
            )
        if not (np.all(np.isfinite(self.density)) and np.all(self.density >= 0)):
            raise ValueError(f"density is {self.density.tolist()}; expected 0 or more")
        if not (np.all(np.isfinite(self.release_pixel)) and np.all(self.release_pixel > 0)):
            raise ValueError(f"release_pixel is {self.release_pixel.tolist()}; expected positive")
        if not 0 < self.exponent <= 1:
            raise ValueError(f"exponent is {self.exponent}; expected more than 0 and at most 1")


@dataclass(frozen=True, eq=False)
class TrapModel:
    """Traps of every channel of a detector."""

    parallel: Sequence[Traps]
    serial: Sequence[Traps]

    @classmethod
    def of(cls, table: Table, readout: Readout) -> TrapModel:
        """Return the model that a reference of type ``calib.cti`` holds.

        Raises
        ------
        UnprocessableData
            If the table does not have one row per channel, or a value is out of range.
        """
        rows = table.table
        if len(rows) != readout.channels:
            raise UnprocessableData(
                f"the cti reference has {len(rows)} rows; expected {readout.channels}, one a "
                "channel"
            )
        return cls(*([_traps(rows, name, row) for row in range(len(rows))] for name in DIRECTIONS))


def _traps(rows: QTable, direction: str, row: int) -> Traps:
    def values(name: str) -> NDArray[np.float64]:
        column = rows[f"{direction}_{name}"][row]
        return np.atleast_1d(np.asarray(getattr(column, "value", column), np.float64))

    density = values("density")
    present = density != 0  # a table has room for more species than a detector shows
    try:
        return Traps(density[present], values("release")[present], float(values("exponent")[0]))
    except ValueError as error:
        raise UnprocessableData(f"cti reference, channel {row + 1}, {direction}: {error}") from None
