"""What is wrong with dumps is flagged, and little else."""

from __future__ import annotations

import astropy.units as u
import numpy as np
import pytest
from astropy.time import TimeDelta

from csst_hstdm.flags import FLAG_BITS
from csst_hstdm.line_places import line_places
from csst_hstdm.stages.flag_dumps import flag_dumps
from csstcore.api import UnprocessableData, replace
from csstcore.notes import collecting

STATES = ["HOT"] * 5 + ["COLD"] * 5 + ["OFF"] * 8 + ["ON"] * 40 + ["OFF"] * 8
TIMES = np.arange(len(STATES)) + 0.5


def passing_line(frequency_hz, time_s):
    """A bright narrow source that the telescope scans over: 5 dumps, 25 channels."""
    shape = np.exp(-0.5 * ((frequency_hz - frequency_hz[200]) / (10 * 73242.2)) ** 2)
    return 40 * shape * np.exp(-0.5 * ((time_s - 38) / 2) ** 2)


@pytest.fixture
def dumps(make_sky):
    return make_sky(line=passing_line).dumps(STATES, TIMES, 1.0)


def flagged(dumps, name):
    return (dumps.flags & FLAG_BITS[name]) != 0


def test_hits_are_found_and_lines_are_not(dumps, receiver):
    rng = np.random.default_rng(5)
    hit = rng.random(dumps.flux.shape) < 2e-3
    sigma = dumps.flux / np.sqrt(73242.2)
    dumps.flux[hit] += (rng.uniform(8, 500, dumps.flux.shape) * sigma)[hit]
    found = flagged(flag_dumps(dumps, receiver), "cosmic_ray")
    assert np.mean(found[hit]) >= 0.98
    assert np.mean(found[~hit]) < 1e-4
    assert not np.any(dumps.flags & FLAG_BITS["bad_channel"])
    assert not np.any(dumps.rows["flag"])


@pytest.mark.parametrize("peak", [12.0, 40.0, 300.0])
@pytest.mark.parametrize("width", [0.8, 1.5, 3.5])
def test_narrow_lines_that_the_beam_scans_are_no_hits(make_sky, receiver, peak, width):
    """Widths of 2 to 8 channels, 0.08 to 0.37 km/s, in steps of a fifth of the beam."""

    def narrow(frequency_hz, time_s):
        channel = np.arange(len(frequency_hz))
        line = peak * np.exp(-0.5 * ((channel - 200.3) / width) ** 2)
        return line * np.exp(-4 * np.log(2) * ((time_s - 38) / 5) ** 2)

    dumps = make_sky(line=narrow).dumps(STATES, TIMES, 1.0)
    rng = np.random.default_rng(6)
    hit = rng.random(dumps.flux.shape) < 1e-3
    hit[36:40, 198:202] = rng.random((4, 4)) < 0.2
    sigma = dumps.flux / np.sqrt(73242.2)
    dumps.flux[hit] += (rng.uniform(10, 500, dumps.flux.shape) * sigma)[hit]
    flag_dumps(dumps, receiver)
    found = flagged(dumps, "cosmic_ray")
    near = np.abs(np.arange(found.shape[1]) - 200) < 15
    assert np.count_nonzero((found & ~hit)[:, near]) == 0
    assert np.mean(found[hit]) >= 0.97
    assert not np.any(flagged(dumps, "bad_channel"))
    assert not np.any(dumps.rows["flag"])


@pytest.mark.parametrize("apart", [0, 1])
@pytest.mark.parametrize(("rows", "ratio"), [((30, 31), 0.86), ((57, 56), 0.95), ((30, 31), 0.1)])
@pytest.mark.parametrize("kelvin", [60.0, 1200.0])
def test_hits_in_dumps_next_to_each_other_are_no_line(
    make_sky, receiver, apart, rows, ratio, kelvin
):
    """Within a line and beside it, inside of a block and at its end."""
    for centre in (150.0, 300.0):
        sky = make_sky(
            line=lambda f, t, c=centre: 20 * np.exp(-(((np.arange(len(f)) - c) / 20) ** 2))
        )
        dumps = sky.dumps(STATES, TIMES, 1.0)
        per_kelvin = np.median(dumps.flux[0]) / 400
        dumps.flux[rows[0], [299, 300]] += kelvin * per_kelvin
        dumps.flux[rows[1], [299 + apart, 300 + apart]] += ratio * kelvin * per_kelvin
        found = flagged(flag_dumps(dumps, receiver), "cosmic_ray")
        assert found[rows[0], 299]
        assert found[rows[0], 300]
        assert np.all(found[rows[1], [299 + apart, 300 + apart]])
        assert np.count_nonzero(found) <= 6


@pytest.mark.parametrize("peak", [40.0, 300.0])
def test_a_narrow_line_at_the_end_of_rows_of_a_map_is_no_hit(make_sky, receiver, peak):
    """All rows begin at the same side, and the source is half a beam outside of their end."""
    states = (["HOT"] * 5 + ["COLD"] * 5 + ["OFF"] * 8 + ["ON"] * 16) * 6
    time_s = np.arange(len(states)) + 0.5
    along = (time_s % 34 - 33.5) / 5 - 0.5
    across = (time_s // 34 - 2.6) / 4.0

    def edge(frequency_hz, at_s):
        k = int(at_s)
        beam = np.exp(-4 * np.log(2) * (along[k] ** 2 + across[k] ** 2))
        return peak * beam * np.exp(-0.5 * ((np.arange(len(frequency_hz)) - 200.3) / 1.2) ** 2)

    dumps = make_sky(line=edge).dumps(states, time_s, 1.0)
    dumps.rows["ra"] = 83.8 * u.deg + along * 80 * u.arcsec
    dumps.rows["dec"] = -5.4 * u.deg + across * 80 * u.arcsec
    flag_dumps(dumps, receiver)
    assert np.count_nonzero(flagged(dumps, "cosmic_ray")[:, 190:211]) == 0


def test_a_line_that_moves_with_the_orbit_is_no_hit(make_sky, receiver):
    """Seen by single dumps a minute apart, between which it moves by several channels."""
    time_s = 60.0 * np.arange(24)
    probe = make_sky(noise=False).dumps(["ON"] * 24, time_s, 1.0)
    place = line_places(probe)
    assert np.max(np.abs(np.diff(place))) > 5

    def moving(frequency_hz, at_s):
        channel = np.arange(len(frequency_hz))
        centre = 256 + place[round(at_s / 60)] - np.mean(place)
        return 60 * np.exp(-0.5 * ((channel - centre) / 1.5) ** 2)

    dumps = make_sky(line=moving).dumps(["ON"] * 24, time_s, 1.0)
    flag_dumps(dumps, receiver)
    assert np.count_nonzero(dumps.flags) <= 2


def test_clean_dumps_have_no_flags(dumps, receiver):
    with collecting() as notes:
        flag_dumps(dumps, receiver)
    assert np.count_nonzero(dumps.flags) <= 1
    assert not np.any(dumps.rows["flag"])
    assert not notes.caveats
    assert notes.metrics["dropped_dumps"] == notes.metrics["clock_jumps"] == 0


def test_single_dumps_of_a_state_are_searched_too(make_sky, receiver):
    dumps = make_sky().dumps(["HOT", "COLD", "OFF", "ON"], np.arange(4.0), 1.0)
    dumps.flux[3, 100] *= 1.2
    flag_dumps(dumps, receiver)
    assert dumps.flags[3, 100] == FLAG_BITS["cosmic_ray"]
    assert np.count_nonzero(dumps.flags) <= 2


def test_saturated_and_missing_samples(dumps, receiver):
    dumps.flux[20, 7] = 5e9
    dumps.flux[21] = 5e9
    dumps.flux[22, 8] = np.nan
    dumps.flux[23] = np.nan
    dumps.flux[24] = 0.0
    flag_dumps(dumps, receiver)
    assert flagged(dumps, "saturated")[20, 7]
    assert np.all(flagged(dumps, "saturated")[21])
    assert dumps.rows["flag"][21] & FLAG_BITS["saturated"]
    assert flagged(dumps, "bad_channel")[22, 8]
    assert np.all(flagged(dumps, "bad_channel")[23])
    assert np.all(dumps.rows["flag"][23:25] & FLAG_BITS["bad_channel"])
    assert not dumps.rows["flag"][20]
    assert not dumps.rows["flag"][22]


def test_dead_stuck_and_noisy_channels(dumps, receiver):
    rng = np.random.default_rng(2)
    dumps.flux[:, 30] = 0.0
    dumps.flux[:, 60] = np.median(dumps.flux[:, 60])
    dumps.flux[:, 90] *= 1 + 0.02 * rng.standard_normal(len(dumps))
    flag_dumps(dumps, receiver)
    bad = np.all(flagged(dumps, "bad_channel"), axis=0)
    assert set(np.flatnonzero(bad)) == {30, 60, 90}


def test_a_dump_of_another_gain_or_noise(dumps, receiver):
    rng = np.random.default_rng(3)
    dumps.flux[30] *= 1.1
    dumps.flux[35] *= 1 + 0.02 * rng.standard_normal(dumps.flux.shape[1])
    flag_dumps(dumps, receiver)
    unstable = (dumps.rows["flag"] & FLAG_BITS["unstable_gain"]) != 0
    assert set(np.flatnonzero(unstable)) == {30, 35}


@pytest.mark.parametrize("jump_s", [-40.0, -3.0, 2.0, 600.0, 1300.0, 4000.0, 5545.0, 90000.0])
@pytest.mark.parametrize("with_orbit", [True, False])
def test_a_jumped_clock(dumps, receiver, jump_s, with_orbit):
    dumps.rows["time"][45:] = dumps.rows["time"][45:] + TimeDelta(jump_s * u.s)
    if not with_orbit:
        dumps.rows.remove_columns(["x", "y", "z"])
    with collecting() as notes:
        flag_dumps(dumps, receiver)
    jumped = (dumps.rows["flag"] & FLAG_BITS["pointing"]) != 0
    if with_orbit or jump_s < 0:
        assert set(np.flatnonzero(jumped)) == set(range(45, len(STATES)))
        assert any("clock is off in 21 of 66" in caveat for caveat in notes.caveats)
    else:
        assert notes.metrics["dropped_dumps"] > 0
        assert not jumped.any()


@pytest.mark.parametrize("jump_s", [-5000.0, -60.0, 400.0, 1500.0, 3000.0, 30000.0])
def test_a_clock_that_jumps_in_a_pause(make_sky, make_orbit, receiver, jump_s):
    """Of half an hour, of one and a half orbits and of three: the pauses themselves are none."""
    start_s = np.repeat([0.0, 1800.0, 10120.0, 26800.0], 8)
    time_s = start_s + np.tile(np.arange(8.0), 4)
    dumps = make_sky(channels=64).dumps(["ON"] * 32, time_s, 1.0)
    dumps.rows["scan"] = np.repeat([1, 2, 3, 4], 8)
    flag_dumps(dumps, receiver)
    assert not np.any(dumps.rows["flag"])
    dumps.rows["time"][24:] = dumps.rows["time"][24:] + TimeDelta(jump_s * u.s)
    flag_dumps(dumps, receiver)
    jumped = (dumps.rows["flag"] & FLAG_BITS["pointing"]) != 0
    assert set(np.flatnonzero(jumped)) == set(range(24, 32))


def test_a_clock_that_returns(dumps, receiver):
    dumps.rows["time"][20:25] = dumps.rows["time"][20:25] + TimeDelta(3600 * u.s)
    dumps.rows.remove_columns(["x", "y", "z"])
    flag_dumps(dumps, receiver)
    jumped = (dumps.rows["flag"] & FLAG_BITS["pointing"]) != 0
    assert set(np.flatnonzero(jumped)) == set(range(20, 25))


@pytest.mark.parametrize("rows", [slice(30, 32), slice(30, 36), slice(2, 5), slice(56, 60)])
def test_a_spectrometer_that_has_stopped(dumps, receiver, rows):
    """Within one state and from one to the next; that of dumps which are given twice goes on."""
    dumps.flux[rows] = dumps.flux[rows.start]
    dumps.flux[50], dumps.rows["time"][50] = dumps.flux[49], dumps.rows["time"][49]
    with collecting() as notes:
        flag_dumps(dumps, receiver)
    frozen = (dumps.rows["flag"] & FLAG_BITS["bad_channel"]) != 0
    assert np.flatnonzero(frozen).tolist() == list(range(rows.start, rows.stop))
    assert np.all(flagged(dumps, "bad_channel")[rows])
    assert any("counts of the next" in caveat for caveat in notes.caveats)


def test_dropped_dumps_are_counted(dumps, receiver):
    keep = np.delete(np.arange(len(STATES)), [30, 31, 50])
    fewer = replace(dumps, flux=dumps.flux[keep], rows=dumps.rows[keep])
    with collecting() as notes:
        flag_dumps(fewer, receiver)
    assert notes.metrics["dropped_dumps"] == 3
    assert any("3 dumps are missing" in caveat for caveat in notes.caveats)
    assert not np.any(fewer.rows["flag"])


def test_an_unknown_state_is_refused(dumps, receiver):
    dumps.rows["state"] = "SKY"
    with pytest.raises(UnprocessableData, match="SKY"):
        flag_dumps(dumps, receiver)


def test_nothing_but_missing_dumps(dumps, receiver):
    dumps.flux[:] = np.nan
    flag_dumps(dumps, receiver)
    assert np.all(dumps.rows["flag"] & FLAG_BITS["bad_channel"])


def test_no_dumps_at_all(dumps, receiver):
    empty = replace(dumps, flux=dumps.flux[:0], rows=dumps.rows[:0])
    assert len(flag_dumps(empty, receiver)) == 0
