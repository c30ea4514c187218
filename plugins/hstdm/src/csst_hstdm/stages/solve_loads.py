"""Gain and receiver temperature from the hot and the cold load."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Annotated

import astropy.units as u
import numpy as np
from astropy.table import QTable
from astropy.time import Time
from numpy.typing import NDArray
from pydantic import Field

from csst_hstdm.averages import Average, average_blocks
from csst_hstdm.dump_rows import J2000_DAY, row_flags, states, tuning
from csst_hstdm.flags import FLAG_BITS
from csst_hstdm.medians import finite_median
from csst_hstdm.outliers import local_outliers
from csst_hstdm.radiation import callen_welton
from csst_hstdm.radiometer import total_power_noise
from csst_hstdm.receiver import Receiver, image_frequency_hz
from csst_hstdm.series import usable
from csst_hstdm.sideband import signal_gain
from csstcore.api import Reference, Spectra, Table, UnprocessableData, caveat, metric

Positive = Annotated[float, Field(gt=0)]

NEAR_PAIRS = 5
"""Pairs whose median receiver temperature is that of each."""


def solve_loads(
    dumps: Sequence[Spectra],
    receiver: Reference[Receiver],
    sideband_gain: Reference[Spectra],
    *,
    pair_gap_s: Positive = 60.0,
    least_difference_kelvin: Positive = 20.0,
    largest_drift: Positive = 0.05,
    t_rec_jump: Positive = 0.02,
    spur_threshold: Positive = 8.0,
) -> Annotated[Table, "load_gain"]:
    """Solve gain and receiver temperature of every channel for each pair of load blocks.

    ``gamma = (c_h - c_c) / ((eta_h + eta_c - 1)(J_h - J_c))`` and ``J_rec = ((eta_h + Y eta_c - Y)
    J_h - (eta_h + Y eta_c - 1) J_c) / (Y - 1)`` with ``Y = c_h / c_c`` (Ossenkopf 2003, ALMA memo
    442, sect. 2), Callen-Welton temperatures and both sidebands: ``J = G_s J(nu_s) + (1 - G_s)
    J(nu_i)``. The counts of both are brought to the time in the middle with the slope of the
    band's level from one hot block to the next, as the gain drifts in between. Errors are those
    of the radiometer equation.

    Parameters
    ----------
    dumps
        Flagged counts of all files with HOT and COLD; ``t_hot`` and ``t_cold`` in the rows. Files
        that do not belong to the others are left out with a caveat.
    receiver
        Couplings to the loads, noise bandwidth.
    sideband_gain
        Gain of the signal sideband.
    pair_gap_s
        Longest gap in time between the dumps of one pair of blocks.
    least_difference_kelvin
        Least difference of the loads' temperatures.
    largest_drift
        Relative change of the band's gain from one pair to the next above which both have an
        unstable gain.
    t_rec_jump
        Relative deviation of a pair's receiver temperature from those near in time: the gain was
        not the same for hot and cold, and is unstable. Of two pairs, both.
    spur_threshold
        Deviation of a channel's receiver temperature or gain from those of its neighbours, in
        units of the scatter, that makes it a spur.

    Returns
    -------
    load_gain
        A row per pair: time, lo_frequency, sideband, first_frequency; arrays over channels gamma
        and gamma_error (count / (K s)), t_rec and t_rec_error (K, Callen-Welton), flags.

    Raises
    ------
    UnprocessableData
        If there is no pair of hot and cold at all, or no sideband gain for any of them.
    """
    columns = ("t_hot", "t_cold")
    used = [part for part, good in zip(dumps, usable(dumps, columns), strict=True) if good]
    loads = average_blocks(
        used,
        ("HOT", "COLD"),
        gap_s=pair_gap_s,
        tuning_range_hz=receiver.tuning_range_hz,
        temperatures=columns,
    )
    settings = {tuning(part): part.axis.to_value(u.Hz) for part in used}
    pairs = _pairs(loads, pair_gap_s, least_difference_kelvin)
    if not pairs:
        hots = sum(load.state == "HOT" for load in loads)
        raise UnprocessableData(
            f"no pair of loads: {hots} blocks of HOT, {len(loads) - hots} of COLD without flags; "
            f"expected both within {pair_gap_s} s, more than {least_difference_kelvin} K apart"
            + "".join(_flagged(used, state) for state in ("HOT", "COLD"))
        )
    solutions, refusals = [], []
    for hot, cold in _at_one_time(pairs):
        setting = hot.tuning
        signal_hz = settings[setting]
        try:
            gain, _ = signal_gain(
                sideband_gain,
                signal_hz,
                setting.lo_hz,
                setting.sideband,
                range_hz=receiver.sideband_gain_range_hz,
            )
        except UnprocessableData as error:
            refusals.append(str(error))
            continue
        solutions.append(_solve(hot, cold, signal_hz, gain, receiver, spur_threshold))
    for why in dict.fromkeys(refusals):
        caveat(why)
    if not solutions:
        raise UnprocessableData("; ".join(dict.fromkeys(refusals)))
    stepped = _flag_steps(solutions, t_rec_jump)
    _flag_drifts([one for k, one in enumerate(solutions) if k not in stepped], largest_drift)
    if not any(np.isfinite(solution.gamma).any() for solution in solutions):
        raise UnprocessableData("no channel has a valid gain: the loads do not differ in counts")
    metric("t_rec_kelvin", finite_median([solution.t_rec for solution in solutions]))
    metric("t_rec_coupling_error_kelvin", _coupling_error_kelvin(solutions[0], receiver))
    metric("load_pairs", len(pairs))
    return Table(_table(solutions), meta=dumps[0].meta)


@dataclass(frozen=True, slots=True)
class _Solution:
    """One pair of loads and what follows from it, by channel."""

    hot: Average
    cold: Average
    j_hot: NDArray[np.float64]
    """Radiation temperatures of the loads."""
    j_cold: NDArray[np.float64]
    gamma: NDArray[np.float64]
    gamma_error: NDArray[np.float64]
    t_rec: NDArray[np.float64]
    t_rec_error: NDArray[np.float64]
    flags: NDArray[np.uint16]


def _flagged(series: Sequence[Spectra], state: str) -> str:
    """Return how many dumps of a state are flagged, and for what; nothing without any."""
    flag = np.concatenate([row_flags(part.rows)[states(part.rows) == state] for part in series])
    bad = flag[flag != 0]
    if not len(bad):
        return ""
    causes = [name for name, bit in FLAG_BITS.items() if np.any(bad & bit)]
    return f"; {len(bad)} of {len(flag)} dumps of {state} are flagged ({', '.join(causes)})"


def _pairs(
    loads: Sequence[Average], gap_s: float, least_kelvin: float
) -> list[tuple[Average, Average]]:
    """Return the hot and cold blocks that belong together: each hot one with the nearest cold."""
    pairs = []
    for hot in (load for load in loads if load.state == "HOT"):
        colds = [load for load in loads if load.state == "COLD" and load.tuning == hot.tuning]
        if not colds:
            continue
        cold = min(colds, key=lambda load: abs(load.time_s - hot.time_s))
        length_s = float(np.max(hot.exposure_s) + np.max(cold.exposure_s)) / 2
        difference = hot.temperatures["t_hot"] - cold.temperatures["t_cold"]
        if abs(cold.time_s - hot.time_s) > gap_s + length_s:
            caveat(f"a block of HOT has no COLD within {gap_s} s")
        elif not difference >= least_kelvin:
            caveat(f"loads {difference:.1f} K apart were left out; expected {least_kelvin} K")
        else:
            pairs.append((hot, cold))
    return pairs


def _at_one_time(pairs: list[tuple[Average, Average]]) -> list[tuple[Average, Average]]:
    """Bring hot and cold to the time in their middle, along the slope of the hot level."""
    moved = []
    for hot, cold in pairs:
        same = [other for other, _ in pairs if other.tuning == hot.tuning]
        slope = 0.0
        if len(same) > 1:
            times = [other.time_s for other in same]
            levels = [float(np.log(finite_median(other.rate / hot.rate))) for other in same]
            slopes = np.gradient(levels, times)
            slope = float(slopes[same.index(hot)]) if np.all(np.isfinite(slopes)) else 0.0
        middle_s = (hot.time_s + cold.time_s) / 2
        hot_factor, cold_factor = np.exp(slope * (middle_s - np.array([hot.time_s, cold.time_s])))
        moved.append(
            (replace(hot, rate=hot.rate * hot_factor), replace(cold, rate=cold.rate * cold_factor))
        )
    return moved


def _solve(
    hot: Average,
    cold: Average,
    signal_hz: NDArray[np.float64],
    gain: NDArray[np.float64],
    receiver: Receiver,
    spur_threshold: float,
) -> _Solution:
    """Solve one pair."""
    image_hz = image_frequency_hz(signal_hz, hot.tuning.lo_hz)

    def radiation(kelvin: float) -> NDArray[np.float64]:
        both = callen_welton(kelvin, signal_hz), callen_welton(kelvin, image_hz)
        return gain * both[0] + (1 - gain) * both[1]

    j_hot = radiation(hot.temperatures["t_hot"])
    j_cold = radiation(cold.temperatures["t_cold"])
    couplings = receiver.eta_hot, receiver.eta_cold
    bandwidth_hz = receiver.noise_bandwidth_hz(float(np.median(np.abs(np.diff(signal_hz)))))
    efficiency = receiver.spectrometer_efficiency
    difference = (sum(couplings) - 1) * (j_hot - j_cold)
    with np.errstate(invalid="ignore", divide="ignore"):
        sigma = [
            total_power_noise(load.rate, bandwidth_hz, load.exposure_s, efficiency=efficiency)
            for load in (hot, cold)
        ]
        gamma = (hot.rate - cold.rate) / difference
        y = hot.rate / cold.rate
        t_rec = _t_rec(y, j_hot, j_cold, *couplings)
        gamma_error = np.hypot(*sigma) / np.abs(difference)
        y_error = y * np.hypot(sigma[0] / hot.rate, sigma[1] / cold.rate)
        t_rec_error = np.abs(difference) * y_error / (y - 1) ** 2
    flags = hot.flags | cold.flags
    invalid = ~np.isfinite(gamma + t_rec) | (gamma < 5 * gamma_error) | (t_rec < -5 * t_rec_error)
    flags[invalid] |= FLAG_BITS["no_load"]
    for plane in (gamma, gamma_error, t_rec, t_rec_error):
        plane[invalid] = np.nan
    spur = local_outliers(t_rec, spur_threshold) | local_outliers(gamma, spur_threshold)
    flags[spur] |= FLAG_BITS["spur"]
    return _Solution(hot, cold, j_hot, j_cold, gamma, gamma_error, t_rec, t_rec_error, flags)


def _t_rec(
    y: NDArray[np.float64],
    j_hot: NDArray[np.float64],
    j_cold: NDArray[np.float64],
    eta_hot: float,
    eta_cold: float,
) -> NDArray[np.float64]:
    seen = eta_hot + y * eta_cold
    return np.asarray(((seen - y) * j_hot - (seen - 1) * j_cold) / (y - 1))


def _coupling_error_kelvin(solution: _Solution, receiver: Receiver) -> float:
    """Return the error of the receiver temperature from those of the couplings to the loads."""
    with np.errstate(invalid="ignore", divide="ignore"):
        known = solution.hot.rate / solution.cold.rate, solution.j_hot, solution.j_cold
        hot, cold = receiver.eta_hot, receiver.eta_cold
        middle = _t_rec(*known, hot, cold)
        by_hot = _t_rec(*known, hot - receiver.eta_hot_error, cold) - middle
        by_cold = _t_rec(*known, hot, cold - receiver.eta_cold_error) - middle
    return finite_median(np.hypot(by_hot, by_cold))


def _flag_drifts(solutions: list[_Solution], limit: float) -> None:
    """Flag pairs between which the gain of the band changed too much."""
    largest = -1.0
    for setting in {solution.hot.tuning for solution in solutions}:
        same = [solution for solution in solutions if solution.hot.tuning == setting]
        for before, after in pairwise(same):
            drift = abs(float(np.log(finite_median(after.gamma / before.gamma))))
            largest = max(largest, drift)
            if drift > limit:
                caveat(f"the gain changed by {100 * drift:.1f} % between two pairs of loads")
                before.flags[:] |= FLAG_BITS["unstable_gain"]
                after.flags[:] |= FLAG_BITS["unstable_gain"]
    if largest < 0:
        caveat("there is a single pair of loads: the drift is taken from hstdm.receiver")
    else:
        metric("gain_drift", largest)


def _flag_steps(solutions: list[_Solution], limit: float) -> set[int]:
    """Flag pairs between whose loads the gain changed, as their receiver temperature tells."""
    stepped = set()
    for setting in {solution.hot.tuning for solution in solutions}:
        same = [k for k, solution in enumerate(solutions) if solution.hot.tuning == setting]
        time_s = np.array([solutions[k].hot.time_s for k in same])
        t_rec = np.array([finite_median(solutions[k].t_rec) for k in same])
        for k, moment, kelvin in zip(same, time_s, t_rec, strict=True):
            near = np.argsort(np.abs(time_s - moment), kind="stable")[:NEAR_PAIRS]
            usual = t_rec[near[-1]] if len(near) == 2 else finite_median(t_rec[near])
            if abs(kelvin / usual - 1) > limit:
                caveat(f"a pair of loads gives T_rec {kelvin:.1f} K, those near it {usual:.1f} K")
                solutions[k].flags[:] |= FLAG_BITS["unstable_gain"]
                stepped.add(k)
    return stepped


def _table(solutions: list[_Solution]) -> QTable:
    """Return a row per pair."""
    days = np.array([(s.hot.time_s + s.cold.time_s) / 2 / 86400 for s in solutions])
    settings = [solution.hot.tuning for solution in solutions]
    per_kelvin = u.count / (u.K * u.s)
    return QTable(
        {
            "time": Time(J2000_DAY, days, format="jd", scale="utc"),
            "lo_frequency": [setting.lo_hz for setting in settings] * u.Hz,
            "sideband": [setting.sideband for setting in settings],
            "first_frequency": [setting.first_hz for setting in settings] * u.Hz,
            "t_hot": [s.hot.temperatures["t_hot"] for s in solutions] * u.K,
            "t_cold": [s.cold.temperatures["t_cold"] for s in solutions] * u.K,
            "gamma": np.stack([s.gamma for s in solutions]) * per_kelvin,
            "gamma_error": np.stack([s.gamma_error for s in solutions]) * per_kelvin,
            "t_rec": np.stack([s.t_rec for s in solutions]) * u.K,
            "t_rec_error": np.stack([s.t_rec_error for s in solutions]) * u.K,
            "flags": np.stack([s.flags for s in solutions]),
        }
    )
