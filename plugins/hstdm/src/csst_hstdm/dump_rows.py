"""What the rows of dumps say: state, times, orbit and tuning, as plain arrays."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import astropy.units as u
import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from csstcore.api import Spectra, UnprocessableData

STATES = ("ON", "OFF", "HOT", "COLD", "SKIP")
POSITION = ("x", "y", "z")
VELOCITY = ("vx", "vy", "vz")
J2000_DAY = 2451545.0
SAME_IF_HZ = 1000.0
"""Intermediate frequencies that differ by less are the same; a channel is 73 kHz."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """How the receiver was set: dumps with tunings near to each other share loads and OFFs."""

    lo_hz: float
    sideband: str
    first_hz: float
    """Signal frequency of the first channel."""
    channels: int

    def near(self, other: Tuning, range_hz: float) -> bool:
        """Return whether channels have the same intermediate frequencies, and the LO is near."""
        if_hz, other_if_hz = (abs(each.first_hz - each.lo_hz) for each in (self, other))
        return (
            (self.sideband, self.channels) == (other.sideband, other.channels)
            and abs(self.lo_hz - other.lo_hz) <= range_hz
            and abs(if_hz - other_if_hz) <= SAME_IF_HZ
        )

    def among(self, known: Iterable[Tuning], range_hz: float) -> Tuning:
        """Return the first of `known` that is near, or this one."""
        return next((other for other in known if self.near(other, range_hz)), self)


def rows_of(dumps: Spectra) -> QTable:
    """Return the rows of dumps.

    Raises
    ------
    UnprocessableData
        Without rows, or with a state that is not known.
    """
    if dumps.rows is None:
        raise UnprocessableData("the dumps carry no rows; expected time, exposure_time, state ..")
    unknown = sorted(set(states(dumps.rows)) - set(STATES))
    if unknown:
        raise UnprocessableData(
            f"column state has {', '.join(map(repr, unknown))}; expected {', '.join(STATES)}"
        )
    return dumps.rows


def states(rows: QTable) -> NDArray[np.str_]:
    """Return the state of each dump: ON, OFF, HOT, COLD or SKIP."""
    _require(rows, "state")
    return np.char.strip(np.asarray(rows["state"]).astype(str))


def seconds(rows: QTable) -> NDArray[np.float64]:
    """Return the mid-times of the dumps in seconds since 2000 January 1.5 UTC; NaN if unknown."""
    _require(rows, "time")
    time = rows["time"]
    if not hasattr(time, "jd1"):
        raise UnprocessableData("column time holds no times; expected astropy Time")
    return (_plain(time.jd1) - J2000_DAY + _plain(time.jd2)) * 86400


def numbers(rows: QTable, name: str, unit: u.UnitBase) -> NDArray[np.float64]:
    """Return a column in a unit, NaN where it is masked.

    Raises
    ------
    UnprocessableData
        If the column is absent or has another kind of unit.
    """
    _require(rows, name)
    try:
        return _plain(u.Quantity(_filled(rows[name])).to_value(unit))
    except u.UnitConversionError as error:
        raise UnprocessableData(f"column {name} is not in {unit}: {error}") from error


def integers(rows: QTable, name: str) -> NDArray[np.int64]:
    """Return a column of whole numbers, -1 where it is masked.

    Raises
    ------
    UnprocessableData
        If the column is absent.
    """
    _require(rows, name)
    return np.asarray(_filled(rows[name], -1), np.int64)


def vectors(rows: QTable, names: tuple[str, str, str], unit: u.UnitBase) -> NDArray[np.float64]:
    """Return three columns as vectors of shape (rows, 3); NaN where the columns are absent."""
    if any(name not in rows.colnames for name in names):
        return np.full((len(rows), 3), np.nan)
    return np.stack([numbers(rows, name, unit) for name in names], axis=1)


def row_flags(rows: QTable) -> NDArray[np.int64]:
    """Return the flag bits of the dumps, 0 without the column ``flag``."""
    if "flag" not in rows.colnames:
        return np.zeros(len(rows), np.int64)
    return np.asarray(_filled(rows["flag"], 0), np.int64)


def tuning(dumps: Spectra) -> Tuning:
    """Return the tuning that all dumps of a product share.

    Raises
    ------
    UnprocessableData
        If the dumps have several, or the axis is not the same for all of them.
    """
    rows = rows_of(dumps)
    if dumps.axis.ndim != 1:
        raise UnprocessableData("each dump has an axis of its own; expected one for all of them")
    lo_hz = np.unique(numbers(rows, "lo_frequency", u.Hz))
    _require(rows, "sideband")
    sidebands = np.unique(np.char.strip(np.asarray(rows["sideband"]).astype(str)))
    if len(lo_hz) != 1 or len(sidebands) != 1 or not np.isfinite(lo_hz[0]):
        raise UnprocessableData(
            f"dumps with {len(lo_hz)} values of lo_frequency and {len(sidebands)} of sideband; "
            "expected one tuning per file"
        )
    axis_hz = dumps.axis.to_value(u.Hz)
    return Tuning(float(lo_hz[0]), str(sidebands[0]), float(axis_hz[0]), len(axis_hz))


def blocks(
    time_s: NDArray[np.float64], state: NDArray[np.str_], gap_s: float
) -> list[NDArray[np.intp]]:
    """Return runs of one state without a gap in time, as indices in the order of time.

    Parameters
    ----------
    time_s
        Finite times.
    state
        Of each time.
    gap_s
        Longest distance of neighbours within a run.
    """
    order = np.argsort(time_s, kind="stable")
    changes = (np.diff(time_s[order]) > gap_s) | (state[order][1:] != state[order][:-1])
    cuts = np.flatnonzero(changes) + 1
    return [order[a:b] for a, b in pairwise([0, *cuts, len(order)]) if b > a]


def _filled(column: Any, fill: float = np.nan) -> Any:
    return column.filled(fill) if hasattr(column, "filled") else column


def _plain(values: Any) -> NDArray[np.float64]:
    return np.asarray(_filled(values), float)


def _require(rows: QTable, name: str) -> None:
    if name not in rows.colnames:
        found = ", ".join(rows.colnames) or "none"
        raise UnprocessableData(f"the rows have no column {name}; found {found}")
