"""Quality numbers and pictures of Level 1."""

from __future__ import annotations

import astropy.units as u
import numpy as np
import pytest
from matplotlib.figure import Figure

from csst_hstdm.checks import (
    flagged_fraction,
    gain_drift,
    noise_ratio,
    receiver_temperature,
    system_temperature,
)
from csst_hstdm.figures import load_calibration, waterfall
from csst_hstdm.stages.calibrate import calibrate
from csst_hstdm.stages.flag_dumps import flag_dumps
from csst_hstdm.stages.lsrk import shift_to_lsrk
from csst_hstdm.stages.solve_loads import solve_loads
from csstcore.api import NotApplicable, replace
from csstcore.notes import collecting


@pytest.fixture
def level_1(make_sky, make_schedule, receiver):
    sky = make_sky(gain=lambda time_s: 1.0 if time_s < 25 else 1.01)
    dumps = flag_dumps(sky.dumps(*make_schedule(2), 1.0), receiver)
    loads = solve_loads([dumps], receiver, sky.sideband_gain())
    (calibrated,), _ = calibrate([dumps], loads, receiver, sky.sideband_gain())
    return calibrated, loads, sky


def test_numbers_are_those_put_in(level_1):
    dumps, loads, sky = level_1
    assert receiver_temperature(loads) == pytest.approx(np.median(sky.t_rec), rel=0.01)
    assert gain_drift(loads) == pytest.approx(0.01, abs=0.002)
    off = np.median(sky.power("OFF", 0.0))
    assert system_temperature(dumps) == pytest.approx(off, rel=0.02)


def test_noise_ratio_is_one_before_and_after_resampling(level_1):
    dumps, _, _ = level_1
    assert noise_ratio(dumps) == pytest.approx(1.0, abs=0.05)
    assert noise_ratio(shift_to_lsrk(dumps)) == pytest.approx(1.0, abs=0.05)
    louder = replace(dumps, flux=(dumps.flux * 1.5).astype(np.float32))
    assert noise_ratio(louder) == pytest.approx(1.5, abs=0.1)
    with pytest.raises(NotApplicable, match="variance"):
        noise_ratio(replace(dumps, variance=None))


@pytest.mark.parametrize("width", [5, 40])
def test_noise_ratio_is_one_where_lines_are_bright(make_sky, make_schedule, receiver, width):
    def bright(frequency_hz, time_s):
        channel = np.arange(len(frequency_hz))
        return 300 * np.exp(-0.5 * ((channel - 256) / width) ** 2)

    sky = make_sky(line=bright)
    dumps = flag_dumps(sky.dumps(*make_schedule(1), 1.0), receiver)
    loads = solve_loads([dumps], receiver, sky.sideband_gain())
    (calibrated,), _ = calibrate([dumps], loads, receiver, sky.sideband_gain())
    assert noise_ratio(calibrated) == pytest.approx(1.0, abs=0.05)
    assert noise_ratio(shift_to_lsrk(calibrated)) == pytest.approx(1.0, abs=0.05)


def test_a_single_pair_of_loads_shows_no_drift(make_sky, receiver):
    sky = make_sky(channels=256)
    dumps = flag_dumps(sky.dumps(["HOT"] * 5 + ["COLD"] * 5, np.arange(10.0), 1.0), receiver)
    with collecting() as notes:
        loads = solve_loads([dumps], receiver, sky.sideband_gain())
    assert np.isnan(gain_drift(loads))
    assert "gain_drift" not in notes.metrics
    assert any("a single pair of loads" in caveat for caveat in notes.caveats)


def test_flagged_fraction_leaves_out_what_dumps_do_not_reach(level_1):
    dumps, _, _ = level_1
    before = flagged_fraction(dumps)
    dumps.flags[:, 100:200] = 1
    assert flagged_fraction(dumps) == pytest.approx(before + 100 / 512, abs=0.01)
    shifted = shift_to_lsrk(dumps)
    assert flagged_fraction(shifted) == pytest.approx(before + 100 / 512, abs=0.01)
    assert flagged_fraction(replace(dumps, flux=np.full_like(dumps.flux, np.nan))) == 1.0


def test_pictures_are_made_of_any_dumps(level_1):
    dumps, loads, _ = level_1
    assert isinstance(waterfall(shift_to_lsrk(dumps)), Figure)
    assert isinstance(load_calibration(loads), Figure)
    empty = replace(dumps, flux=np.full_like(dumps.flux, np.nan))
    assert isinstance(waterfall(empty), Figure)
    none = slice(0, 0)
    nothing = replace(
        dumps,
        flux=dumps.flux[none],
        variance=dumps.variance[none],
        flags=dumps.flags[none],
        rows=dumps.rows[none],
    )
    with pytest.raises(NotApplicable, match="no dumps"):
        waterfall(nothing)
    assert np.isnan(noise_ratio(nothing))
    assert np.isnan(flagged_fraction(nothing))


def test_channels_without_gain_are_left_out(level_1):
    _dumps, loads, _ = level_1
    loads.table["t_rec"][:, 3] = np.nan * u.K
    loads.table["gamma"][:, 3] = np.nan * loads.table["gamma"].unit
    assert np.isfinite(receiver_temperature(loads))
    assert np.isfinite(gain_drift(loads))
    assert isinstance(load_calibration(loads), Figure)
