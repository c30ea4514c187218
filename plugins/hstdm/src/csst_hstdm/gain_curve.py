"""`GainCurve`: gain and receiver temperature of one tuning over time.

`uneven_gains` alone sees what the loads do not: a gain that differs from one OFF to the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import TypeAlias

import astropy.units as u
import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from csst_hstdm.band_steps import band_step
from csst_hstdm.dump_rows import Tuning, numbers, seconds
from csst_hstdm.flags import FLAG_BITS
from csst_hstdm.medians import finite_median
from csst_hstdm.receiver import Receiver

Plane = NDArray[np.float64]
Interval: TypeAlias = tuple[int, int]
"""Two loads next to each other, as in `Bracket`."""


@dataclass(frozen=True, slots=True)
class Bracket:
    """Two neighbours in time, and how much the second one counts."""

    before: int
    after: int
    weight: float
    """Of `after`, from 0 to 1."""
    distance_s: float
    """To the nearer of the two."""


@dataclass(frozen=True, slots=True)
class GainCurve:
    """Solutions at the times of the loads; arrays of shape (times, channels)."""

    time_s: Plane
    gamma: Plane
    """Counts per second and kelvin."""
    relative_variance: Plane
    """Of `gamma`, from the noise of the loads."""
    t_rec_kelvin: Plane
    flags: NDArray[np.uint16]
    drift_per_second: float
    """Growth of the variance of ln(gamma) with time."""
    unstable: frozenset[Interval] = frozenset()
    """Between which loads the gain did not drift evenly."""

    def at(self, time_s: float) -> tuple[Plane, Plane, Bracket]:
        """Return gain and receiver temperature of each channel at a time, linear in between."""
        place = bracket(self.time_s, time_s)
        b, a, w = place.before, place.after, place.weight
        gamma = (1 - w) * self.gamma[b] + w * self.gamma[a]
        return gamma, (1 - w) * self.t_rec_kelvin[b] + w * self.t_rec_kelvin[a], place

    def flags_at(self, place: Bracket) -> NDArray[np.uint16]:
        """Return the flags of each channel at a time."""
        flags = self.flags[place.before] | self.flags[place.after]
        if (place.before, place.after) in self.unstable:
            flags |= np.uint16(FLAG_BITS["unstable_gain"])
        return np.asarray(flags)

    def drift_variance(self, place: Bracket) -> float:
        """Return the variance of ln(gamma) from its walk between the loads.

        A random walk pinned at both ends leaves ``D w (1 - w) T`` (Brownian bridge); beyond the
        loads it grows as ``D t``.
        """
        if place.before == place.after:
            return self.drift_per_second * place.distance_s
        length_s = float(self.time_s[place.after] - self.time_s[place.before])
        return self.drift_per_second * place.weight * (1 - place.weight) * length_s


def bracket(times_s: Plane, time_s: float) -> Bracket:
    """Return the neighbours of a time among ascending times; beyond the ends the last one twice."""
    after = int(np.searchsorted(times_s, time_s))
    if after in (0, len(times_s)):
        end = min(after, len(times_s) - 1)
        return Bracket(end, end, 0.0, abs(float(times_s[end] - time_s)))
    before = after - 1
    length_s = float(times_s[after] - times_s[before])
    weight = float(time_s - times_s[before]) / length_s
    return Bracket(before, after, weight, min(weight, 1 - weight) * length_s)


def uneven_gains(
    t_sys: Plane, time_s: Plane, intervals: Sequence[Interval], limit: float, *, gap_s: float
) -> tuple[NDArray[np.bool_], frozenset[Interval]]:
    """Return OFFs whose gain differs, and intervals between loads in which it steps.

    With the right gain the system temperature of all OFFs is nearly the same, and in all parts of
    the band. One OFF that differs
    from those before and after, which agree, is wrong by itself. If two in a row differ, the gain
    interpolated between the loads about one of them is wrong: that which is further from the
    median, or both.

    Parameters
    ----------
    t_sys
        Of each OFF, in the order of time, shape (OFFs, channels); those without a finite channel
        are not looked at.
    time_s
        Of the OFFs.
    intervals
        Between which loads each one lies.
    limit
        Largest relative difference.
    gap_s
        OFFs further apart are not compared.
    """
    wrong = np.zeros(len(t_sys), bool)
    positive = np.where(t_sys > 0, t_sys, np.nan)
    level = np.log([finite_median(plane) for plane in positive])

    @cache
    def differ(i: int, j: int) -> bool:
        if time_s[j] - time_s[i] > gap_s:
            return False
        change = positive[j] / positive[i] - 1
        return bool(abs(level[j] - level[i]) > limit or band_step(change, limit) != 0)

    known = [int(i) for i in np.flatnonzero(np.isfinite(level))]
    for a, b, c in zip(known, known[1:], known[2:], strict=False):
        wrong[b] |= differ(a, b) and differ(b, c) and not differ(a, c) and not wrong[a]
    kept = [i for i in known if not wrong[i]]
    unstable = set()
    for a, b in pairwise(kept):
        if differ(a, b):
            near = [level[i] for i in kept if abs(time_s[i] - time_s[a]) <= gap_s]
            far = [i for i in (a, b) if abs(level[i] - np.median(near)) > limit / 2]
            unstable |= {intervals[i] for i in far or (a, b)}
    for interval in set(intervals):
        inside = [level[i] for i in kept if intervals[i] == interval]
        if inside and max(inside) - min(inside) > limit and len(set(interval)) == 2:
            unstable.add(interval)
    return wrong, frozenset(unstable)


def gain_curve(load_gain: QTable, setting: Tuning, receiver: Receiver) -> GainCurve | None:
    """Return the curve of a tuning from `solve_loads`; None without a row that is near.

    The drift is the mean of those seen between pairs of loads and, counted as one more, that
    which the receiver should have: a single pair shows none, and two may agree by chance.
    """
    channels = load_gain["gamma"].shape[1]
    solved = zip(
        numbers(load_gain, "lo_frequency", u.Hz),
        np.asarray(load_gain["sideband"]).astype(str),
        numbers(load_gain, "first_frequency", u.Hz),
        strict=True,
    )
    same = np.array(
        [
            setting.near(Tuning(lo, str(side), first, channels), receiver.tuning_range_hz)
            for lo, side, first in solved
        ],
        bool,
    )
    if not same.any():
        return None
    rows = load_gain[same]
    rows = rows[np.argsort(seconds(rows))]
    time_s = seconds(rows)
    gamma = numbers(rows, "gamma", u.count / (u.K * u.s))
    error = numbers(rows, "gamma_error", u.count / (u.K * u.s))
    with np.errstate(invalid="ignore", divide="ignore"):
        relative_variance = (error / gamma) ** 2
    step = np.diff(time_s)
    change = np.array([_log_ratio(a, b) for a, b in zip(gamma[1:], gamma[:-1], strict=True)])
    known = (step > 0) & np.isfinite(change)
    seen = change[known] ** 2 / step[known]
    drift = float(np.mean([receiver.drift_per_second, *seen]))
    flags = np.asarray(rows["flags"], np.uint16)
    return GainCurve(time_s, gamma, relative_variance, numbers(rows, "t_rec", u.K), flags, drift)


def _log_ratio(after: Plane, before: Plane) -> float:
    return float(np.log(finite_median(after / before)))
