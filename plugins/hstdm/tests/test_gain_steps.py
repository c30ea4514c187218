"""Gains that step are flagged wherever they do; drifts, and sources that are as bright, are not."""

from __future__ import annotations

import astropy.units as u
import numpy as np
import pytest

from csst_hstdm.flags import FLAG_BITS
from csst_hstdm.gain_curve import uneven_gains
from csst_hstdm.gain_steps import sharp_edges, stepped
from csst_hstdm.stages.calibrate import calibrate
from csst_hstdm.stages.flag_dumps import flag_dumps
from csst_hstdm.stages.solve_loads import solve_loads
from csstcore.notes import collecting

PEAK_K = 8.0
UNSTABLE = FLAG_BITS["unstable_gain"]


def line(frequency_hz, time_s):
    """A line at the centre of the band."""
    centre, width = frequency_hz[len(frequency_hz) // 2], 15 * (frequency_hz[1] - frequency_hz[0])
    return PEAK_K * np.exp(-0.5 * ((frequency_hz - centre) / width) ** 2)


def level_1(dumps, receiver, sky):
    """ONs of one file, whether each is flagged as unstable, and what was said."""
    gain = sky.sideband_gain()
    with collecting() as notes:
        flagged = flag_dumps(dumps, receiver)
        loads = solve_loads([flagged], receiver, gain)
        (calibrated,), _ = calibrate([flagged], loads, receiver, gain)
    return calibrated, np.all(calibrated.flags & UNSTABLE, axis=1), notes


def ons(states):
    """Rows of each block of ON."""
    rows = np.flatnonzero(np.array(states) == "ON")
    return np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1)


@pytest.mark.parametrize("size", [0.015, -0.015, 0.03, 0.2])
@pytest.mark.parametrize(("first", "last"), [(0, 3), (4, 8), (3, 10), (0, 10)])
def test_runs_of_ons_with_another_gain(make_sky, make_schedule, receiver, size, first, last):
    sky = make_sky(line=line, channels=1024)
    states, time_s = make_schedule(4)
    dumps = sky.dumps(states, time_s, 1.0)
    wrong = ons(states)[1][first:last]
    dumps.flux[wrong] *= 1 + size
    _, unstable, notes = level_1(dumps, receiver, sky)
    rows = np.concatenate(ons(states))
    assert np.all(unstable[np.isin(rows, wrong)])
    assert not np.any(unstable[~np.isin(rows, ons(states)[1])])
    assert any("the gain of" in caveat for caveat in notes.caveats)


def test_exposures_that_are_not_those_stated(make_sky, make_schedule, receiver):
    sky = make_sky(channels=1024)
    states, time_s = make_schedule(3)
    dumps = sky.dumps(states, time_s, 1.0)
    every = np.concatenate(ons(states))
    dumps.rows["exposure_time"][every] = 0.95 * u.s
    _, unstable, _ = level_1(dumps, receiver, sky)
    assert np.all(unstable)


@pytest.mark.parametrize("size", [0.015, 0.025, -0.04])
@pytest.mark.parametrize("end_s", [np.inf, 14.0])
def test_no_line_is_wrong_where_the_gain_steps(make_sky, make_schedule, receiver, size, end_s):
    """The step begins anywhere between the loads, and may end before the next ones."""
    states, time_s = make_schedule(4)
    for start_s in 42.0 + np.arange(0.0, 24.0, 3.0):
        sky = make_sky(
            line=line,
            noise=False,
            gain=lambda t, start_s=start_s: 1 + size * (start_s < t < start_s + end_s),
        )
        calibrated, unstable, _ = level_1(sky.dumps(states, time_s, 1.0), receiver, sky)
        peak = calibrated.flux[:, 256] - np.median(calibrated.flux[:, 100:200], axis=1)
        # the gains of two OFFs may differ by 1 % unseen
        assert np.max(np.abs(peak[~unstable] / PEAK_K - 1)) < 0.012, start_s
        assert np.sum(unstable) <= 30


def test_loads_with_different_gains_are_flagged(make_sky, make_schedule, receiver):
    sky = make_sky(channels=256)
    states, time_s = make_schedule(4)
    dumps = sky.dumps(states, time_s, 1.0)
    dumps.flux[64:69] *= 1.03  # the third block of HOT
    _, unstable, notes = level_1(dumps, receiver, sky)
    assert np.all(unstable[10:30])
    assert np.sum(unstable) == 20
    assert any("gives T_rec" in caveat for caveat in notes.caveats)


def test_drifts_of_usual_size_are_not_flagged(make_sky, make_schedule, receiver):
    states, time_s = make_schedule(12)
    for seed in range(4):
        rng = np.random.default_rng(seed)
        memory, path = np.exp(-1 / 100), [0.0]
        for _ in time_s:
            path.append(path[-1] * memory + 2e-3 * np.sqrt(1 - memory**2) * rng.normal())
        sky = make_sky(line=line, gain=lambda t, path=path: 1 + path[int(t)] + 1e-5 * t)
        dumps = sky.dumps(states, time_s, 1.0, seed)
        calibrated, _, notes = level_1(dumps, receiver, sky)
        assert not np.any(dumps.rows["flag"])
        assert not np.any(calibrated.flags & UNSTABLE)
        assert not notes.caveats


@pytest.mark.parametrize("kelvin", [5.0, 60.0, 400.0])
def test_a_continuum_source_in_a_map_is_not_flagged(make_sky, receiver, kelvin):
    """Rows of 40 dumps in steps of a fifth of the beam; the source is on two of three."""

    def source(frequency_hz, time_s):
        along = (time_s % 52 - 30) / 5
        across = np.floor(time_s / 52) / 2
        seen = np.exp(-4 * np.log(2) * (along**2 + across**2))
        return np.full_like(frequency_hz, 2 * kelvin * seen)  # DSB: half its gain in each band

    states = (
        (["HOT"] * 5 + ["COLD"] * 5 + ["ON"] * 36 + ["OFF"] * 6) * 4 + ["HOT"] * 5 + ["COLD"] * 5
    )
    sky = make_sky(line=source, sideband_ripple=0.0, channels=1024)
    dumps = sky.dumps(states, np.arange(len(states)) + 0.5, 1.0)
    dumps.rows["ra"] = (83.8 + 0.004 * np.arange(len(states))) * u.deg
    _, unstable, _ = level_1(dumps, receiver, sky)
    assert not np.any(unstable)
    assert not np.any(dumps.rows["flag"])
    assert np.count_nonzero(dumps.flags) <= 2


@pytest.mark.parametrize(("continuum", "peak"), [(100.0, 400.0), (15.0, 60.0), (1.0, 5.0)])
def test_a_source_with_a_line_in_a_map_of_a_short_band_is_not_flagged(
    make_sky, receiver, continuum, peak
):
    """Rows of 28 dumps in steps of a fifth of the beam; the line is an eighth of the band."""

    def source(frequency_hz, time_s):
        along = (time_s % 44 - 26) / 5
        across = (time_s // 44 - 6) / 4
        seen = np.exp(-2 * np.log(2) * (along**2 + across**2))
        channel = np.arange(len(frequency_hz))
        line = peak * np.exp(-4 * np.log(2) * ((channel - 256) / 67) ** 2)
        return seen * (line + 2 * continuum)

    states = (["HOT"] * 3 + ["COLD"] * 3 + ["ON"] * 28 + ["OFF"] * 10) * 12 + ["HOT", "COLD"] * 3
    sky = make_sky(line=source, channels=512)
    dumps = sky.dumps(states, np.arange(len(states)) + 0.5, 1.0)
    dumps.rows["ra"] = (83.8 + 0.004 * (np.arange(len(states)) % 44)) * u.deg
    dumps.rows["dec"] = (-5.4 + 0.005 * (np.arange(len(states)) // 44)) * u.deg
    _, unstable, notes = level_1(dumps, receiver, sky)
    assert not np.any(unstable)
    assert not np.any(dumps.rows["flag"])
    assert not notes.caveats


def test_a_gain_that_steps_beside_a_source_is_flagged(make_sky, receiver):
    def source(frequency_hz, time_s):
        return np.full_like(frequency_hz, 80 * np.exp(-0.5 * ((time_s - 25) / 2) ** 2))

    states = ["HOT"] * 5 + ["COLD"] * 5 + ["ON"] * 40 + ["OFF"] * 6
    sky = make_sky(line=source, sideband_ripple=0.0, channels=1024)
    dumps = sky.dumps(states, np.arange(len(states)) + 0.5, 1.0)
    dumps.flux[38:43] *= 1.02
    _, unstable, _ = level_1(dumps, receiver, sky)
    assert np.flatnonzero(unstable).tolist() == [28, 29, 30, 31, 32]


def test_edges_of_a_point_source_are_smooth():
    place = np.arange(-3, 3, 0.4)  # in beams
    source = 1 + 2.0 * np.exp(-4 * np.log(2) * (place + 0.13) ** 2)
    assert not np.any(sharp_edges(source, 0.01))
    source[1:4] *= 1.05
    assert sharp_edges(source, 0.01)[0]


@pytest.mark.parametrize("level", [[], [1.0], [np.nan, 1.0, np.nan], [0.0, -1.0]])
def test_blocks_without_steps(level):
    assert not np.any(stepped(np.array(level), 0.01, np.nan))


def test_halves_of_a_block_are_told_by_other_blocks():
    level = np.array([1.0, 1.0, 1.05, 1.05])
    assert stepped(level, 0.01, 1.0).tolist() == [False, False, True, True]
    assert stepped(level, 0.01, 1.05).tolist() == [True, True, False, False]
    assert np.all(stepped(level, 0.01, np.nan))


@pytest.mark.parametrize("part", [slice(0, 256), slice(700, None), slice(300, 420)])
@pytest.mark.parametrize(
    ("what", "size"),
    [
        ("all ONs", 0.015),
        ("all ONs", -0.04),
        ("all ONs but the first", 0.04),
        ("an OFF", 0.03),
        ("an OFF", -0.04),
        ("all from then on", 0.04),
    ],
)
def test_another_gain_of_a_part_of_the_band(make_sky, make_schedule, receiver, part, what, size):
    """Some are 1 % or more of the whole band: then the ONs that differ may be the others too."""
    sky = make_sky(line=line, channels=1024)
    states, time_s = make_schedule(4, load=8)
    dumps = sky.dumps(states, time_s, 1.0)
    blocks = ons(states)
    wrong = {
        "all ONs but the first": np.concatenate(blocks[1:]),
        "all ONs": np.concatenate(blocks),
        "an OFF": np.arange(blocks[1][-1] + 1, blocks[1][-1] + 7),
        "all from then on": np.arange(blocks[1][-1] + 1, len(states)),
    }[what]
    dumps.flux[wrong, part] *= 1 + size
    calibrated, _, notes = level_1(dumps, receiver, sky)
    bad = np.isin(np.concatenate(blocks), wrong if what.startswith("all ONs") else blocks[1])
    assert np.all(calibrated.flags[bad, part])
    assert any("gain of" in caveat or "OFF has lines" in caveat for caveat in notes.caveats)


@pytest.mark.parametrize("dec_deg", [-5.4, 80.0])
def test_files_that_look_at_one_position_have_one_gain(make_sky, make_schedule, receiver, dec_deg):
    """Beside 0 h and near the pole: a continuum of 5 % of the system, once with a gain of 3 %."""
    sky = make_sky(line=lambda f, t: np.full_like(f, 15.0), sideband_ripple=0.0, channels=256)
    states, time_s = make_schedule(2)
    jitter_deg = 1e-4 * np.where(np.arange(len(states)) % 2, 1.0, -1.0)  # a sixtieth of a beam
    files = []
    for k in range(3):
        part = sky.dumps(states, time_s + 600 * k, 1.0, seed=k)
        part.rows["ra"] = (jitter_deg / np.cos(np.radians(dec_deg)) % 360) * u.deg
        part.rows["dec"] = np.full(len(states), dec_deg) * u.deg
        files.append(part)
    every = np.concatenate(ons(states))
    files[2].flux[every] *= 1.03
    gain = sky.sideband_gain()
    flagged = [flag_dumps(part, receiver) for part in files]
    loads = solve_loads(flagged, receiver, gain)
    with collecting() as notes:
        calibrated, _ = calibrate(flagged, loads, receiver, gain)
    unstable = [np.all(one.flags & UNSTABLE, axis=1) for one in calibrated]
    assert not np.any(unstable[0])
    assert not np.any(unstable[1])
    assert np.all(unstable[2])
    assert np.all(calibrated[2].rows["flag"] & UNSTABLE)
    assert any("ONs changed by" in caveat for caveat in notes.caveats)


@pytest.mark.parametrize("fwhm", [2.0, 5.0, 20.0, 67.0, 300.0])
@pytest.mark.parametrize("kelvin", [3.0, 30.0, 400.0])
def test_lines_on_a_continuum_are_no_steps_within_the_band(make_sky, receiver, fwhm, kelvin):
    def bright(frequency_hz, time_s):
        channel = np.arange(len(frequency_hz))
        lines = [np.exp(-4 * np.log(2) * ((channel - c) / fwhm) ** 2) for c in (300, 340, 800)]
        return kelvin * np.sum(lines, axis=0) + kelvin / 4

    sky = make_sky(line=bright, channels=1024)
    states = (["HOT"] * 5 + ["COLD"] * 5 + ["OFF"] * 6 + ["ON"] * 8) * 4 + ["HOT", "COLD"] * 3
    dumps = sky.dumps(states, np.arange(len(states)) + 0.5, 1.0)
    _, _, notes = level_1(dumps, receiver, sky)
    assert not any("changed by" in caveat and "cannot" not in caveat for caveat in notes.caveats)


def test_one_off_that_differs_is_wrong_by_itself():
    t_sys = np.outer([150.0, 150.1, 155.0, 150.2, 150.0], np.ones(8))
    time_s = np.arange(5) * 30.0
    wrong, unstable = uneven_gains(t_sys, time_s, [(0, 1)] * 5, 0.01, gap_s=900.0)
    assert wrong.tolist() == [False, False, True, False, False]
    assert not unstable
    t_sys[3:] = 155.0
    places = [(0, 1), (0, 1), (1, 2), (1, 2), (2, 3)]
    wrong, unstable = uneven_gains(t_sys, time_s, places, 0.01, gap_s=900.0)
    assert not wrong.any()
    assert unstable == {(0, 1)}
    assert not uneven_gains(t_sys, time_s * 100, places, 0.01, gap_s=900.0)[1]
