"""Errors of the clock and gaps, from the times of dumps and the way of the spacecraft."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

EXACT_S = 300.0
"""Over longer pauses, the way of the spacecraft is not known from two states exactly:"""
PAUSE_ERROR = 2e-3
"""part of the pause by which flattened Earth and small eccentricities move it (10 s per orbit)."""


def clock_offsets(
    time_s: NDArray[np.float64],
    exposure_s: NDArray[np.float64],
    position_km: NDArray[np.float64],
    velocity_km_s: NDArray[np.float64],
    run: NDArray[np.int64],
    *,
    tolerance_s: float,
) -> NDArray[np.float64]:
    """Return how far the clock of each dump is off from that of most dumps.

    Where positions are known, the time between two dumps must be that in which the spacecraft
    moved from one to the other: the angle between the positions over the angular rate
    ``|r x v| / r^2``, and any number of orbits if there may be a pause. Inside a run there is
    none of half an orbit. Where positions are not known, only time that runs backwards shows a
    jump; then every other leap counts as one too, as a pause cannot be told from it.

    Parameters
    ----------
    time_s
        Mid-times in the order in which the dumps were taken; NaN if unknown.
    exposure_s
        Exposure times.
    position_km, velocity_km_s
        Orbit of the dumps, shape (dumps, 3); NaN if unknown.
    run
        A number for each run of dumps that should have no gaps.
    tolerance_s
        Smaller jumps are not looked at.

    Returns
    -------
    NDArray
        Seconds; 0 for most dumps, NaN where the time is not known.
    """
    offset = np.full(len(time_s), np.nan)
    known = np.flatnonzero(np.isfinite(time_s))
    if not len(known):
        return offset
    step = np.diff(time_s[known])
    expected = (exposure_s[known][:-1] + exposure_s[known][1:]) / 2
    elapsed, period = _orbit_time(position_km[known], velocity_km_s[known])
    by_orbit = np.isfinite(elapsed)
    with np.errstate(invalid="ignore"):
        jump = np.where(by_orbit, step - elapsed, 0.0)
        orbits = np.maximum(np.round(jump / period), 0.0)
        paused = by_orbit & ~((np.diff(run[known]) == 0) & (step > period / 2))
        remainder = np.abs(jump - np.where(orbits > 0, orbits * period, 0.0))
    allowed = tolerance_s + PAUSE_ERROR * np.maximum(step - EXACT_S, 0.0)
    jump[paused & (remainder <= allowed)] = 0.0
    backwards = ~by_orbit & (step < expected / 2)
    if backwards.any():
        leap = ~by_orbit & (backwards | (step > 1.5 * expected + tolerance_s))
        jump = np.where(leap, step - expected, jump)
    jump[np.abs(jump) <= tolerance_s] = 0.0
    total = np.concatenate([[0.0], np.cumsum(jump)])
    offset[known] = total - _commonest(total, 2 * tolerance_s)
    return offset


def dropped(
    time_s: NDArray[np.float64], exposure_s: NDArray[np.float64], run: NDArray[np.int64]
) -> int:
    """Return how many dumps are missing inside runs, by the gaps in time.

    Parameters
    ----------
    time_s
        Mid-times in the order in which the dumps were taken.
    exposure_s
        Exposure times.
    run
        A number for each run of dumps that should have no gaps; -1 where the time is wrong.
    """
    step = np.diff(time_s)
    expected = (exposure_s[:-1] + exposure_s[1:]) / 2
    inside = (np.diff(run) == 0) & (run[1:] >= 0) & (step > 1.5 * expected)
    return int(np.sum(np.round(step[inside] / expected[inside]) - 1))


def _orbit_time(
    position_km: NDArray[np.float64], velocity_km_s: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the time from each position to the next, less than half an orbit, and the period."""
    before, after = position_km[:-1], position_km[1:]
    normal = np.cross(position_km, velocity_km_s)
    with np.errstate(invalid="ignore", divide="ignore"):
        rate = np.linalg.norm(normal, axis=1) / np.sum(position_km**2, axis=1)
        arc = np.cross(before, after)
        sine = np.linalg.norm(arc, axis=1) * np.sign(np.sum(arc * normal[:-1], axis=1))
        angle = np.arctan2(sine, np.sum(before * after, axis=1))
        mean = (rate[:-1] + rate[1:]) / 2
        return angle / mean, 2 * np.pi / mean


def _commonest(total: NDArray[np.float64], width_s: float) -> float:
    """Return the offset that most dumps share."""
    order = np.sort(total)
    cuts = np.concatenate([[0], np.flatnonzero(np.diff(order) > width_s) + 1, [len(order)]])
    largest = int(np.argmax(np.diff(cuts)))
    return float(np.median(order[cuts[largest] : cuts[largest + 1]]))
