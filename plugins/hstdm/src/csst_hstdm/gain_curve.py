"""`GainCurve`: gain and receiver temperature of one tuning over time."""

from __future__ import annotations

from dataclasses import dataclass

import astropy.units as u
import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from csst_hstdm.dump_rows import Tuning, numbers, seconds
from csst_hstdm.medians import finite_median

Plane = NDArray[np.float64]


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

    def at(self, time_s: float) -> tuple[Plane, Plane, Bracket]:
        """Return gain and receiver temperature of each channel at a time, linear in between."""
        place = bracket(self.time_s, time_s)
        b, a, w = place.before, place.after, place.weight
        gamma = (1 - w) * self.gamma[b] + w * self.gamma[a]
        return gamma, (1 - w) * self.t_rec_kelvin[b] + w * self.t_rec_kelvin[a], place

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


def gain_curve(load_gain: QTable, setting: Tuning) -> GainCurve | None:
    """Return the curve of a tuning from `solve_loads`; None without a row that is near."""
    channels = load_gain["gamma"].shape[1]
    solved = zip(
        numbers(load_gain, "lo_frequency", u.Hz),
        np.asarray(load_gain["sideband"]).astype(str),
        numbers(load_gain, "first_frequency", u.Hz),
        strict=True,
    )
    same = np.array(
        [setting.near(Tuning(lo, str(side), first, channels)) for lo, side, first in solved], bool
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
    drift = float(np.mean(change[known] ** 2 / step[known])) if known.any() else 0.0
    flags = np.asarray(rows["flags"], np.uint16)
    return GainCurve(time_s, gamma, relative_variance, numbers(rows, "t_rec", u.K), flags, drift)


def _log_ratio(after: Plane, before: Plane) -> float:
    return float(np.log(finite_median(after / before)))
