"""EM gain, dark current and clock-induced charge of frames that are known, and bad sets."""

import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable

from csst_cpic import checks_calibration as checks
from csst_cpic import figures_calibration as figures
from csst_cpic.camera.calibration_sets import by, clean_stack
from csst_cpic.register.em_statistics import excess_noise_factor
from csst_cpic.stages.calibration_set import check_set
from csst_cpic.stages.find_hot_pixels import find_hot_pixels
from csst_cpic.stages.fit_dark_and_cic import fit_dark_and_cic
from csst_cpic.stages.measure_em_gain import measure_em_gain
from csstcore.api import Image, Meta, NotApplicable, Table, UnprocessableData, replace
from csstcore.notes import collecting

CIC, DARK = 0.01, 1e-3


def frame(detector, rate, seconds, em_gain=1000.0, seed=0, told_gain=None) -> Image:
    """A frame of the register in electrons before multiplication."""
    rng = np.random.default_rng([seed, int(seconds * 10), int(em_gain)])
    electrons = rng.poisson(np.broadcast_to(rate, detector.shape))
    spread = excess_noise_factor(em_gain, detector.register_stages) - 1
    signal = spread * rng.standard_gamma(np.maximum(electrons / spread, 1e-9))
    signal += rng.normal(0, 40.0 / em_gain, detector.shape)
    meta = Meta(
        em_gain=(told_gain or em_gain) * u.one,
        exposure_time=seconds * u.s,
        read_noise=40.0 * u.electron,
        gain=8.0 * u.electron / u.adu,
    )
    return Image(signal.astype(np.float32), u.electron, meta=meta)


def flat(detector, rate, seconds, commanded, seed) -> Image:
    """A frame in adu whose EM gain is 3 % above the commanded one."""
    image = frame(detector, rate, seconds, 1.03 * commanded, seed, told_gain=commanded)
    return replace(image, data=image.data * np.float32(1.03 * commanded / 8), unit=u.adu)


def flats(detector, commanded, levels=((0.3, 1.0), (10.0, 30.0)), frames=16) -> list[Image]:
    return [
        flat(detector, rate, seconds, commanded, seed)
        for rate, seconds in levels
        for seed in range(frames)
    ]


def darks(detector, hot=None, times=(0.0, 100.0), frames=30, em_gain=1000.0) -> list[Image]:
    rate = np.full(detector.shape, DARK)
    if hot is not None:
        rate[hot] = 0.5
    return [
        frame(detector, CIC + rate * seconds, seconds, em_gain, seed)
        for seconds in times
        for seed in range(frames)
    ]


def test_em_gain_is_right_by_both_methods(detector) -> None:
    with collecting() as notes:
        table = measure_em_gain(flats(detector, 1000.0), detector)
    (row,) = table.table
    assert row["commanded_em_gain"] == 1000.0
    for name in ("likelihood_", "moments_", ""):
        gain, error = row[f"{name}em_gain"], row[f"{name}em_gain_error"]
        assert abs(gain - 1030.0) < 3.5 * error
        assert error < 0.01 * gain
    assert row["em_gain"] == row["likelihood_em_gain"]
    assert row["serial_rate"] >= 0 < row["serial_rate_error"]
    assert abs(row["serial_rate"]) < 3 * row["serial_rate_error"]  # there is none
    assert checks.largest_serial_rate(table) == 0
    assert notes.metrics["largest_em_gain_error"] == checks.largest_em_gain_error(table)
    assert checks.largest_method_difference(table) == 0
    assert checks.largest_histogram_chi_square(table) < 2
    assert len(figures.em_gains(table).axes) == 1


def test_a_low_em_gain_is_measured_by_moments_alone(detector) -> None:
    with collecting() as notes:
        table = measure_em_gain(flats(detector, 10.0, ((0.3, 1.0), (300.0, 99.0))), detector)
    (row,) = table.table
    assert "single electrons do not stand out" in notes.caveats[0]
    assert np.isnan(row["likelihood_em_gain"])
    assert row["em_gain"] == pytest.approx(10.3, rel=0.02)
    assert checks.largest_em_gain_error(table) < 0.02
    for check in (checks.largest_method_difference, checks.largest_histogram_chi_square):
        with pytest.raises(NotApplicable, match="no EM gain is high enough"):
            check(table)
    figures.em_gains(table)


def test_methods_that_disagree_are_told_and_are_in_the_error(detector) -> None:
    """Where the register holds part of large charges back, variance over mean is too low."""
    frames = flats(detector, 1000.0)
    for image in frames:
        held = 0.03 * np.maximum(image.data - 800, 0)
        image.data += np.pad(held, ((0, 0), (1, 0)))[:, :-1] - held
    with collecting() as notes:
        table = measure_em_gain(frames, detector)
    (row,) = table.table
    assert row["moments_em_gain"] < 0.97 * 1030
    assert "by moments; taken: " in notes.caveats[0]
    assert abs(row["em_gain"] - 1030) < 2 * row["em_gain_error"]
    assert checks.largest_method_difference(table) > 0.01
    assert checks.largest_em_gain_error(table) > 0.01


def test_sets_of_one_level_or_without_multiplication_are_refused(detector) -> None:
    one = [flat(detector, 0.3, 1.0, 1000.0, seed) for seed in range(3)]
    with pytest.raises(
        UnprocessableData, match=r"EM gain 1000: the frames have one level, of 1\.0 s"
    ):
        measure_em_gain(one, detector)
    plain = [replace(image, meta=replace(image.meta, em_gain=1.0 * u.one)) for image in one]
    with pytest.raises(UnprocessableData, match="none of 3 frames has an EM gain above 1"):
        measure_em_gain(plain, detector)


def test_dark_and_cic_are_right_with_their_errors(detector) -> None:
    hot = ([20, 60], [30, 90])
    with collecting() as notes:
        dark, cic, ramp = fit_dark_and_cic(darks(detector, hot), detector)
    usual = dark.data < 0.1
    for image, true in ((dark, DARK), (cic, CIC)):
        pull = (image.data[usual] - true) / np.sqrt(image.variance[usual])
        assert pull.std() == pytest.approx(1, abs=0.1)
        assert abs(pull.mean()) < 0.1
    assert np.all(np.abs(dark.data[hot] - 0.5) < 5 * np.sqrt(dark.variance[hot]))
    assert abs(notes.metrics["cic_mean"] - CIC) < 4 * notes.metrics["cic_mean_error"]
    assert abs(notes.metrics["dark_mean"] - DARK) < 4 * notes.metrics["dark_mean_error"]
    assert checks.largest_ramp_pull(ramp) < 4
    assert list(ramp.table["frames"]) == [30, 30]
    assert len(figures.dark_ramp(ramp).axes) == 2
    assert len(figures.profiles(cic).axes) == 2
    assert checks.median_error(cic) == pytest.approx(float(np.sqrt(np.median(cic.variance))))
    found = find_hot_pixels(dark, detector)
    assert np.all(found.flagged("hot")[hot])
    assert np.count_nonzero(found.flags) == 2


def test_the_neighbour_of_a_very_hot_pixel_is_bad_and_its_cause_is_hot(detector) -> None:
    """The register is full of the hot one; the rest comes out in the next pixel."""
    frames = darks(detector, frames=8)
    for image in frames[8:]:
        image.data[20, 30], image.data[20, 31] = 500.0, 370.0
        image.set_flag("saturated", image.data >= 450.0)
    dark, cic, _ = fit_dark_and_cic(frames, detector)
    for image in (dark, cic):
        assert np.argwhere(image.flagged("bad")).tolist() == [[20, 30], [20, 31]]
    found = find_hot_pixels(dark, detector)
    assert np.argwhere(found.flagged("hot")).tolist() == [[20, 30]]
    assert np.argwhere(found.flagged("bad")).tolist() == [[20, 30], [20, 31]]


def test_the_mean_dark_is_that_of_pixels_without_the_tails_of_warm_ones(detector) -> None:
    hot = (np.arange(4, 120, 12), np.full(10, 20))
    frames = darks(detector, hot)
    for image in frames[30:]:
        for y, x in zip(*hot, strict=True):
            image.data[y, x + 1 : x + 40] += 1.0 * (np.arange(39) % 8 == 0)
    with collecting() as notes:
        dark, _, _ = fit_dark_and_cic(frames, detector)
    assert dark.data[dark.data < 0.02].mean() > 1.02 * DARK
    assert abs(notes.metrics["dark_mean"] - DARK) < 3 * notes.metrics["dark_mean_error"]


def test_few_frames_do_not_bias_the_dark(detector) -> None:
    """Where the signal of few frames is high by chance, it must not be preferred."""
    dark, cic, _ = fit_dark_and_cic(darks(detector, frames=8), detector)
    for image, true in ((dark, DARK), (cic, CIC)):
        error = np.sqrt(image.variance.sum(dtype=float)) / image.data.size
        assert abs(image.data.mean(dtype=float) - true) < 3.5 * error


def test_at_low_em_gain_the_mean_signal_is_fitted(detector) -> None:
    dark, cic, _ = fit_dark_and_cic(darks(detector, em_gain=50.0, times=(0.0, 900.0)), detector)
    error = np.sqrt(dark.variance.sum()) / dark.data.size
    assert abs(dark.data.mean() - DARK) < 4 * error
    assert abs(cic.data.mean() - CIC) < 4 * np.sqrt(cic.variance.sum()) / cic.data.size


def test_a_pixel_of_one_exposure_time_is_bad(detector) -> None:
    frames = darks(detector, frames=4)
    for image in frames[4:]:
        image.set_flag("bad", np.arange(image.data.size).reshape(image.shape) == 777)
    dark, cic, _ = fit_dark_and_cic(frames, detector)
    for image in (dark, cic):
        assert np.flatnonzero(image.flagged("bad")).tolist() == [777]
        assert image.data.ravel()[777] == 0
        assert image.variance.ravel()[777] == 0
    assert find_hot_pixels(dark, detector).flagged("bad").ravel()[777]


def test_clock_induced_charge_alone_makes_no_dark(detector) -> None:
    """Linearity wants it at its EM gains, from the same folder."""
    with pytest.raises(NotApplicable, match="EM gain 1000: there are frames of clocking only"):
        fit_dark_and_cic(darks(detector, times=(0.0,), frames=3), detector)
    with pytest.raises(NotApplicable, match="there is no dark"):
        find_hot_pixels(None, detector)


def test_pictures_show_counts_of_few_and_say_what_cannot_fail(detector) -> None:
    rng = np.random.default_rng(3)
    counts = rng.poisson(0.01, (50, 50, 50)).mean(axis=0).astype(np.float32)
    counts[7, 7] = 30.0  # a hot one
    cic = Image(counts, u.electron, np.full_like(counts, 0.01 / 50))
    assert np.median(counts) == 0
    for axes in figures.profiles(cic).axes:
        (line, *_) = axes.containers[0]
        assert 0.007 < np.mean(line.get_ydata()) < 0.013
    ramp = QTable(
        {
            "exposure_time": [0.0, 20.0, 100.0] * u.s,
            **{name: [0.01, 0.03, 0.1] * u.electron for name in ("charge", "charge_error", "fit")},
        }
    )
    two, three = (figures.dark_ramp(Table(rows)).axes[0].get_title() for rows in (ramp[:2], ramp))
    assert "2 exposure times: the line goes through them in any case" in two
    assert not three


def test_mixed_em_gains_and_single_exposure_times_are_refused(detector) -> None:
    mixed = darks(detector, frames=2) + darks(detector, frames=2, em_gain=300.0)
    with pytest.raises(UnprocessableData, match="the EM gains 300, 1000; expected one"):
        fit_dark_and_cic(mixed, detector)
    with pytest.raises(UnprocessableData, match="exposure times are"):
        fit_dark_and_cic(darks(detector, times=(50.0,), frames=3), detector)
    with pytest.raises(UnprocessableData, match="there is no dark frame"):
        fit_dark_and_cic([], detector)
    dark = [replace(image, unit=u.adu) for image in darks(detector, frames=2)]
    with pytest.raises(UnprocessableData, match="expected electron"):
        fit_dark_and_cic(dark, detector)
    broken = [
        replace(image, data=np.full_like(image.data, np.nan)) for image in darks(detector, frames=2)
    ]
    with pytest.raises(UnprocessableData, match="no pixel"):
        fit_dark_and_cic(broken, detector)


def test_frames_of_a_reference_have_one_setting(detector) -> None:
    frames = darks(detector, times=(50.0,), frames=3)
    assert list(check_set(frames)) == frames
    other = replace(frames[0], meta=replace(frames[0].meta, em_gain=20.0 * u.one))
    with pytest.raises(UnprocessableData, match="the frames have the EM gains 1000, 20; expected"):
        check_set([*frames, other])
    with pytest.raises(UnprocessableData, match="the frames have the exposure times"):
        check_set(darks(detector, frames=1))
    assert len(check_set(darks(detector, frames=1), several_settings=True)) == 2


def test_lost_frames_are_left_out_of_a_set(detector) -> None:
    frames = darks(detector, times=(50.0,), frames=3)
    lost = replace(frames[1], data=np.zeros_like(frames[1].data))
    with collecting() as notes:
        kept = check_set([frames[0], lost, frames[2]])
    assert [image is None for image in kept] == [False, True, False]
    assert "1 frames whose pixels all have one value are left out" in notes.caveats[0]
    with pytest.raises(UnprocessableData, match="all pixels of each of 1 frames have one value"):
        check_set([lost])


def test_the_surroundings_of_a_cosmic_ray_are_left_out_of_darks(detector) -> None:
    frames = darks(detector, times=(10.0,), frames=8)
    frames[2].data[50, 40:44] += 400.0
    light, dark = (clean_stack(frames, detector, dark=choice) for choice in (False, True))
    assert np.all(np.isnan(light[2, 50, 40:44]))
    assert np.isnan(light).sum() < 20
    assert np.all(np.isnan(dark[2, 48:53, 38:46]))
    assert np.all(np.isnan(dark[2, 50, 46:103]))
    assert np.all(np.isnan(dark[2, 53:61, 40:44]))
    assert np.isfinite(dark[3, 50, 46:103]).mean() > 0.9


def test_the_detector_says_which_hits_leave_tails_and_how_long(detector) -> None:
    frames = darks(detector, times=(10.0,), frames=8)
    frames[2].data[50, 40] += 16.0  # 16,000 electrons at the output
    for least, length, lost in ((20_000.0, 12.0, 2), (5000.0, 12.0, 59), (5000.0, 6.0, 29)):
        told = replace(detector, register_tail_electron=least, register_tail_pixel=length)
        row = clean_stack(frames, told, dark=True)[2, 50, 41:]
        assert np.flatnonzero(np.isfinite(row))[0] == lost


def test_frames_are_ordered_by_a_value(detector) -> None:
    frames = darks(detector, times=(3.0, 1.0), frames=2)
    found = by(lambda image: float(image.meta.exposure_time.value), frames)
    assert list(found) == [1.0, 3.0]
    assert [len(members) for members in found.values()] == [2, 2]


def test_checks_without_a_value_are_nan() -> None:
    image = Image(np.ones((4, 4), np.float32))
    assert np.isnan(checks.median_error(image))
    table = Table(QTable({"em_gain": [10.0], "em_gain_error": [0.1]}))
    assert checks.largest_em_gain_error(table) == pytest.approx(0.01)
