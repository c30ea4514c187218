"""Filling of flagged pixels against the pixels that were there."""

import astropy.units as u
import numpy as np
import pytest
import sep

from csst_calib.stages.fill import fill_flagged
from csstcore.api import Image

NOISE = 8.0
SIZE = 400


def masked(truth: np.ndarray, hit: np.ndarray, *, noise: float = NOISE, seed: int = 1) -> Image:
    """An image in electrons with variance, whose hit pixels hold a million."""
    rng = np.random.default_rng(seed)
    data = (truth + rng.normal(0.0, noise, truth.shape)).astype(np.float32)
    variance = np.full(truth.shape, max(noise, 1e-3) ** 2, np.float32)
    image = Image(np.where(hit, np.float32(1e6), data), u.electron, variance)
    image.set_flag("cosmic_ray", hit)
    return image


def tracks(shape: tuple[int, int], count: int, seed: int = 2) -> np.ndarray:
    """Short straight tracks like those of cosmic rays, two pixels wide."""
    rng = np.random.default_rng(seed)
    hit = np.zeros(shape, np.bool_)
    for _ in range(count):
        x, y, angle = rng.uniform(0, shape[1]), rng.uniform(0, shape[0]), rng.uniform(0, np.pi)
        for step in np.arange(0.0, rng.uniform(1.0, 8.0), 0.5):
            column, row = int(x + step * np.cos(angle)), int(y + step * np.sin(angle))
            hit[row : row + 2, column : column + 1] = True
    return hit


def test_flagged_pixels_become_smooth_and_the_rest_stays(make_image, readout, rng) -> None:
    y, x = np.mgrid[: readout.shape[0], : readout.shape[1]]
    surface = 100.0 + 0.2 * x + 0.1 * y
    image = make_image(surface)
    hit = rng.random(readout.shape) < 0.03
    image.data[hit] = 1e6
    image.set_flag("cosmic_ray", hit)
    filled = fill_flagged(image)
    assert np.abs(filled.data - surface)[hit].max() < 0.6
    assert np.array_equal(filled.data[~hit], image.data[~hit])
    assert np.all(image.data[hit] == 1e6)
    assert filled.flags is image.flags


def test_wide_gaps_are_bridged_and_endless_ones_are_zero(make_image, readout) -> None:
    image = make_image(40.0)
    gap = np.zeros(readout.shape, np.bool_)
    gap[50:80, 60:90] = True
    image.set_flag("bad", gap)
    image.data[gap] = np.nan
    assert fill_flagged(image).data == pytest.approx(40.0)
    image.set_flag("bad", np.ones(readout.shape, np.bool_))
    image.variance = np.ones(readout.shape, np.float32)
    filled = fill_flagged(image)
    assert np.all(filled.data == 0.0)
    assert np.all(np.isinf(filled.variance))


def test_a_trail_over_a_slope_is_filled_with_the_sky_beside_it() -> None:
    y, x = np.mgrid[:SIZE, :SIZE]
    slope = 100.0 + 0.05 * y + 0.1 * x
    hit = np.abs(x - 200 - 0.2 * y) < 30
    filled = fill_flagged(masked(slope, hit))
    error = (filled.data - slope)[hit]
    assert abs(error.mean()) < 0.1 * NOISE
    assert error.std() < 0.3 * NOISE


def test_saturated_stars_are_not_filled(make_image, readout) -> None:
    image = make_image(40.0)
    image.data[30, 30] = 70000.0
    core = np.zeros(readout.shape, np.bool_)
    core[30, 30] = True
    image.set_flag("saturated", core)
    assert fill_flagged(image).data[30, 30] == 70000.0
    assert fill_flagged(image, flags=("saturated",)).data[30, 30] == pytest.approx(40.0)


@pytest.mark.parametrize("amplitude", [30.0, 100.0, 1000.0, 10000.0])
def test_stars_with_a_filled_core_keep_their_flux(amplitude: float) -> None:
    """Where a pixel of the core is lost, 14 % of the light is; most of it comes back."""
    y, x = np.mgrid[:SIZE, :SIZE]
    rng = np.random.default_rng(4)
    truth, hit, places = np.zeros((SIZE, SIZE)), np.zeros((SIZE, SIZE), np.bool_), []
    for row in range(20, SIZE - 20, 20):
        for column in range(20, SIZE - 20, 20):
            dy, dx = rng.uniform(-0.5, 0.5, 2)
            truth += amplitude * np.exp(-0.5 * ((y - row - dy) ** 2 + (x - column - dx) ** 2))
            hit[row, column] = True
            places.append((column + dx, row + dy))
    columns, rows = np.transpose(places)
    image = masked(truth, hit)
    filled = fill_flagged(image)

    def flux(data: np.ndarray) -> np.ndarray:
        return sep.sum_circle(np.ascontiguousarray(data, np.float64), columns, rows, 4.0)[0]

    total = 2 * np.pi * amplitude
    lost = np.median(flux(np.where(hit, 0.0, image.data))) / total - 1
    left = np.median(flux(filled.data)) / total - 1
    assert lost < -0.11
    assert abs(left) < 0.4 * abs(lost)
    if amplitude >= 100.0:
        assert abs(left) < 0.02


def test_errors_of_apertures_over_filled_pixels_stay_honest() -> None:
    hit = tracks((SIZE, SIZE), 400)
    pulls = []
    y, x = np.mgrid[8 : SIZE - 8 : 8, 8 : SIZE - 8 : 8]
    for seed in range(4):
        filled = fill_flagged(masked(np.zeros((SIZE, SIZE)), hit, seed=seed))
        flux, error, _ = sep.sum_circle(filled.data, x.ravel(), y.ravel(), 4.0, var=filled.variance)
        count = sep.sum_circle(hit.astype(np.float32), x.ravel(), y.ravel(), 4.0)[0]
        pulls.append((flux / error)[count > 2])
    pull = np.concatenate(pulls)
    assert pull.size > 1000
    assert 0.9 < pull.std() < 1.1
    assert abs(pull.mean()) < 0.1


def test_filled_sky_makes_no_more_sources_than_clean_sky() -> None:
    hit = tracks((1000, 1000), 2500)
    image = masked(np.zeros((1000, 1000)), hit)
    filled = fill_flagged(image)
    kernel = np.exp(-0.5 * np.add.outer(np.arange(-2, 3) ** 2, np.arange(-2, 3) ** 2))
    limits = {"thresh": 1.5, "err": NOISE, "minarea": 4, "filter_kernel": kernel}
    assert len(sep.extract(filled.data, **limits)) <= 1
    assert len(sep.extract(image.data, **limits)) > 1000


def test_bad_values_are_not_spread() -> None:
    hit = np.zeros((50, 50), np.bool_)
    hit[20, 20] = True
    image = masked(np.zeros((50, 50)), hit)
    image.data[21, 21] = np.nan
    image.variance[19, 19] = np.inf
    image.variance[20, 19] = np.nan
    filled = fill_flagged(image)
    assert np.isfinite(filled.data[20, 20])
    assert np.isfinite(filled.variance[20, 20])
