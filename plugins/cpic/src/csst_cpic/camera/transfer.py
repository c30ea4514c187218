"""`Transfer`: what charge leaves behind on its way to the register's output, and its inverse.

In every transfer a packet leaves a small part behind, which comes out an exponentially distributed
number of transfers later. That is linear in the charge, as it must be where pixels hold one
electron or none; the volume of a packet, on which bright packets of large CCDs depend, plays no
part. So it holds for frames of any EM gain, in any unit, and does not bias noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from csstcore.api import Table, UnprocessableData, compiled

DIRECTIONS = ("vertical", "horizontal")


@dataclass(frozen=True)
class Transfer:
    """Transfers in one direction."""

    inefficiency: float
    """Part of a packet that one transfer leaves behind."""
    release_pixel: float
    """Mean time until it comes out again, in transfers."""

    def __post_init__(self) -> None:
        if not 0 <= self.inefficiency < 0.01:
            raise ValueError(f"inefficiency is {self.inefficiency}; expected 0 to 0.01")
        if not 0 < self.release_pixel < np.inf:
            raise ValueError(f"release_pixel is {self.release_pixel}; expected a positive number")

    @property
    def kept(self) -> float:
        """Part of what was left behind that stays so in the next transfer."""
        return float(np.exp(-1 / self.release_pixel))

    def left(self, packets: int, skipped: int = 0) -> NDArray[np.float64]:
        """Return the part that each of a line of packets left behind, the first read first.

        Parameters
        ----------
        packets
            Their number.
        skipped
            Packets read before them, all empty.
        """
        transfers = skipped + np.arange(1, packets + 1)
        return np.asarray(-np.expm1(transfers * np.log1p(-self.inefficiency)))


def transfers_of(cti: Table) -> dict[str, Transfer]:
    """Return the transfers in both directions that a reference of type ``cpic.cti`` holds.

    Raises
    ------
    UnprocessableData
        If it does not have one row, or a value is out of range.
    """
    rows: QTable = cti.table
    if len(rows) != 1:
        raise UnprocessableData(f"the cti reference has {len(rows)} rows; expected 1")
    try:
        return {
            name: Transfer(
                float(rows[f"{name}_inefficiency"][0]), float(rows[f"{name}_release"][0].value)
            )
            for name in DIRECTIONS
        }
    except ValueError as error:
        raise UnprocessableData(f"cti reference: {error}") from None


def trailed(
    packets: NDArray[np.float64], transfer: Transfer, skipped: int = 0
) -> NDArray[np.float64]:
    """Return what a line of packets becomes, shape (packets,); the first is read first."""
    result, behind = np.empty(len(packets)), 0.0
    for place, (charge, part) in enumerate(
        zip(packets, transfer.left(len(packets), skipped), strict=True)
    ):
        result[place] = charge * (1 - part) + (1 - transfer.kept) * behind
        behind = transfer.kept * behind + charge * part
    return result


def remove_trails(packets: NDArray[np.float32], transfer: Transfer, skipped: int = 0) -> None:
    """Restore what packets held before they were moved, in place.

    The exact inverse of `trailed`: what follows a packet is known when the packet is, so one
    pass from the first packet read restores all.

    Parameters
    ----------
    packets
        Shape (packets, lines), C-contiguous, the first read first; every line is independent.
    transfer
        Transfers in this direction.
    skipped
        Empty packets read before the first one.
    """
    left = transfer.left(len(packets), skipped)
    _remove(packets, left.astype(np.float32), np.float32(transfer.kept))


@compiled
def _remove(packets: NDArray[np.float32], left: NDArray[np.float32], kept: np.float32) -> None:
    number, lines = packets.shape
    behind = np.zeros(lines, np.float32)
    one = np.float32(1)
    for place in range(number):
        inverse = one / (one - left[place])
        for line in range(lines):
            charge = (packets[place, line] - (one - kept) * behind[line]) * inverse
            packets[place, line] = charge
            if not abs(charge) < np.inf:
                charge = np.float32(0)  # a pixel without a number does not spoil its line
            behind[line] = kept * behind[line] + left[place] * charge
