"""Stages of the detector chain against truth, on arrays made here."""

from __future__ import annotations

import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable

from csst_cpic.stages.background import subtract_background
from csst_cpic.stages.bad_pixels import flag_bad_pixels
from csst_cpic.stages.cte import correct_cte
from csst_cpic.stages.dark import subtract_dark_and_cic
from csst_cpic.stages.electrons import to_electrons
from csst_cpic.stages.nonlinearity import correct_nonlinearity
from csst_cpic.stages.rate import calibrate_rate
from csst_cpic.stages.saturation import flag_blooming, flag_saturation
from csst_cpic.stages.variance import average_frames, estimate_variance
from csstcore.api import Image, Mask, Meta, NotApplicable, Table, UnprocessableData, replace
from csstcore.notes import collecting

RATE = u.electron / u.s


def meta(em_gain: float = 1.0, **facts) -> Meta:
    """Facts of a frame of 10 s."""
    return Meta(em_gain=em_gain * u.dimensionless_unscaled, exposure_time=10.0 * u.s, **facts)


def multiplied(electron: np.ndarray, em_gain: float, rng: np.random.Generator) -> np.ndarray:
    """Output electrons over the EM gain, by the gamma law."""
    events = rng.poisson(electron)
    return np.where(events > 0, rng.standard_gamma(np.maximum(events, 1e-9)), 0.0)


# Saturation


@pytest.mark.parametrize(
    ("em_gain", "limit_electron"), [(1.0, 0.9 * 80000.0), (50.0, 0.9 * 500000.0)]
)
def test_the_limit_is_the_pixel_at_low_gain_and_the_register_at_high_gain(
    detector, em_gain, limit_electron
):
    raw = np.full(detector.raw_shape, 30, np.uint16)
    adu = 30 + limit_electron / 8
    raw[10, 40:43] = [int(adu) - 1, int(adu) + 1, 65535]
    image = flag_saturation(Image(raw, u.adu, meta=meta(em_gain)), detector)
    assert np.argwhere(image.flagged("saturated")).tolist() == [[10, 41], [10, 42]]


def test_the_converter_limits_where_the_gain_is_large(detector):
    raw = np.full(detector.raw_shape, 65534, np.uint16)
    raw[3, 3] = 65535
    image = Image(raw, u.adu, meta=meta(50.0, gain=4.0 * u.electron / u.adu))
    assert np.argwhere(flag_saturation(image, detector).flagged()).tolist() == [[3, 3]]


def test_what_took_the_rest_of_the_charge_is_flagged_too():
    image = Image(np.zeros((7, 7), np.float32), u.electron)
    full = np.zeros((7, 7), bool)
    full[2:4, 3] = True
    image.set_flag("saturated", full)
    flagged = flag_blooming(image).flagged("saturated")
    assert np.argwhere(flagged).tolist() == [[1, 3], [2, 3], [2, 4], [3, 3], [3, 4], [4, 3]]


def test_a_frame_saturated_through_has_a_caveat(detector):
    raw = np.random.default_rng(1).normal(62500, 5, detector.raw_shape).astype(np.uint16)
    with collecting() as notes:
        flag_saturation(Image(raw, u.adu, meta=meta(100.0)), detector)
    assert notes.caveats == ["16384 pixels are saturated, more than half of the frame"]


# Linearity


def droop(true_adu: np.ndarray, em_gain: float) -> np.ndarray:
    """A response that loses some 2 % at full scale, more at high gain."""
    loss = 0.02 * (1 + 0.2 * np.log10(em_gain)) / 62500
    return true_adu * (1 - loss * true_adu * (1 + 0.3 * true_adu / 62500))


def measured_curves(gains=(1.0, 10.0, 100.0, 1000.0)) -> Table:
    """What calibration would know of the response, at 40 levels for each gain."""
    rows = []
    for gain in gains:
        for true in np.linspace(100.0, 62500.0, 40):
            counts = float(droop(true, gain))
            rows.append((gain, counts, true / counts))
    gain, counts, factor = map(list, zip(*rows, strict=True))
    return Table(QTable({"em_gain": gain, "counts": counts * u.adu, "relative_gain": factor}))


@pytest.mark.parametrize("em_gain", [1.0, 30.0, 1000.0])
def test_the_residual_is_below_half_a_percent_to_four_fifths_of_full_well(em_gain):
    true = np.linspace(50.0, 0.8 * 62500.0, 4096).reshape(64, 64)
    measured = droop(true, em_gain)
    assert np.max(np.abs(measured / true - 1)) > 0.015
    image = Image(measured.astype(np.float32), u.adu, meta=meta(em_gain))
    corrected = correct_nonlinearity(image, measured_curves())
    assert np.max(np.abs(corrected.data / true - 1)) < 5e-4


def test_the_variance_follows_the_slope_of_the_correction():
    def corrected(shift: float) -> Image:
        data = np.full((4, 4), 40000.0 + shift, np.float32)
        image = Image(data, u.adu, np.ones((4, 4), np.float32), meta=meta(100.0))
        return correct_nonlinearity(image, measured_curves())

    slope = (corrected(50.0).data[0, 0] - corrected(-50.0).data[0, 0]) / 100.0
    assert corrected(0.0).variance[0, 0] == pytest.approx(slope**2, rel=1e-3)


def test_counts_beyond_the_curve_and_below_zero_keep_its_ends():
    image = Image(np.array([[-20.0, 70000.0, np.nan]], np.float32), u.adu, meta=meta(1.0))
    table = measured_curves().table
    corrected = correct_nonlinearity(image, Table(table)).data[0]
    assert corrected[0] == pytest.approx(-20.0 * table["relative_gain"][0])
    assert corrected[1] == pytest.approx(70000.0 * table["relative_gain"][39])
    assert np.isnan(corrected[2])


def test_a_damaged_curve_is_refused():
    table = measured_curves()
    table.table["relative_gain"][3] = np.nan
    image = Image(np.ones((2, 2), np.float32), u.adu, meta=meta(1.0))
    with pytest.raises(UnprocessableData, match="1 unusable of 160 rows"):
        correct_nonlinearity(image, table)
    with pytest.raises(NotApplicable):
        correct_nonlinearity(image)


@pytest.mark.parametrize(
    ("stage", "arguments", "said"),
    [
        (correct_nonlinearity, 0, "the response of the amplifier is not made linear"),
        (correct_cte, 1, "charge left behind in transfers is not corrected"),
        (flag_bad_pixels, 0, "bad, hot and warm pixels are not flagged"),
        (subtract_background, 0, "the background is not subtracted"),
    ],
)
def test_a_correction_that_is_not_made_is_a_caveat(detector, stage, arguments, said):
    image = Image(np.ones(detector.shape, np.float32), u.adu, meta=meta(1.0))
    with collecting() as notes, pytest.raises(NotApplicable):
        stage(image, *[detector][:arguments])
    assert [said in caveat for caveat in notes.caveats] == [True]


# Charge transfer


def test_what_the_register_spilled_leaves_no_negative_trail(detector):
    row = {f"{name}_inefficiency": [2e-5] for name in ("vertical", "horizontal")}
    row |= {f"{name}_release": [1.3] * u.pixel for name in ("vertical", "horizontal")}
    image = Image(np.zeros(detector.shape, np.float32), u.electron)
    image.data[100, 20:90] = 500.0
    image.set_flag("saturated", image.data > 0)
    corrected = correct_cte(image, detector, Table(QTable(row)))
    assert np.all(corrected.data[100, 20:90] == 500.0)
    assert np.all(corrected.data[101:] == 0.0)


# Electrons


def gains(commanded=(10.0, 100.0, 1000.0), measured=(10.2, 104.0, 1060.0)) -> Table:
    """A reference of EM gains."""
    return Table(QTable({"commanded_em_gain": list(commanded), "em_gain": list(measured)}))


def test_electrons_are_those_before_multiplication_by_the_measured_gain(detector):
    image = Image(np.full((2, 2), 130.0, np.float32), u.adu, meta=meta(100.0))
    electrons = to_electrons(image, detector, gains())
    assert electrons.unit == u.electron
    np.testing.assert_allclose(electrons.data, 130.0 * 8 / 104.0, rtol=1e-6)
    assert float(electrons.meta.em_gain) == pytest.approx(104.0)
    assert electrons.meta.read_noise == 40 * u.electron


def test_between_measured_gains_the_error_is_interpolated_in_the_logarithm(detector):
    image = Image(np.ones((1, 1), np.float32), u.adu, meta=meta(10 * 10**0.5))
    found = float(to_electrons(image, detector, gains()).meta.em_gain)
    assert found == pytest.approx(10 * 10**0.5 * np.sqrt(1.02 * 1.04), rel=1e-6)


def test_the_gain_of_the_frame_comes_before_the_detectors(detector):
    image = Image(
        np.ones((1, 1), np.float32),
        u.adu,
        np.ones((1, 1), np.float32),
        meta=meta(1.0, gain=7.0 * u.electron / u.adu),
    )
    electrons = to_electrons(image, detector, gains())
    assert electrons.data[0, 0] == 7.0
    assert electrons.variance[0, 0] == 49.0


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (gains(), "EM gain 5000 lies outside those measured, 10 to 1000"),
        (gains((), ()), r"commanded ones \[\]"),
        (gains((10.0, 5000.0), (np.nan, 5000.0)), "has .nan, 5000.0.; expected 1 or more"),
    ],
)
def test_an_em_gain_that_is_not_known_is_refused(detector, table, message):
    image = Image(np.ones((1, 1), np.float32), u.adu, meta=meta(5000.0))
    with pytest.raises(UnprocessableData, match=message):
        to_electrons(image, detector, table)
    assert image.data[0, 0] == 1.0


# Bad pixels


def test_the_flags_of_the_mask_are_taken_over_by_name():
    mask = Image(np.zeros((3, 3), np.float32))
    mask.set_flag("hot", np.eye(3, dtype=bool))
    mask.set_flag("cosmic_ray", np.ones((3, 3), bool))
    image = Image(np.zeros((3, 3), np.float32))
    image.set_flag("saturated", np.ones((3, 3), bool))
    flagged = flag_bad_pixels(image, mask)
    assert np.array_equal(flagged.flagged("hot"), np.eye(3, dtype=bool))
    assert flagged.flagged("saturated").all()
    assert not flagged.flagged("cosmic_ray").any()
    with pytest.raises(NotApplicable):
        flag_bad_pixels(image)


# Dark current, clock-induced charge, background


@pytest.mark.parametrize(("gain", "caveats"), [(980.0, 0), (300.0, 1), (1.0, 1)])
def test_clock_induced_charge_of_another_em_gain_is_a_caveat(gain: float, caveats: int) -> None:
    meta = Meta(em_gain=gain * u.one, exposure_time=10.0 * u.s)
    image = Image(np.ones((4, 4), np.float32), u.electron, meta=meta)
    dark = Image(np.zeros((4, 4), np.float32), u.electron / u.s)
    charge = np.full((4, 4), 0.01, np.float32)
    cic = Image(charge, u.electron, meta=Meta(em_gain=1020.0 * u.one))
    with collecting() as notes:
        left = subtract_dark_and_cic(image, dark, cic)
    assert len(notes.caveats) == caveats
    assert all("EM gain 1020 is subtracted at" in text for text in notes.caveats)
    np.testing.assert_allclose(left.data, 0.99)


def test_dark_current_grows_with_time_and_clock_induced_charge_does_not():
    dark = Image(np.full((4, 4), 0.002, np.float32), RATE, np.full((4, 4), 1e-8, np.float32))
    cic = Image(np.full((4, 4), 0.006, np.float32), u.electron, np.full((4, 4), 1e-7, np.float32))
    image = Image(np.full((4, 4), 1.0, np.float32), u.electron, meta=meta(100.0))
    left = subtract_dark_and_cic(image, dark, cic)
    np.testing.assert_allclose(left.data, 1.0 - 0.02 - 0.006, rtol=1e-6)
    np.testing.assert_allclose(left.variance, 1e-6 + 1e-7, rtol=1e-5)


def test_a_pixel_lost_in_one_frame_is_averaged_from_the_others():
    frames = [Image(np.full((9, 9), 2.0 + k, np.float32), u.electron) for k in range(3)]
    lost = np.zeros((9, 9), bool)
    lost[4, 3:6] = True
    frames[0].data[lost] = np.nan
    frames[0].set_flag("bad", lost)
    mean = average_frames(frames, [Mask(np.zeros((9, 9), bool))] * 3)
    kernel = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1])
    kernel[2, 2] = 0
    missed = kernel[2, 1:4].sum() / kernel.sum()  # of the weight, in the first frame
    assert mean.data[4, 4] == pytest.approx((9.0 - 2.0 * missed) / (3.0 - missed))


def test_the_background_is_a_rate():
    background = Image(np.full((4, 4), 0.01, np.float32), RATE)
    image = Image(np.full((4, 4), 1.0, np.float32), u.electron, meta=meta(100.0))
    assert subtract_background(image, background).data[0, 0] == pytest.approx(0.9)
    with pytest.raises(NotApplicable):
        subtract_background(image)


def test_references_of_another_shape_or_unit_are_refused():
    image = Image(np.ones((4, 4), np.float32), u.electron, meta=meta(100.0))
    rate, charge = Image(np.ones((4, 4), np.float32), RATE), Image(np.ones((4, 4)), u.electron)
    with pytest.raises(UnprocessableData, match="the dark is in electron; expected electron / s"):
        subtract_dark_and_cic(image, charge, charge)
    with pytest.raises(UnprocessableData, match=r"\(4, 4\); expected \(5, 4\) as the background"):
        subtract_background(image, Image(np.ones((5, 4), np.float32), RATE))
    with pytest.raises(UnprocessableData, match="no exposure time"):
        subtract_dark_and_cic(Image(np.ones((4, 4), np.float32), u.electron), rate, charge)


def test_a_counted_rate_is_calibrated_without_touching_it(detector):
    dark = Image(np.full((4, 4), 0.001, np.float32), RATE)
    cic = Image(np.full((4, 4), 0.006, np.float32), u.electron)
    flat = Image(np.full((4, 4), 0.8, np.float32))
    flat.data[0, 0] = 0.0
    rate = Image(np.full((4, 4), 0.1, np.float32), u.electron, np.ones((4, 4), np.float32))
    rate = replace(rate, meta=meta(1000.0))
    light = calibrate_rate(rate, dark, cic, flat, detector)
    assert light.data[1, 1] == pytest.approx((0.1 - 0.01 - 0.006) / 0.8)
    assert light.variance[1, 1] == pytest.approx(1 / 0.64)
    assert np.argwhere(light.flagged("bad")).tolist() == [[0, 0]]
    assert np.all(rate.data == np.float32(0.1))
    with pytest.raises(NotApplicable, match="not counted"):
        calibrate_rate(None, dark, cic, flat, detector)


# Variance


@pytest.mark.parametrize(
    ("em_gain", "frames", "light"), [(300.0, 40, 0.05), (50.0, 40, 3.0), (1.0, 4, 400.0)]
)
def test_pulls_of_frames_have_unit_scatter(detector, em_gain, frames, light):
    rng = np.random.default_rng(2)
    truth = light * (1 + 0.5 * np.sin(np.arange(96) / 9.0))[:, None] * np.ones((96, 96))
    noise = 40.0 / em_gain
    series, hits = [], []
    for _ in range(frames):
        charge = multiplied(truth, em_gain, rng) if em_gain > 1 else rng.poisson(truth)
        data = (charge + noise * rng.standard_normal(truth.shape)).astype(np.float32)
        hit = rng.random(truth.shape) < 0.01
        data[hit] += 1e4
        series.append(Image(data, u.electron, meta=meta(em_gain)))
        hits.append(Mask(hit))
    mean = average_frames(series, hits)
    pulls = []
    for image, hit in zip(series, hits, strict=True):
        variance = estimate_variance(image, mean, detector).variance
        pulls.append(((image.data - truth) / np.sqrt(variance))[~hit.mask])
    assert 0.95 < np.std(np.concatenate(pulls)) < 1.05
    assert abs(np.mean(np.concatenate(pulls))) < 0.05


def test_a_pixel_without_a_number_in_any_frame_has_read_noise_only(detector):
    data = np.full((3, 3), 20.0, np.float32)
    data[1, 1] = np.nan
    frames = [Image(data, u.electron, meta=meta(100.0)) for _ in range(12)]
    mean = average_frames(frames, [Mask(np.zeros((3, 3), bool))] * 12)
    assert np.argwhere(mean.flagged("cosmic_ray")).tolist() == [[1, 1]]
    variance = estimate_variance(frames[0], mean, detector).variance
    assert variance[1, 1] == pytest.approx(0.4**2)
    assert variance[0, 0] == pytest.approx(0.4**2 + 20.0 * 1.98, rel=0.01)


def test_the_charge_of_a_hot_pixel_is_not_spread_over_its_neighbours(detector):
    data = np.zeros((9, 9), np.float32)
    data[4, 4] = 50.0
    frames = [Image(data, u.electron, meta=meta(100.0)) for _ in range(12)]
    for frame in frames:
        frame.set_flag("hot", data > 0)
    mean = average_frames(frames, [Mask(np.zeros((9, 9), bool))] * 12)
    np.testing.assert_allclose(mean.data, data)
