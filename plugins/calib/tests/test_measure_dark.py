import astropy.units as u
import numpy as np
import pytest

from csst_calib.stages.combine import combine
from csst_calib.stages.measure_dark import measure_dark
from csst_calib.stages.variance import estimate_variance
from csstcore.api import UnprocessableData, replace
from csstcore.notes import collecting

READ_NOISE = 5.0


@pytest.fixture
def rate(rng, readout) -> np.ndarray:
    rate = rng.gamma(4.0, 0.005, readout.shape)
    rate[rng.random(readout.shape) < 0.01] = 5.0
    return rate


def take(make_image, rng, rate, seconds, level=0.0, hit=0.002):
    charge = rng.poisson(rate * seconds) + rng.normal(0.0, READ_NOISE, rate.shape)
    charge += 2000.0 * (rng.random(rate.shape) < hit)
    return make_image(charge + level, seconds=seconds)


def make_bias(make_image, rng, rate, readout, level=0.0):
    images = [take(make_image, rng, 0 * rate, 1e-9, level, 0.0) for _ in range(9)]
    return combine([estimate_variance(image, readout, photon_noise=False) for image in images])


def error_in_sigmas(dark, rate) -> float:
    """Mean error; not the mean pull, for pixels that are high by chance have larger errors."""
    error = dark.data - rate
    return float(error.mean() / error.std())


@pytest.mark.parametrize("times", [(300.0,) * 8, (100.0, 100.0, 300.0, 300.0, 600.0, 900.0, 900.0)])
def test_rates_are_right_within_their_errors(make_image, rng, readout, rate, times) -> None:
    """The error holds that of the bias, and the photon noise of every pixel's own rate."""
    bias = make_bias(make_image, rng, rate, readout, level=7.0)
    with collecting() as notes:
        dark = measure_dark([take(make_image, rng, rate, t, 7.0) for t in times], bias, readout)
    pull = (dark.data - rate) / np.sqrt(dark.variance)
    assert 0.97 < pull.std() < 1.03
    assert abs(error_in_sigmas(dark, rate)) < 0.03
    assert 0.9 < pull[rate == 5.0].std() < 1.1
    assert dark.unit == u.electron / u.s
    assert notes.metrics["exposure_times"] == len(set(times))
    assert 0.001 < notes.metrics["clipped_fraction"] < 0.004


def test_several_exposure_times_need_no_bias(make_image, rng, readout, rate) -> None:
    """The slope does not see an offset that the bias is known not to give."""
    bias = make_image(0.0)
    bias = replace(bias, variance=np.full(bias.shape, 1e6, np.float32))
    frames = [take(make_image, rng, rate, t, 50.0, 0.0) for t in (100.0, 300.0, 600.0, 900.0)]
    dark = measure_dark(frames, bias, readout)
    pull = (dark.data - rate) / np.sqrt(dark.variance)
    assert abs(error_in_sigmas(dark, rate)) < 0.03
    assert 0.95 < pull.std() < 1.05


def test_flagged_values_take_no_part(make_image, readout) -> None:
    images = [make_image(10.0) for _ in range(3)]
    corner, all_bad = np.zeros((2, *readout.shape), np.bool_)
    corner[0, 0] = all_bad[1, 1] = True
    images[1].data[0, 0] = 50.0
    images[1].set_flag("cosmic_ray", corner)
    for image in images:
        image.set_flag("bad", all_bad)
    dark = measure_dark(images, make_image(0.0), readout)
    assert dark.data[0, 0] == pytest.approx(0.1, rel=1e-5)
    assert dark.flagged("bad").nonzero() == ([1], [1])
    assert dark.data[1, 1] == dark.variance[1, 1] == 0


def test_bias_in_another_unit_is_refused(make_image, readout) -> None:
    with pytest.raises(UnprocessableData, match="the bias is in adu; expected electron"):
        measure_dark([make_image(1.0)], make_image(0.0, u.adu), readout)
