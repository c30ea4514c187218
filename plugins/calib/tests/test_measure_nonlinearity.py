import numpy as np
import pytest

from csst_calib.stages.measure_nonlinearity import measure_nonlinearity
from csst_calib.stages.nonlinearity import correct_nonlinearity
from csstcore.api import UnprocessableData

SECONDS = (1.0, 2.0, 4.0, 8.0, 12.0, 16.0, 20.0)


def loss(electrons: np.ndarray, channel: int) -> np.ndarray:
    """Measured signal: 1 % lost at 90000 electrons, more in later channels, with a cubic term."""
    strength = 0.01 + 0.002 * channel
    x = electrons / 90000.0
    return electrons * (1.0 - strength * x + 0.3 * strength * x**2)


def ramp(make_image, rng, readout) -> list:
    images = []
    for seconds in SECONDS:
        light = rng.poisson(4000.0 * seconds, readout.shape).astype(float)
        for channel in readout:
            light[channel.active] = loss(light[channel.active], channel.index)
        images.append(make_image(light, seconds=seconds))
    return images


def test_measured_coefficients_make_the_response_linear(make_image, rng, readout) -> None:
    table = measure_nonlinearity(ramp(make_image, rng, readout), readout)
    assert table.table["coefficient"].shape == (readout.channels, 2)
    assert table.table["residual"].max() < 0.002
    true = np.array([3000.0, 20000.0, 50000.0, 80000.0])
    for channel in readout:
        image = make_image()
        image.data[channel.active][0, :4] = loss(true, channel.index)
        corrected = correct_nonlinearity(image, readout, table).data[channel.active][0, :4]
        assert corrected / true == pytest.approx(1.0, abs=0.002)


def test_travel_of_a_shutter_that_averages_out_does_not_matter(make_image, readout) -> None:
    y = np.tile(np.linspace(-1, 1, readout.channel_rows), readout.channels_y)[:, None]
    travel = 0.03 * (0.5 - 1.5 * y**2)
    travel -= travel.mean()
    images = [make_image(9000.0 * (s + travel), seconds=s) for s in (0.5, 1.0, 2.0, 4.0, 6.0)]
    table = measure_nonlinearity(images, readout).table
    assert np.abs(table["coefficient"] @ np.array([5e4, 2.5e9])).max() < 1e-4


def test_too_few_exposure_times_are_refused(make_image, readout) -> None:
    images = [make_image(1000.0 * s, seconds=s) for s in (1.0, 2.0, 2.0, 3.0)]
    with pytest.raises(UnprocessableData, match="3 exposure times; expected at least 4"):
        measure_nonlinearity(images, readout)


def test_saturated_ramp_is_refused(make_image, readout) -> None:
    images = [make_image(1000.0 * s, seconds=s) for s in (1.0, 2.0, 3.0, 4.0)]
    images[3].set_flag("saturated", np.ones(readout.shape, np.bool_))
    with pytest.raises(UnprocessableData, match="saturated"):
        measure_nonlinearity(images, readout)


def test_saturated_frames_take_no_part(make_image, rng, readout) -> None:
    images = ramp(make_image, rng, readout)
    full = make_image(60000.0, seconds=40.0)
    full.set_flag("saturated", np.ones(readout.shape, np.bool_))
    expected = measure_nonlinearity(images, readout).table
    found = measure_nonlinearity([*images, full], readout).table
    assert np.array_equal(found["coefficient"], expected["coefficient"])
