"""The coronagraph's light: pupil, speckles, planets on the sky, cubes."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from csst_sim.cpic.coronagraph import Coronagraph, drifting_screens, random_screens
from csst_sim.cpic.direct import simulate_cube
from csst_sim.cpic.pupil import Pupil
from csst_sim.cpic.settings import CpicOptics
from csst_sim.cpic.sky import planet_offset
from csst_sim.direct import shipped

PUPIL = Pupil(64, 1.0, 0.24)
PIXEL = np.arange(161, dtype=float) - 80


def centroid(image: NDArray[np.floating]) -> tuple[float, float]:
    """Weighted mean (x, y) from the central pixel."""
    y, x = np.indices(image.shape) - image.shape[0] // 2
    return float((image * x).sum() / image.sum()), float((image * y).sum() / image.sum())


def test_image_of_a_star_holds_all_its_light_about_its_place() -> None:
    x = np.arange(241, dtype=float) - 120
    image = PUPIL.image(x - 3.3, x + 5.2)
    assert image.sum() == pytest.approx(1, abs=2e-3)
    assert image.max() <= PUPIL.peak * 1.0001
    assert centroid(image) == pytest.approx((3.3, -5.2), abs=5e-3)


def test_a_tilt_moves_an_image() -> None:
    (moved,) = PUPIL.images(PUPIL.tilt(2.0, -3.0), PIXEL, PIXEL)
    still = PUPIL.image(PIXEL, PIXEL)
    np.testing.assert_allclose(moved[17:-3, 22:], still[20:, 20:-2], rtol=1e-4, atol=1e-7)


def test_width_of_the_image_is_that_of_its_aperture() -> None:
    airy = Pupil(256, 0.0, 0.05)
    assert airy.fwhm_pixel * 0.05 == pytest.approx(1.029, rel=0.01)
    assert PUPIL.fwhm_pixel == pytest.approx(1.27 / 0.24, rel=0.01)
    wing = PUPIL.image(np.array([10 / 0.24]), np.zeros(1))[0, 0] / PUPIL.peak
    round_pupil = airy.image(np.linspace(9.5, 10.5, 40) / 0.05, np.zeros(1)).mean() / airy.peak
    assert wing < 0.05 * round_pupil


def test_speckles_have_the_raw_contrast_on_average_and_the_mask_keeps_it_off_the_star() -> None:
    coronagraph = Coronagraph(PUPIL, 4.0, 14.0, 1e-6, 100.0, 1e-8)
    factors = coronagraph.factors(PIXEL, PIXEL)
    screens = random_screens(64, np.random.default_rng(1), 60)
    images = coronagraph.stars(screens, PUPIL.tilt(0.0, 0.0), factors, PIXEL, PIXEL)
    contrast = images.mean(axis=0) / PUPIL.peak
    radius = np.hypot(PIXEL, PIXEL[:, None]) * 0.24
    zone = (radius > 6) & (radius < 11)
    assert contrast[zone].mean() == pytest.approx(1e-8, rel=0.05)
    assert contrast[80, 80] == pytest.approx(1e-6, rel=0.01)
    assert contrast[(radius > 16) & (radius < 18)].mean() > 3e-7
    assert contrast[(radius > 3) & (radius < 3.5)].mean() < 1e-8


def test_speckles_of_phase_alone_are_symmetric_about_the_star() -> None:
    coronagraph = Coronagraph(PUPIL, 4.0, 14.0, 0.0, 100.0, 1e-8)
    factors = coronagraph.factors(PIXEL, PIXEL)
    zone = np.hypot(PIXEL, PIXEL[:, None]) * 0.24
    zone = (zone > 5) & (zone < 11)
    alike = []
    for phase_fraction in (1.0, 0.5):
        screens = random_screens(64, np.random.default_rng(3), 1, phase_fraction)
        (image,) = coronagraph.stars(screens, PUPIL.tilt(0.0, 0.0), factors, PIXEL, PIXEL)
        alike.append(np.corrcoef(image[zone], image[::-1, ::-1][zone])[0, 1])
    assert alike[0] > 0.999
    assert abs(alike[1]) < 0.3


def test_the_mask_lets_half_of_a_planet_through_at_its_inner_edge() -> None:
    coronagraph = Coronagraph(PUPIL, 4.0, 14.0, 1e-6, 100.0, 1e-8)
    passing = coronagraph.throughput(np.array([0, 4, 6, 12]) / 0.24)
    assert passing[:2] == pytest.approx([0, 0.5])
    assert passing[2] > 0.99
    assert (np.diff(passing) >= 0).all()


def test_the_part_of_the_field_that_drifts_forgets_itself_exponentially() -> None:
    (static,) = random_screens(64, np.random.default_rng(1))
    seconds = np.array([0.0, 10.0, 40.0, 40.0, 1e9])
    screens = drifting_screens(static, seconds, 40.0, 0.5, np.random.default_rng(2))
    scale = np.mean(np.abs(screens) ** 2, axis=(1, 2))
    assert scale == pytest.approx(1, abs=0.05)
    drift = (screens - np.sqrt(0.5) * static) / np.sqrt(0.5)
    kept = [np.mean(drift[0].conj() * later).real for later in drift]
    expected = np.exp(-seconds / 40)
    assert kept == pytest.approx(expected / expected[0] * kept[0], abs=0.05)
    np.testing.assert_allclose(drift[2], drift[3], atol=1e-5)


@pytest.mark.parametrize(
    ("angle", "frame_angle", "place"),
    [(0, 0, (0, 10)), (90, 0, (-10, 0)), (90, 90, (0, 10)), (0, 90, (10, 0)), (200, 20, (0, -10))],
)
def test_east_is_to_the_left_of_north_and_rolls_with_the_frame(
    angle: float, frame_angle: float, place: tuple[float, float]
) -> None:
    assert planet_offset(10, angle, frame_angle) == pytest.approx(place, abs=1e-12)


def test_planets_of_a_cube_stand_where_they_should_with_the_flux_they_should_have() -> None:
    planet = (40.0, 70.0, 1e-6)
    settings = {"frames": 5, "noise": False, "jitter_pixel": 0.0}
    with_planet, without = simulate_cube([planet], **settings), simulate_cube(**settings)
    for number, angle in enumerate(with_planet.angles_deg):
        difference = with_planet.cube[number] - without.cube[number]
        x, y = planet_offset(40.0, 70.0, angle)
        stamp = difference[80 + round(y) - 20 :, 80 + round(x) - 20 :][:41, :41]
        place = np.add(centroid(stamp), (round(x), round(y)))
        assert place == pytest.approx((x, y), abs=0.02)
        assert difference.sum() == pytest.approx(1e-6 * 1e11, rel=0.01)
    assert with_planet.throughput == pytest.approx([1], abs=1e-6)
    assert np.ptp(with_planet.angles_deg) == 60
    assert with_planet.psf.max() / 1e11 == pytest.approx(PUPIL.peak, rel=1e-5)


def test_noise_of_a_cube_is_that_of_its_light_and_read_noise() -> None:
    quiet = simulate_cube(noise=False)
    noisy = simulate_cube(read_noise_electron=3.0)
    residual = noisy.cube - quiet.cube
    variance = quiet.cube + 9.0
    pull = residual / np.sqrt(variance)
    assert pull.mean() == pytest.approx(0, abs=5e-3)
    assert pull.std() == pytest.approx(1, abs=5e-3)


def test_speckles_stay_more_than_they_drift_and_a_library_shares_them() -> None:
    cube = simulate_cube(frames=40, reference_frames=10, drift_frames=5.0, noise=False)
    radius = np.hypot(PIXEL, PIXEL[:, None])
    zone = (radius > 25) & (radius < 70)
    first, later = cube.cube[0][zone], cube.cube[39][zone]
    assert 0.7 < np.corrcoef(first, later)[0, 1] < 0.97
    assert 0.7 < np.corrcoef(first, cube.library[5][zone])[0, 1] < 0.97
    assert cube.library.shape == (10, 161, 161)


def test_documented_filters_have_the_published_scales() -> None:
    optics = shipped("cpic_optics_proposed.toml", CpicOptics)
    for name, milliarcsec in (("f565", 58), ("f661", 68), ("f743", 77), ("f883", 91)):
        pixel = optics.pixel_lambda_d(name)
        assert 1e3 * optics.pixel_scale_arcsec / pixel == pytest.approx(milliarcsec, abs=0.6)
