import astropy.units as u
import numpy as np
import pytest

from csst_calib.stages.normalise_flat import normalise_flat
from csstcore.api import UnprocessableData, replace


@pytest.fixture
def response(rng, readout) -> np.ndarray:
    """Pixel response with a gain error in every channel; mean 1."""
    plane = rng.normal(1.0, 0.01, readout.shape)
    for channel in readout:
        plane[channel.active] *= 1.0 + 0.004 * (-1) ** channel.index
    return plane / plane.mean()


def test_frame_gets_unit_mean_and_its_variance_follows(make_image, readout, response) -> None:
    image = make_image(23000.0 * response)
    image = replace(image, variance=image.data.copy())
    result = normalise_flat(image, readout)
    assert result.unit == u.dimensionless_unscaled
    assert result.data == pytest.approx(response, rel=1e-3)
    assert result.variance.mean() == pytest.approx(1 / 23000.0, rel=1e-3)


def test_flagged_pixels_do_not_count(make_image, readout, response) -> None:
    image = make_image(23000.0 * response)
    image.data[:40] = 60000.0
    flagged = np.zeros(readout.shape, np.bool_)
    flagged[:40] = True
    image.set_flag("bad", flagged)
    result = normalise_flat(image, readout)
    assert result.data[40:] == pytest.approx(response[40:], rel=2e-3)


def test_saturated_frame_is_refused(make_image, readout, response) -> None:
    image = make_image(23000.0 * response)
    image.set_flag("saturated", response > np.percentile(response, 90))
    with pytest.raises(UnprocessableData, match="% of the flat frame is saturated"):
        normalise_flat(image, readout)


def test_illumination_is_removed_and_steps_between_channels_stay(
    make_image, readout, response
) -> None:
    y, x = (np.linspace(-1, 1, size) for size in readout.shape)
    lamp = np.exp(0.1 * x + 0.05 * np.square(y)[:, None] - 0.03 * y[:, None])
    kept = normalise_flat(make_image(20000.0 * response * lamp), readout)
    assert np.std(kept.data / response) > 0.04
    removed = normalise_flat(make_image(20000.0 * response * lamp), readout, illumination_degree=2)
    ratio = removed.data / response
    # Cells of 16 x 24 pixels: the medians carry noise of 0.13 % each, the slopes less.
    assert ratio == pytest.approx(1.0, abs=8e-3)
    assert np.std(ratio) < 3e-3
    assert removed.data.mean() == pytest.approx(1.0, abs=2e-3)


def test_dark_lamp_is_refused(make_image, readout) -> None:
    with pytest.raises(UnprocessableData, match=r"mean level -2\.0; expected more than 0"):
        normalise_flat(make_image(-2.0), readout)
    with pytest.raises(UnprocessableData, match="a level of 0 or less"):
        normalise_flat(make_image(-2.0), readout, illumination_degree=1)


def test_wholly_flagged_frame_is_refused(make_image, readout) -> None:
    image = make_image(9.0)
    image.set_flag("bad", np.ones(readout.shape, np.bool_))
    with pytest.raises(UnprocessableData, match="every pixel of the flat frame is flagged"):
        normalise_flat(image, readout)
