"""Averages over blocks of dumps, sample by sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import astropy.units as u
import numpy as np
from numpy.typing import NDArray

from csst_hstdm.dump_rows import (
    Tuning,
    blocks,
    numbers,
    row_flags,
    rows_of,
    seconds,
    states,
    tuning,
)
from csstcore.api import Spectra, compiled


@dataclass(frozen=True, slots=True, eq=False)
class Average:
    """Dumps of one state and tuning, averaged."""

    tuning: Tuning
    """The first of those near to each other."""
    state: str
    time_s: float
    """Mean time, weighted with exposure times."""
    exposure_s: NDArray[np.float64]
    """Of each channel; 0 where no sample is good."""
    rate: NDArray[np.float64]
    """Counts per second of each channel; NaN where no sample is good."""
    temperatures: dict[str, float]
    """Mean of the columns asked for, in kelvin."""
    flags: NDArray[np.uint16]
    """Bits of the channels without a good sample."""


def average_blocks(
    series: Sequence[Spectra],
    wanted: Sequence[str],
    *,
    gap_s: float,
    tuning_range_hz: float,
    temperatures: Sequence[str] = (),
) -> list[Average]:
    """Return the averages of all blocks of dumps of some states, in the order of time.

    A block is a run of dumps of one state and tuning, from any element of the series, without
    others between them. Dumps with a flag are left out, and so are flagged samples.

    Parameters
    ----------
    series
        Dumps.
    wanted
        States.
    gap_s
        A longer gap in time ends a block.
    tuning_range_hz
        Local oscillators that differ by less belong to one tuning.
    temperatures
        Columns in kelvin to be averaged.
    """
    parts = [_Part.of(dumps, temperatures) for dumps in series]
    members: dict[Tuning, list[tuple[_Part, int]]] = {}
    for part in parts:
        rows = np.flatnonzero(part.good & (part.state != "SKIP"))
        members.setdefault(part.setting.among(members, tuning_range_hz), []).extend(
            (part, int(row)) for row in rows
        )
    averages = []
    for setting, of_setting in members.items():
        time_s = np.array([part.time_s[row] for part, row in of_setting])
        state = np.array([part.state[row] for part, row in of_setting])
        for block in blocks(time_s, state, gap_s):
            if state[block[0]] in wanted:
                here = [of_setting[index] for index in block]
                averages.append(_average(here, setting, str(state[block[0]])))
    return sorted(averages, key=lambda average: average.time_s)


@dataclass(frozen=True, slots=True)
class _Part:
    """One element of a series, with its rows as arrays."""

    dumps: Spectra
    setting: Tuning
    state: NDArray[np.str_]
    time_s: NDArray[np.float64]
    exposure_s: NDArray[np.float64]
    good: NDArray[np.bool_]
    temperatures: dict[str, NDArray[np.float64]]

    @classmethod
    def of(cls, dumps: Spectra, temperatures: Sequence[str]) -> _Part:
        rows = rows_of(dumps)
        time_s, exposure_s = seconds(rows), numbers(rows, "exposure_time", u.s)
        return cls(
            dumps,
            tuning(dumps),
            states(rows),
            time_s,
            exposure_s,
            (row_flags(rows) == 0) & np.isfinite(time_s) & (exposure_s > 0),
            {
                name: numbers(rows, name, u.K)
                if name in rows.colnames
                else np.full(len(rows), np.nan)
                for name in temperatures
            },
        )


def _average(members: list[tuple[_Part, int]], setting: Tuning, state: str) -> Average:
    total, exposure = np.zeros(setting.channels), np.zeros(setting.channels)
    bits = np.zeros(setting.channels, np.uint16)
    for part, row in members:
        dumps = part.dumps
        flags = dumps.flags[row] if dumps.flags is not None else np.zeros_like(bits)
        _add(dumps.flux[row], flags, part.exposure_s[row], total, exposure, bits)
    with np.errstate(invalid="ignore", divide="ignore"):
        rate = total / exposure
    bits[exposure > 0] = 0
    weights = [part.exposure_s[row] for part, row in members]
    return Average(
        setting,
        state,
        float(np.average([part.time_s[row] for part, row in members], weights=weights)),
        exposure,
        rate,
        {
            name: float(np.average([p.temperatures[name][r] for p, r in members], weights=weights))
            for name in members[0][0].temperatures
        },
        bits,
    )


@compiled
def _add(counts: Any, flags: Any, exposure_s: Any, total: Any, exposure: Any, bits: Any) -> Any:
    """Add the good samples of a dump; gather the flags of the others."""
    for c in range(len(counts)):
        if flags[c] == 0 and np.isfinite(counts[c]):
            total[c] += counts[c]
            exposure[c] += exposure_s
        else:
            bits[c] |= flags[c]
