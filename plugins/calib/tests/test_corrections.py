"""The stages that undo one detector effect each, against a known forward model."""

import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable

from csst_calib.stages.bias import subtract_bias
from csst_calib.stages.dark import subtract_dark
from csst_calib.stages.flat import divide_flat
from csst_calib.stages.gain import apply_gain
from csst_calib.stages.nonlinearity import correct_nonlinearity
from csst_calib.stages.rate import to_rate
from csst_calib.stages.shutter import correct_shutter
from csstcore.api import NotApplicable, Table, UnprocessableData, replace

RATE = u.electron / u.s


def with_variance(image, value):
    return replace(image, variance=np.full(image.shape, value, np.float32))


def test_gain_of_every_channel_scales_data_and_variance(make_image, readout) -> None:
    gains = 1.0 + 0.01 * np.arange(readout.channels)
    image = make_image(100.0, u.adu, gain=gains * u.electron / u.adu)
    result = apply_gain(with_variance(image, 9.0), readout)
    assert result.unit == u.electron
    for channel, gain in zip(readout, gains, strict=True):
        assert result.data[channel.active] == pytest.approx(100.0 * gain, rel=1e-6)
        assert result.variance[channel.active] == pytest.approx(9.0 * gain**2, rel=1e-6)


def test_measured_gain_replaces_the_nominal_one_and_its_read_noise(make_image, readout) -> None:
    table = QTable()
    table["gain"] = np.full(readout.channels, 1.25) * u.electron / u.adu
    table["read_noise"] = np.full(readout.channels, 4.2) * u.electron
    result = apply_gain(make_image(8.0, u.adu), readout, Table(table))
    assert np.all(result.data == 10.0)
    assert np.all(result.meta.read_noise == 4.2 * u.electron)


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"gain": None}, "the image has no gain"),
        ({"gain": [1.0, 1.1] * u.electron / u.adu}, "the gain has 2 values; expected 1 or 8"),
        ({"gain": 0.0 * u.electron / u.adu}, "expected positive values"),
    ],
)
def test_missing_or_senseless_gain_is_refused(make_image, readout, facts, message) -> None:
    image = make_image(3.0, u.adu, **facts)
    with pytest.raises(UnprocessableData, match=message):
        apply_gain(image, readout)
    assert np.all(image.data == 3.0)


def test_bias_is_subtracted_and_starts_the_variance(make_image, rng, readout) -> None:
    level = rng.normal(0.0, 3.0, readout.shape).astype(np.float32)
    bias = with_variance(make_image(level), 1.5)
    result = subtract_bias(make_image(level + 20.0), bias)
    assert result.data == pytest.approx(20.0, abs=1e-5)
    assert np.all(result.variance == 1.5)
    assert np.array_equal(bias.data, level)


def test_bias_in_another_unit_is_refused(make_image) -> None:
    with pytest.raises(UnprocessableData, match="the bias is in adu; expected electron"):
        subtract_bias(make_image(), make_image(unit=u.adu))


@pytest.mark.parametrize("loss", [0.0, 0.01, 0.04])
def test_nonlinearity_is_inverted(make_image, readout, rng, loss) -> None:
    true = rng.uniform(0.0, 60000.0, readout.shape)
    full = 90000.0
    # m (1 + loss m / full) = true, solved for the measured m
    a = loss / full
    measured = true if loss == 0 else (np.sqrt(1 + 4 * a * true) - 1) / (2 * a)
    table = QTable({"coefficient": np.tile([a, 0.0], (readout.channels, 1))})
    image = with_variance(make_image(measured), 4.0)
    result = correct_nonlinearity(image, readout, Table(table))
    assert result.data == pytest.approx(true, rel=2e-6, abs=1e-3)
    assert result.variance == pytest.approx(4.0 * (1 + 2 * a * measured) ** 2, rel=1e-5)


def test_dark_is_scaled_by_time_and_leaves_its_noise(make_image, rng, readout) -> None:
    rate = rng.uniform(0.0, 0.5, readout.shape).astype(np.float32)
    dark = replace(make_image(rate, RATE), variance=np.full(readout.shape, 1e-4, np.float32))
    result = subtract_dark(make_image(rate * 100.0 + 50.0), dark)
    assert result.data == pytest.approx(50.0, abs=1e-4)
    assert result.variance == pytest.approx(rate * 100.0 + 1.0, rel=1e-5)


@pytest.mark.parametrize(("seconds", "left"), [(100.0, 0.0), (200.0, 1.0), (50.0, 0.25)])
def test_bias_error_that_is_also_in_the_dark_cancels(make_image, seconds, left) -> None:
    image = with_variance(make_image(seconds=seconds), 8.0)
    dark = with_variance(make_image(0.0, RATE), 8.0 / 100.0**2)
    result = subtract_dark(image, dark)
    assert result.variance == pytest.approx(8.0 * left, abs=1e-5)
    image = with_variance(make_image(seconds=seconds), 8.0)
    result = subtract_dark(image, make_image(0.0, RATE), shared_bias=False)
    assert np.all(result.variance == 8.0)


def test_negative_dark_pixels_do_not_lower_the_variance(make_image) -> None:
    dark = make_image(-0.1, RATE, exposure_time=None)
    result = subtract_dark(with_variance(make_image(), 3.0), dark)
    assert np.all(result.variance == 3.0)
    assert result.data == pytest.approx(10.0)


@pytest.mark.parametrize("seconds", [0.0, -1.0, np.nan])
def test_dark_needs_a_positive_exposure_time(make_image, seconds) -> None:
    with pytest.raises(UnprocessableData, match="expected a positive number"):
        subtract_dark(make_image(seconds=seconds), make_image(unit=RATE))


def test_shutter_offset_is_undone(make_image, readout) -> None:
    offset = np.linspace(-0.03, 0.03, readout.shape[0])[:, None]
    image = with_variance(make_image(7.0 * (10.0 + offset), seconds=10.0), 2.0)
    result = correct_shutter(image, make_image(offset, u.s))
    assert result.data == pytest.approx(70.0, rel=1e-6)
    expected = np.broadcast_to(2.0 * (10.0 / (10.0 + offset)) ** 2, readout.shape)
    assert result.variance == pytest.approx(expected, rel=1e-6)


def test_shutter_map_longer_than_the_exposure_is_refused(make_image) -> None:
    with pytest.raises(UnprocessableData, match="shortest exposure -1"):
        correct_shutter(make_image(seconds=1.0), make_image(-2.0, u.s))


def test_flat_divides_data_and_propagates_both_variances(make_image) -> None:
    flat = with_variance(make_image(0.8, u.dimensionless_unscaled), 1e-4)
    result = divide_flat(with_variance(make_image(80.0), 25.0), flat)
    assert result.data == pytest.approx(100.0, rel=1e-6)
    assert result.variance == pytest.approx((25.0 + 100.0**2 * 1e-4) / 0.64, rel=1e-5)
    assert np.all(flat.data == np.float32(0.8))


def test_pixels_without_response_are_flagged_and_left(make_image) -> None:
    flat = make_image(1.0, u.dimensionless_unscaled)
    flat.data[3, 4], flat.data[5, 6], flat.data[7, 8] = 0.0, -0.1, np.nan
    result = divide_flat(with_variance(make_image(50.0), 2.0), flat)
    assert np.argwhere(result.flagged("bad")).tolist() == [[3, 4], [5, 6], [7, 8]]
    assert np.all(result.data == 50.0)
    assert np.all(result.variance == 2.0)


def test_rate_divides_by_the_exposure_time(make_image) -> None:
    result = to_rate(with_variance(make_image(300.0, seconds=150.0), 9.0))
    assert result.unit == RATE
    assert result.data == pytest.approx(2.0)
    assert result.variance == pytest.approx(9.0 / 150.0**2)


@pytest.mark.parametrize("stage", [correct_nonlinearity, correct_shutter])
def test_absent_optional_reference_skips_the_stage(stage, make_image, readout) -> None:
    arguments = (readout,) if stage is correct_nonlinearity else ()
    with pytest.raises(NotApplicable, match="there is no"):
        stage(make_image(), *arguments)


@pytest.mark.parametrize("stage", [subtract_bias, subtract_dark, divide_flat])
def test_reference_of_another_shape_is_refused_before_any_change(stage, make_image) -> None:
    image = make_image(5.0)
    unit = RATE if stage is subtract_dark else u.electron
    other = replace(make_image(unit=unit), data=np.zeros((4, 4), np.float32))
    with pytest.raises(UnprocessableData, match=r"has shape \(4, 4\); expected \(192, 256\)"):
        stage(image, other)
    assert np.all(image.data == 5.0)
