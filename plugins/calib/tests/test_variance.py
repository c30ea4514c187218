from collections.abc import Callable

import astropy.units as u
import numpy as np
import pytest
from scipy.ndimage import convolve, map_coordinates

from csst_calib.stages.bias import subtract_bias
from csst_calib.stages.combine import combine
from csst_calib.stages.dark import subtract_dark
from csst_calib.stages.flat import divide_flat
from csst_calib.stages.measure_dark import measure_dark
from csst_calib.stages.normalise_flat import normalise_flat
from csst_calib.stages.rate import to_rate
from csst_calib.stages.variance import _add_photon_noise, estimate_variance, sky_mesh
from csstcore.api import Image, UnprocessableData, replace

READ_NOISE = 5.0


class Detector:
    """Forward model with hidden bias pattern, dark and response."""

    def __init__(self, shape: tuple[int, int], rng: np.random.Generator) -> None:
        self.rng = rng
        self.shape = shape
        self.bias = rng.normal(0.0, 1.5, shape)
        self.dark = rng.gamma(2.0, 0.01, shape)
        self.response = rng.normal(1.0, 0.01, shape) * np.linspace(0.95, 1.05, shape[1])

    def expose(self, light: np.ndarray | float, seconds: float) -> np.ndarray:
        mean = np.broadcast_to(light * self.response + self.dark * seconds, self.shape)
        noise = self.rng.normal(0.0, READ_NOISE, self.shape)
        return (self.bias + self.rng.poisson(mean) + noise).astype(np.float32)


@pytest.fixture
def detector(readout, rng) -> Detector:
    return Detector(readout.shape, rng)


def masters(detector: Detector, make_image: Callable[..., Image], readout):
    biases = [make_image(detector.expose(0.0, 0.0), seconds=0.0) for _ in range(9)]
    bias = combine([estimate_variance(i, readout, photon_noise=False) for i in biases])
    darks = [make_image(detector.expose(0.0, 300.0), seconds=300.0) for _ in range(7)]
    dark = measure_dark(darks, bias, readout)
    flats = [make_image(detector.expose(20000.0 + 500 * n, 5.0), seconds=5.0) for n in range(5)]
    flat = combine(
        [
            normalise_flat(
                estimate_variance(subtract_dark(subtract_bias(i, bias), dark), readout), readout
            )
            for i in flats
        ]
    )
    return bias, dark, normalise_flat(flat, readout)


@pytest.mark.parametrize("seconds", [150.0, 300.0])
@pytest.mark.parametrize("sky", [0.6, 6.0, 55.0])
def test_pulls_without_sources_are_standard_normal(
    detector, make_image, readout, sky, seconds
) -> None:
    bias, dark, flat = masters(detector, make_image, readout)
    pulls = []
    for _ in range(4):
        image = make_image(detector.expose(sky, seconds), seconds=seconds)
        image = subtract_dark(subtract_bias(image, bias), dark)
        image = to_rate(divide_flat(estimate_variance(image, readout), flat))
        pulls.append((image.data - sky / seconds) / np.sqrt(image.variance))
    assert abs(np.mean(pulls)) < 0.02
    assert 0.97 < np.std(pulls) < 1.03


def test_variance_does_not_follow_the_noise_of_the_pixel(make_image, readout, rng) -> None:
    noise = rng.normal(0.0, np.sqrt(80.0), readout.shape)
    image = estimate_variance(make_image(55.0 + noise), readout)
    weighted = np.average(image.data, weights=1 / image.variance)
    assert weighted == pytest.approx(image.data.mean(), abs=0.05)
    assert abs(np.corrcoef(noise.ravel(), image.variance.ravel())[0, 1]) < 0.15


def test_variance_of_a_star_sums_to_its_light(make_image, readout, rng) -> None:
    y, x = np.mgrid[: readout.shape[0], : readout.shape[1]]
    star = 50000.0 * np.exp(-((x - 100.3) ** 2 + (y - 60.7) ** 2) / 2) / (2 * np.pi)
    data = rng.poisson(star + 20.0) + rng.normal(0.0, READ_NOISE, readout.shape)
    image = estimate_variance(make_image(data), readout)
    near = (x - 100.3) ** 2 + (y - 60.7) ** 2 < 100
    excess = (image.variance - READ_NOISE**2 - 20.0)[near].sum()
    assert excess == pytest.approx(50000.0, rel=0.02)


def test_every_channel_has_its_own_read_noise(make_image, readout) -> None:
    noise = 4.0 + np.arange(readout.channels)
    image = make_image(read_noise=noise * u.electron)
    result = estimate_variance(image, readout, photon_noise=False)
    for channel, sigma in zip(readout, noise, strict=True):
        assert np.all(result.variance[channel.active] == np.float32(sigma) ** 2)


def test_earlier_variance_is_kept(make_image, readout) -> None:
    image = replace(make_image(10.0), variance=np.full(readout.shape, 3.0, np.float32))
    assert np.all(estimate_variance(image, readout).variance == 3.0 + 25.0 + 10.0)


def test_negative_sky_adds_nothing(make_image, readout) -> None:
    assert np.all(estimate_variance(make_image(-4.0), readout).variance == 25.0)


def test_compiled_model_equals_plain_numpy(make_image, readout, rng) -> None:
    data = rng.normal(30.0, 7.0, readout.shape)
    data[40:44, 50:54] += 400.0
    data = data.astype(np.float32)
    mesh = sky_mesh(data, 32)
    found = np.zeros(readout.shape, np.float32)
    _add_photon_noise(data, mesh, (0, *readout.shape[:1], 0, readout.shape[1]), 25.0, 4.0, found)
    rows, columns = (np.arange(size) for size in readout.shape)
    positions = np.meshgrid(
        np.clip((rows + 0.5) * mesh.shape[0] / len(rows) - 0.5, 0, mesh.shape[0] - 1),
        np.clip((columns + 0.5) * mesh.shape[1] / len(columns) - 0.5, 0, mesh.shape[1] - 1),
        indexing="ij",
    )
    sky = map_coordinates(mesh, positions, order=1, mode="nearest")
    kernel = np.outer([1, 2, 1], [1, 2, 1]) / 16
    smooth = convolve(data, kernel, mode="nearest")
    source = smooth - sky > 4.0 * np.sqrt((25.0 + sky) * (kernel**2).sum())
    assert source[41:43, 51:53].all()
    assert found == pytest.approx(np.where(source, smooth, sky), rel=1e-4)


def test_missing_read_noise_is_refused(make_image, readout) -> None:
    with pytest.raises(UnprocessableData, match="the image has no read noise"):
        estimate_variance(make_image(read_noise=None), readout)
