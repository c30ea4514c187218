"""Counts of hidden receivers become the temperatures that were put in."""

from __future__ import annotations

import astropy.units as u
import numpy as np
import pytest

from csst_hstdm.flags import FLAG_BITS
from csst_hstdm.stages.calibrate import calibrate
from csst_hstdm.stages.flag_dumps import flag_dumps
from csst_hstdm.stages.lsrk import shift_to_lsrk
from csst_hstdm.stages.main_beam import to_main_beam
from csst_hstdm.stages.solve_loads import solve_loads
from csstcore.api import NotApplicable, UnprocessableData, replace
from csstcore.notes import collecting

PEAK_K = 8.0


def gaussian(frequency_hz, time_s):
    """A line at the centre of 512 channels, 30 channels wide."""
    centre, width = frequency_hz[len(frequency_hz) // 2], 30 * (frequency_hz[1] - frequency_hz[0])
    return PEAK_K * np.exp(-0.5 * ((frequency_hz - centre) / width) ** 2)


def level_1(dumps, receiver, gain, **settings):
    """Calibrate one file."""
    flagged = flag_dumps(dumps, receiver)
    loads = solve_loads([flagged], receiver, gain)
    (calibrated,), t_sys = calibrate([flagged], loads, receiver, gain, **settings)
    return calibrated, loads.table, t_sys.table


def drifting(time_s):
    return 1 + 0.004 * np.sin(time_s / 150)


@pytest.fixture
def long_run(make_sky, make_schedule, receiver):
    sky = make_sky(line=gaussian, gain=drifting)
    states, time_s = make_schedule(12, load=8)
    dumps = sky.dumps(states, time_s, 1.0)
    return sky, *level_1(dumps, receiver, sky.sideband_gain())


def test_receiver_temperature_is_right_to_a_thousandth(long_run):
    sky, _, loads, _ = long_run
    solved = np.mean(loads["t_rec"].to_value(u.K), axis=0)
    assert np.mean(solved) == pytest.approx(np.mean(sky.t_rec), rel=1e-3)
    scatter = (loads["t_rec"].to_value(u.K) - sky.t_rec) / loads["t_rec_error"].to_value(u.K)
    assert np.std(scatter) == pytest.approx(1.0, abs=0.05)


def test_rayleigh_jeans_temperatures_would_not_give_it(long_run):
    sky, _, _, _ = long_run
    hot, cold = sky.power("HOT", 0.0), sky.power("COLD", 0.0)
    y = np.mean(hot) / np.mean(cold)
    assert (296 - y * 81) / (y - 1) != pytest.approx(np.mean(sky.t_rec), rel=0.01)


def test_system_temperature_of_each_channel_is_unbiased(long_run):
    sky, _, _, t_sys = long_run
    measured = np.mean(t_sys["t_sys"].to_value(u.K), axis=0)
    ratio = measured / sky.power("OFF", 0.0)
    assert np.mean(ratio) == pytest.approx(1.0, abs=5e-4)
    blocks = np.mean(ratio.reshape(16, -1), axis=1)
    assert np.max(np.abs(blocks - 1)) < 5e-3
    error = t_sys["t_sys_error"].to_value(u.K) / t_sys["t_sys"].to_value(u.K)
    scatter = np.std(t_sys["t_sys"].to_value(u.K) / sky.power("OFF", 0.0), axis=1)
    assert np.median(scatter / np.median(error, axis=1)) == pytest.approx(1.0, abs=0.25)


def test_noise_is_that_of_the_radiometer_equation(long_run):
    sky, dumps, _, _ = long_run
    line_free = np.abs(np.arange(sky.channels) - sky.channels // 2) > 150
    flux = dumps.flux[:, line_free]
    expected = sky.power("OFF", 0.0)[line_free] / (0.95 * sky.signal_gain[line_free])
    on_s = 1.0
    weight = dumps.rows["off_weight"]
    off_s = 1 / ((1 - weight) ** 2 / 6 + weight**2 / 6)
    sigma = expected * np.sqrt((1 / on_s + 1 / off_s)[:, None] / (1.2e9 / 16384))
    slow = np.median(flux, axis=1, keepdims=True)
    assert np.std((flux - slow) / sigma) == pytest.approx(1.0, abs=0.03)
    stated = np.sqrt(dumps.variance[:, line_free])
    assert np.median(stated / sigma) == pytest.approx(1.0, abs=0.01)


def test_shared_off_noise_is_stated(long_run):
    _sky, dumps, _, _ = long_run
    rows = dumps.rows
    first = rows["off_before"] == rows["off_before"][0]
    assert np.sum(first) == 10
    free = np.r_[0:100, 412:512]
    noise = dumps.flux[first][:, free] - np.median(dumps.flux[first][:, free], axis=1)[:, None]
    mean = np.std(np.mean(noise, axis=0) / np.sqrt(np.mean(dumps.variance[first][:, free], axis=0)))
    share = np.mean(rows["off_fraction"][first])
    assert 0.07 < share < 0.15
    assert mean == pytest.approx(np.sqrt((1 - share) / 10 + share), rel=0.15)
    assert mean > 1.2 * np.sqrt(1 / 10)


def test_line_peak_is_right_with_the_sideband_gain_and_wrong_without(
    make_sky, make_schedule, receiver
):
    sky = make_sky(line=gaussian, gain=drifting, noise=False)
    states, time_s = make_schedule(3)
    good, _, _ = level_1(sky.dumps(states, time_s, 1.0), receiver, sky.sideband_gain())
    middle = sky.channels // 2
    continuum = np.median(good.flux, axis=1)
    peak = np.mean(good.flux[:, middle] - continuum)
    assert peak == pytest.approx(PEAK_K, rel=0.01)
    balanced = sky.sideband_gain()
    balanced.flux[:] = 0.5
    naive, _, _ = level_1(sky.dumps(states, time_s, 1.0), receiver, balanced)
    wrong = np.mean(naive.flux[:, middle] - np.median(naive.flux, axis=1))
    assert abs(wrong / PEAK_K - 1) > 0.02


def test_gain_is_interpolated_between_loads(make_sky, make_schedule, receiver):
    sky = make_sky(line=gaussian, gain=lambda time_s: 1 + 0.03 * time_s / 40, noise=False)
    states, time_s = make_schedule(2)
    dumps, loads, _ = level_1(sky.dumps(states, time_s, 1.0), receiver, sky.sideband_gain())
    middle = sky.channels // 2
    peak = dumps.flux[:, middle] - np.median(dumps.flux, axis=1)
    assert np.max(np.abs(peak / PEAK_K - 1)) < 0.005
    assert np.max(np.abs(np.median(dumps.flux[:, :100], axis=1))) < 0.15  # 1.8 with one OFF
    assert np.ptp(loads["gamma"][:, middle].value) / loads["gamma"][0, middle].value > 0.03


def test_main_beam_temperature_is_made_once(long_run, receiver):
    _, dumps, _, _ = long_run
    flux, variance = dumps.flux.copy(), dumps.variance.copy()
    scaled = to_main_beam(dumps, receiver)
    np.testing.assert_allclose(scaled.flux, flux * (0.95 / 0.80), rtol=1e-6)
    np.testing.assert_allclose(scaled.variance, variance * (0.95 / 0.80) ** 2, rtol=1e-5)
    with pytest.raises(NotApplicable, match="antenna"):
        to_main_beam(scaled, receiver)


@pytest.mark.parametrize("lacking", ["HOT", "COLD"])
def test_missing_loads_are_refused(make_sky, make_schedule, receiver, lacking):
    sky = make_sky(channels=256)
    states, time_s = make_schedule(1)
    keep = np.array(states) != lacking
    dumps = sky.dumps(np.array(states)[keep], time_s[keep], 1.0)
    with pytest.raises(UnprocessableData, match="no pair of loads"):
        solve_loads([flag_dumps(dumps, receiver)], receiver, sky.sideband_gain())


def test_loads_of_one_temperature_are_refused(make_sky, make_schedule, receiver):
    sky = make_sky(channels=256)
    dumps = sky.dumps(*make_schedule(1), 1.0)
    dumps.rows["t_hot"] = dumps.rows["t_cold"]
    with pytest.raises(UnprocessableData, match="K apart"):
        solve_loads([flag_dumps(dumps, receiver)], receiver, sky.sideband_gain())


def test_dumps_far_from_loads_are_flagged(make_sky, make_schedule, receiver):
    sky = make_sky(channels=256)
    states, time_s = make_schedule(1)
    more = ["OFF"] * 5 + ["ON"] * 5
    late = time_s[-1] + 2000 + np.arange(10)
    dumps = sky.dumps(states + more, np.concatenate([time_s, late]), 1.0)
    calibrated, _, _ = level_1(dumps, receiver, sky.sideband_gain())
    far = calibrated.rows["time"] > dumps.rows["time"][len(states)]
    assert np.all(calibrated.flags[far] & FLAG_BITS["no_load"])
    assert not np.any(calibrated.flags[~far] & FLAG_BITS["no_load"])


def test_no_off_is_refused(make_sky, make_schedule, receiver):
    sky = make_sky(channels=256)
    states, time_s = make_schedule(1)
    keep = np.array(states) != "OFF"
    dumps = sky.dumps(np.array(states)[keep], time_s[keep], 1.0)
    with pytest.raises(UnprocessableData, match="no OFF"):
        level_1(dumps, receiver, sky.sideband_gain())


def test_loads_and_offs_may_be_in_other_files(make_sky, make_schedule, receiver):
    sky = make_sky(channels=256)
    states, time_s = make_schedule(1)
    states = np.array(states)
    parts = [np.isin(states, names) for names in (["HOT", "COLD"], ["OFF"], ["ON"])]
    files = [flag_dumps(sky.dumps(states[part], time_s[part], 1.0), receiver) for part in parts]
    gain = sky.sideband_gain()
    loads = solve_loads(files, receiver, gain)
    calibrated, _ = calibrate(files, loads, receiver, gain)
    assert [part is None for part in calibrated] == [True, True, False]
    assert np.all(calibrated[2].rows["state"] == "ON")


def test_missing_spectra_stay_missing(make_sky, make_schedule, receiver):
    sky = make_sky(channels=256)
    states, time_s = make_schedule(1)
    dumps = sky.dumps(states, time_s, 1.0)
    on = np.flatnonzero(np.array(states) == "ON")
    dumps.flux[on[2]] = np.nan
    dumps.flux[on[3], 17] = np.nan
    dumps.flux[0] = np.nan
    dumps.flux[np.array(states) == "OFF", 40] = np.nan
    calibrated, loads, _ = level_1(dumps, receiver, sky.sideband_gain())
    assert np.all(np.isnan(calibrated.flux[2]))
    assert np.all(calibrated.flags[2] != 0)
    assert np.isnan(calibrated.flux[3, 17])
    assert calibrated.flags[3, 17] != 0
    assert np.all(calibrated.flags[:, 40] != 0)
    assert np.all(np.isfinite(calibrated.flux) | (calibrated.flags != 0))
    assert np.all(np.isfinite(loads["gamma"]))


def test_a_line_in_the_off_is_flagged(make_sky, make_schedule, receiver):
    def weak(frequency_hz, time_s):
        return gaussian(frequency_hz, time_s) * 0.4

    states, time_s = make_schedule(2, off=15, load=10)
    sky = make_sky(line=gaussian, off_line=weak, channels=1024)
    with collecting() as notes:
        calibrated, _, _ = level_1(sky.dumps(states, time_s, 1.0), receiver, sky.sideband_gain())
    line = (calibrated.flags & FLAG_BITS["off_line"]) != 0
    assert np.all(line[:, 512 - 30 : 512 + 30])
    assert np.mean(line[:, :300]) == 0
    assert any("OFF has lines" in caveat for caveat in notes.caveats)
    clean = make_sky(line=gaussian, channels=1024)
    calibrated, _, _ = level_1(clean.dumps(states, time_s, 1.0), receiver, clean.sideband_gain())
    assert not np.any(calibrated.flags & FLAG_BITS["off_line"])


def test_a_gain_that_jumps_between_loads_is_flagged(make_sky, make_schedule, receiver):
    sky = make_sky(channels=256, gain=lambda time_s: 1.0 if time_s < 20 else 1.2)
    calibrated, _, _ = level_1(sky.dumps(*make_schedule(1), 1.0), receiver, sky.sideband_gain())
    assert np.all(calibrated.flags & FLAG_BITS["unstable_gain"])


def test_a_sideband_gain_that_does_not_cover_the_band_is_refused(make_sky, make_schedule, receiver):
    sky = make_sky(channels=256)
    gain = sky.sideband_gain()
    short = replace(gain, flux=gain.flux[:, :100], variance=None, axis=gain.axis[:100])
    with pytest.raises(UnprocessableData, match="covers"):
        level_1(sky.dumps(*make_schedule(1), 1.0), receiver, short)


@pytest.mark.parametrize(
    "column", ["time", "exposure_time", "state", "t_hot", "lo_frequency", "sideband"]
)
def test_a_missing_column_is_named(make_sky, make_schedule, receiver, column):
    sky = make_sky(channels=256)
    dumps = sky.dumps(*make_schedule(1), 1.0)
    dumps.rows.remove_column(column)
    with pytest.raises(UnprocessableData, match=f"no column {column}"):
        level_1(dumps, receiver, sky.sideband_gain())


def test_files_that_do_not_belong_together_are_refused(make_sky, make_schedule, receiver):
    one, two = make_sky(channels=256), make_sky(channels=300)
    files = [flag_dumps(sky.dumps(*make_schedule(1), 1.0), receiver) for sky in (one, two)]
    with pytest.raises(UnprocessableData, match="256, 300"):
        solve_loads(files, receiver, two.sideband_gain())
    files[0].rows["lo_frequency"][3] *= 1.1
    with pytest.raises(UnprocessableData, match="one tuning per file"):
        solve_loads(files[:1], receiver, one.sideband_gain())


def test_dead_loads_and_skies_never_give_numbers_without_flags(make_sky, make_schedule, receiver):
    sky = make_sky(channels=256)
    states = np.array(make_schedule(2)[0])
    for state in ("HOT", "COLD", "OFF", "ON"):
        for value in (np.nan, 0.0, 1e-3, np.inf, 5e9):
            dumps = sky.dumps(*make_schedule(2), 1.0)
            dumps.flux[states == state] = value
            try:
                calibrated, _, _ = level_1(dumps, receiver, sky.sideband_gain())
            except UnprocessableData:
                continue
            assert np.all(calibrated.flags != 0), (state, value)


@pytest.mark.parametrize("factor", [0.8, 1.15])
def test_an_off_that_no_sky_can_be_is_flagged(make_sky, make_schedule, receiver, factor):
    sky = make_sky(channels=256)
    states, time_s = make_schedule(2)
    dumps = sky.dumps(states, time_s, 1.0)
    dumps.flux[np.isin(states, ["OFF", "ON"])] *= factor
    with collecting() as notes:
        calibrated, _, _ = level_1(dumps, receiver, sky.sideband_gain())
    assert np.all(calibrated.flags & FLAG_BITS["unstable_gain"])
    assert any("gain of the loads is not" in caveat for caveat in notes.caveats)


def test_dumps_without_time_are_flagged(make_sky, make_schedule, receiver):
    sky = make_sky(channels=256)
    states, time_s = make_schedule(2)
    dumps = sky.dumps(states, time_s, 1.0)
    lost = [0, np.flatnonzero(np.array(states) == "ON")[3]]
    dumps.rows["time"][lost] = np.ma.masked
    with collecting() as notes:
        calibrated, loads, _ = level_1(dumps, receiver, sky.sideband_gain())
    shifted = shift_to_lsrk(calibrated)
    assert notes.caveats == [f"2 of {len(dumps)} dumps have no time"]
    assert notes.metrics["dropped_dumps"] == notes.metrics["clock_jumps"] == 0
    assert calibrated.rows["flag"][3] == FLAG_BITS["pointing"]
    assert np.all(calibrated.flags[3] & FLAG_BITS["pointing"])
    assert np.all(shifted.flags[3] & FLAG_BITS["pointing"])
    assert np.mean(shifted.flags[4] == 0) > 0.9
    assert len(loads) == 3
