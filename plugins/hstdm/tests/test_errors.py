"""Errors of the scale are in the variances: drift between loads, and the sideband gain."""

from __future__ import annotations

import dataclasses

import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable
from astropy.time import Time

from csst_hstdm.dump_rows import Tuning
from csst_hstdm.gain_curve import bracket, gain_curve
from csst_hstdm.stages.calibrate import calibrate
from csst_hstdm.stages.flag_dumps import flag_dumps
from csst_hstdm.stages.solve_loads import solve_loads
from csstcore.api import UnprocessableData, replace

PEAK_K = 800.0


def bright(frequency_hz, time_s):
    """A line so bright that errors of the scale count, not the noise."""
    channel = np.arange(len(frequency_hz))
    return PEAK_K * np.exp(-0.5 * ((channel - len(channel) // 2) / 6) ** 2)


def level_1(dumps, receiver, gain):
    flagged = flag_dumps(dumps, receiver)
    (calibrated,), _ = calibrate([flagged], solve_loads([flagged], receiver, gain), receiver, gain)
    return calibrated


def walk(rng, seconds, per_second):
    """A gain whose logarithm walks at random; each second has its own."""
    return np.exp(np.cumsum(rng.normal(0, np.sqrt(per_second), int(seconds) + 2)))


@pytest.mark.parametrize("last_loads", [True, False])
def test_lines_are_wrong_by_what_the_drift_says(make_sky, make_schedule, receiver, last_loads):
    """Between loads, and after a single pair, of which only the receiver tells the drift."""
    receiver = dataclasses.replace(receiver, gain_drift=1e-2, gain_drift_time_s=100.0)
    states, time_s = make_schedule(1, load=3, off=3, on=6)
    time_s = np.concatenate([time_s[:6], time_s[6:18] + 40.0, time_s[18:] + 80.0])
    if not last_loads:
        states, time_s = states[:18], time_s[:18]
    pulls = []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        path = walk(rng, time_s[-1], receiver.drift_per_second)
        sky = make_sky(channels=64, line=bright, noise=False, gain=lambda t, p=path: p[int(t)])
        calibrated = level_1(sky.dumps(states, time_s, 1.0), receiver, sky.sideband_gain())
        flux, variance = calibrated.flux[3, 32], calibrated.variance[3, 32]
        pulls.append((flux - PEAK_K) / np.sqrt(variance))
    assert np.std(pulls) == pytest.approx(1.0, abs=0.3)


def test_channels_are_wrong_by_what_the_sideband_gain_says(make_sky, make_schedule, receiver):
    def flat(frequency_hz, time_s):
        return np.full_like(frequency_hz, 300.0)

    sky = make_sky(line=flat, noise=False, channels=1024)
    true = sky.sideband_gain()
    sigma = 0.01 + 0.01 * (np.arange(1024) > 512)
    wrong = replace(
        true,
        flux=(true.flux + sigma * np.random.default_rng(1).standard_normal(1024)).astype(
            np.float32
        ),
        variance=np.broadcast_to(sigma**2, true.flux.shape).astype(np.float32),
    )
    calibrated = level_1(sky.dumps(*make_schedule(1, exposure_s=3.0), 3.0), receiver, wrong)
    pulls = (calibrated.flux[3] - 300.0) / np.sqrt(calibrated.variance[3])
    for half in (pulls[:512], pulls[512:]):
        assert np.std(half) == pytest.approx(1.0, abs=0.12)


def test_interpolated_gains_are_wrong_by_what_the_curve_says(receiver):
    """Random walks seen every hundred seconds, at all times between and after."""
    rng = np.random.default_rng(2)
    step_s, per_second = 100, 4e-8
    pulls = []
    for _ in range(40):
        path = walk(rng, 20 * step_s, per_second)
        loads = step_s * np.arange(19)
        table = QTable({"time": Time("2028-03-01", scale="utc") + loads * u.s})
        table["lo_frequency"], table["first_frequency"] = 455e9 * u.Hz, 459e9 * u.Hz
        table["sideband"] = "USB"
        gamma = np.repeat(path[loads][:, None], 4, axis=1)
        table["gamma"] = gamma * u.count / u.K / u.s
        table["gamma_error"] = 0 * table["gamma"]
        table["t_rec"], table["flags"] = 0 * gamma * u.K, np.zeros(gamma.shape, np.uint16)
        curve = gain_curve(table, Tuning(455e9, "USB", 459e9, 4), receiver)
        for moment in (*range(25, 1800, 60), 1850, 1895):
            value, _, place = curve.at(curve.time_s[0] + moment)
            error = np.log(value[0] / path[moment])
            pulls.append(error / np.sqrt(curve.drift_variance(place)))
    assert np.std(pulls) == pytest.approx(1.0, abs=0.2)
    assert bracket(loads * 1.0, 1895.0).distance_s == 95.0


@pytest.mark.parametrize(("offset_ghz", "used"), [(0.3, True), (5.0, False)])
def test_sideband_gains_of_another_tuning(make_sky, make_schedule, receiver, offset_ghz, used):
    sky = make_sky(channels=256)
    gain, dumps = sky.sideband_gain(), sky.dumps(*make_schedule(1), 1.0)
    gain.rows["lo_frequency"] += offset_ghz * u.GHz
    if used:
        assert np.any(np.isfinite(level_1(dumps, receiver, gain).flux))
        return
    with pytest.raises(UnprocessableData, match=r"measured 5\.000 GHz away"):
        solve_loads([flag_dumps(dumps, receiver)], receiver, gain)
    loads = solve_loads([dumps], receiver, sky.sideband_gain())
    with pytest.raises(UnprocessableData, match=r"measured 5\.000 GHz away"):
        calibrate([dumps], loads, receiver, gain)
