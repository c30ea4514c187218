import astropy.units as u
import numpy as np
import pytest

from csst_calib.stages.bad_pixels import flag_bad_pixels, flag_hot_pixels
from csst_calib.stages.saturation import flag_saturation
from csstcore.api import UnprocessableData, replace

RATE = u.electron / u.s


def where(image, name: str) -> list[list[int]]:
    return np.argwhere(image.flagged(name)).tolist()


def test_bad_pixels_follow_the_documented_limits(make_image) -> None:
    flat = make_image(2.0, u.dimensionless_unscaled)
    flat.data[0, :5] = [0.99, 1.0, 3.0, 3.02, np.nan]
    assert where(flag_bad_pixels(make_image(), flat), "bad") == [[0, 0], [0, 3], [0, 4]]


def test_hot_and_warm_pixels_follow_the_documented_limits(make_image, readout) -> None:
    dark = make_image(0.0, RATE)
    dark.data[0, :5] = [0.124, 0.13, 0.249, 0.25, 7.0]  # RN^2 / t = 0.25 electron / s
    image = flag_hot_pixels(make_image(), dark, readout)
    assert where(image, "hot") == [[0, 3], [0, 4]]
    assert where(image, "warm") == [[0, 1], [0, 2]]


@pytest.mark.parametrize("seconds", [10.0, 150.0, 1500.0])
def test_hot_and_warm_pixels_are_those_of_the_exposure_at_other_exposure_times(
    make_image, readout, seconds
) -> None:
    """The charge decides: RN^2 = 25 electrons are hot, half of them warm."""
    dark = make_image(0.0, RATE)
    dark.data[0, :4] = np.array([12.0, 13.0, 24.9, 25.1]) / seconds
    image = flag_hot_pixels(make_image(seconds=seconds), dark, readout)
    assert where(image, "hot") == [[0, 3]]
    assert where(image, "warm") == [[0, 1], [0, 2]]


def test_flags_are_added_to_those_there(make_image, readout) -> None:
    image = make_image()
    image.set_flag("saturated", np.ones(readout.shape, np.bool_))
    image = flag_bad_pixels(image, make_image(1.0, u.dimensionless_unscaled))
    assert image.flagged("saturated").all()


def test_bleeding_is_followed_along_the_column_both_ways(make_image, readout) -> None:
    image = make_image(30.0)
    image.data[40:60, 70] = 90000.0
    image.data[60, 70] = 20000.0
    seed = np.zeros(readout.shape, np.bool_)
    seed[50, 70] = True
    image.set_flag("saturated", seed)
    assert where(flag_saturation(image), "saturated") == [[y, 70] for y in range(39, 61)]


def test_pixels_at_the_full_well_are_saturated_without_a_flag(make_image) -> None:
    image = make_image(30.0, saturation=80000.0 * u.electron)
    image.data[7, 8] = 80000.0
    image.data[20, 8] = 79999.0
    assert where(flag_saturation(image), "saturated") == [[6, 8], [7, 8], [8, 8]]


def test_unsaturated_image_gets_no_flag(make_image, rng, readout) -> None:
    image = make_image(rng.uniform(0.0, 60000.0, readout.shape))
    assert not flag_saturation(image).flagged("saturated").any()


def test_hot_pixels_need_the_read_noise(make_image, readout) -> None:
    with pytest.raises(UnprocessableData, match="no read noise"):
        flag_hot_pixels(make_image(read_noise=None), make_image(unit=RATE), readout)


def test_saturation_needs_electrons(make_image) -> None:
    with pytest.raises(UnprocessableData, match="in adu; expected electron"):
        flag_saturation(replace(make_image(), unit=u.adu))
