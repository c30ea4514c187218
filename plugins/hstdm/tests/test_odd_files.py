"""Files that do not belong to a project, and rows that cannot be: left out, flagged or refused."""

from __future__ import annotations

import astropy.units as u
import numpy as np
import pytest

from csst_hstdm.flags import FLAG_BITS
from csst_hstdm.stages.calibrate import calibrate
from csst_hstdm.stages.flag_dumps import flag_dumps
from csst_hstdm.stages.orbit import interpolate_pointing
from csst_hstdm.stages.solve_loads import solve_loads
from csstcore.api import UnprocessableData
from csstcore.notes import collecting

POINTING = FLAG_BITS["pointing"]


@pytest.fixture
def sky(make_sky):
    return make_sky(channels=256)


@pytest.fixture
def dumps(sky, make_schedule):
    return sky.dumps(*make_schedule(2), 1.0)


def two_files(sky, make_schedule):
    """Of one project, one after the other."""
    states, time_s = make_schedule(1)
    return [sky.dumps(states, time_s + start, 1.0, seed) for seed, start in ((1, 0.0), (2, 100.0))]


def _channels(make_sky, make_schedule, files):
    return make_sky(channels=300).dumps(*make_schedule(1), 1.0), "300 channels; most files have 256"


def _tunings(make_sky, make_schedule, files):
    odd = make_sky(channels=256).dumps(*make_schedule(1), 1.0)
    odd.rows["lo_frequency"][3] *= 1.1
    return odd, "one tuning per file"


def _thermometer(make_sky, make_schedule, files):
    odd = make_sky(channels=256).dumps(make_schedule(1)[0], make_schedule(1)[1] + 300.0, 1.0, 5)
    odd.rows.remove_column("t_hot")
    return odd, "no column t_hot"


def _again(make_sky, make_schedule, files):
    return files[0], "the same as file 1"


@pytest.mark.parametrize("make", [_channels, _tunings, _thermometer, _again])
def test_an_odd_file_is_left_out(sky, make_sky, make_schedule, receiver, make):
    files = two_files(sky, make_schedule)
    odd, why = make(make_sky, make_schedule, files)
    gain = sky.sideband_gain()
    series = [flag_dumps(file, receiver) for file in files] + [odd]
    with collecting() as notes:
        loads = solve_loads(series, receiver, gain)
        calibrated, _ = calibrate(series, loads, receiver, gain)
    assert any("file 3 (observation 50000000001) is left out" in c for c in notes.caveats)
    assert any(why in caveat for caveat in notes.caveats)
    assert len(loads) == 4
    alone = calibrate(series[:2], solve_loads(series[:2], receiver, gain), receiver, gain)[0]
    for part, expected in zip(calibrated[:2], alone, strict=True):
        np.testing.assert_array_equal(part.flux, expected.flux)
    if make is not _thermometer:  # which is needed for the loads alone
        assert calibrated[2] is None


def test_files_that_are_all_odd_are_refused(dumps, sky, receiver):
    dumps.rows["lo_frequency"][3] *= 1.1
    with pytest.raises(UnprocessableData, match="one tuning per file"):
        solve_loads([dumps, dumps], receiver, sky.sideband_gain())


def test_dumps_with_the_time_of_another(dumps, receiver):
    for name in "xyz":
        dumps.rows[name][[20, 40]] = dumps.rows[name][[19, 39]]
    dumps.rows["time"][[20, 40]] = dumps.rows["time"][[19, 39]]
    dumps.flux[40] = dumps.flux[39]
    with collecting() as notes:
        flag_dumps(dumps, receiver)
    assert np.flatnonzero(dumps.rows["flag"] & POINTING).tolist() == [19, 20, 40]
    assert any("have the time of another" in caveat for caveat in notes.caveats)


def test_a_declination_beyond_the_poles_is_none(dumps, receiver):
    dumps.rows["dec"][20] = 95.0 * u.deg
    dumps.rows["dec"][22:28] = -90.5 * u.deg
    with collecting() as notes:
        interpolate_pointing(flag_dumps(dumps, receiver), gap_s=3.0)
    assert dumps.rows["dec"][20].value == pytest.approx(-5.4)
    assert set(np.flatnonzero(dumps.rows["flag"] & POINTING)) == set(
        range(22, 28)
    )  # ends of blocks
    assert any("no pointing" in caveat for caveat in notes.caveats)


@pytest.mark.parametrize("stage", ["flag_dumps", "interpolate_pointing"])
def test_rows_without_scans_are_refused(dumps, receiver, stage):
    dumps.rows.remove_column("scan")
    with pytest.raises(UnprocessableData, match="no column scan"):
        flag_dumps(dumps, receiver) if stage == "flag_dumps" else interpolate_pointing(dumps)


def test_saturated_loads_are_named(dumps, sky, receiver):
    dumps.flux[np.asarray(dumps.rows["state"]) == "HOT"] *= 10.0
    flag_dumps(dumps, receiver)
    with pytest.raises(UnprocessableData, match=r"15 of 15 dumps of HOT are flagged \(saturated\)"):
        solve_loads([dumps], receiver, sky.sideband_gain())


def test_channels_whose_loads_saturate_are_flagged(dumps, sky, receiver):
    dumps.flux[np.asarray(dumps.rows["state"]) == "HOT", 30:40] = 4.2e9
    flag_dumps(dumps, receiver)
    loads = solve_loads([dumps], receiver, sky.sideband_gain())
    (calibrated,), _ = calibrate([dumps], loads, receiver, sky.sideband_gain())
    assert np.all(calibrated.flags[:, 30:40] & FLAG_BITS["saturated"])
    assert np.all(np.isnan(calibrated.flux[:, 30:40]))
    assert np.mean(calibrated.flags[:, 50:] != 0) < 0.01
