"""Signal over noise where few apertures tell the noise."""

from __future__ import annotations

import astropy.units as u
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.stats import kstest, t

from csst_cpic.planets.aperture_noise import aperture_sums, apertures_used, ratios
from csst_cpic.stages import subtract_psf as subtraction
from csst_cpic.stages.signal_to_noise import signal_to_noise
from csst_cpic.stages.subtract_psf import subtract_psf
from csst_cpic.star.reduction import Reduction
from csstcore.api import Cube, Image, Meta, Table, UnprocessableData

from .test_star_subtraction import ANGLES, FWHM, SETTINGS, companion, speckles

ROW = Table(SETTINGS.to_table())


def test_sums_count_the_parts_of_pixels_on_the_rim():
    image = np.ones((21, 21), np.float32)
    image[3, 3] = np.nan
    sums = aperture_sums(image, 4.0)
    np.testing.assert_allclose(sums[10, 10], np.pi * 4, rtol=2e-3)
    np.testing.assert_allclose(sums[3, 4], np.pi * 4, rtol=2e-3)
    image[:12] = np.nan
    assert np.isnan(aperture_sums(image, 4.0)[11, 5])


def test_the_ratio_is_that_of_mawet_and_others():
    rng = np.random.default_rng(1)
    image = gaussian_filter(rng.standard_normal((61, 61)), 1.5).astype(np.float32)
    sums, place = aperture_sums(image, 4.0), (30.0 + 12.0, 30.0)
    ratio, used = ratios(sums, 4.0, np.array([place[0]]), np.array([place[1]]))
    number = int(2 * np.pi * 12 / 4)
    angle = 2 * np.pi * np.arange(2, number - 1) / number
    y, x = np.mgrid[:61, :61]
    others = []
    for turn in angle:
        middle = (30 + 12 * np.cos(turn), 30 + 12 * np.sin(turn))
        fine = np.hypot(y - middle[0], x - middle[1])
        others.append(np.sum(image * np.clip(2.5 - fine, 0, 1)))  # a soft rim
    others = np.array(others)
    tested = np.sum(image * np.clip(2.5 - np.hypot(y - place[0], x - place[1]), 0, 1))
    spread = others.std(ddof=1) * np.sqrt(1 + 1 / len(others))
    assert used[0] == number - 2 == apertures_used(np.array(12.0), 4.0)
    assert ratio[0] == pytest.approx((tested - others.mean()) / spread, abs=0.06)


@pytest.mark.parametrize("radius", [7.0, 20.0])
def test_noise_follows_student_with_two_degrees_less_than_apertures(radius):
    rng, found = np.random.default_rng(2), []
    for _ in range(400):
        image = rng.standard_normal((51, 51)).astype(np.float32)
        sums = aperture_sums(image, 4.0)
        ratio, used = ratios(sums, 4.0, np.array([25.0 + radius]), np.array([25.0]))
        found.append(ratio[0])
    assert kstest(found, t(used[0] - 2).cdf).pvalue > 0.02


def test_places_without_enough_apertures_are_left_empty():
    sums = aperture_sums(np.random.default_rng(3).standard_normal((31, 31)).astype(np.float32), 4.0)
    ratio, used = ratios(sums, 4.0, np.array([15.0, 17.0, 29.9]), np.array([15.0, 15.0, 29.9]))
    assert np.isnan(ratio[:2]).all()
    assert not used[:2].any()
    flat = np.ones((31, 31))
    assert np.isnan(ratios(flat, 4.0, np.array([25.0]), np.array([15.0]))[0]).all()


def subtracted(signal=0.0, **settings):
    """A residual image, by the stage, and the settings."""
    cube = Cube(
        speckles() + np.float32(signal),
        u.electron,
        meta=Meta(pixel_scale=16 * u.mas),
    )
    table = Table(ROW.table.__class__({"position_angle": ANGLES * u.deg}))
    chosen = {
        "fwhm_pixel": FWHM,
        "inner_radius_pixel": 6.0,
        "outer_radius_pixel": 30.0,
        "annulus_width_pixel": 6.0,
        "sectors": 2,
        "components": 4,
        "exclusion_fwhm": 0.7,
    } | settings
    return subtract_psf(cube, table, **chosen)


def test_a_companion_stands_out_at_its_place():
    residual, row = subtracted(companion(20.0, 270.0, 4.0))
    image = signal_to_noise(residual, row)
    y, x = np.unravel_index(np.nanargmax(image.data), image.shape)
    assert np.hypot(y - 32, x - 32 - 20) <= 1  # West is right
    assert image.data[y, x] > 8
    assert image.variance[y, x] > 1.5
    assert image.unit == u.dimensionless_unscaled
    assert Reduction.from_table(row.table) == SETTINGS


def test_a_residual_tells_which_zones_it_lacks(monkeypatch):
    told = []
    monkeypatch.setattr(subtraction, "caveat", told.append)
    residual, _ = subtracted(exclusion_fwhm=3.6, components=15)
    assert told[0].startswith("2 of 8 zones, out to 12.0 pixels, have no residual")
    assert told[-1].startswith("15 components of as few as")
    assert np.array_equal(residual.flagged("bad"), ~np.isfinite(residual.data))


def test_a_scale_is_asked_for_and_units_must_agree():
    cube = Cube(speckles(), u.electron)
    scaled = Cube(speckles(), u.electron, meta=Meta(pixel_scale=1.0 * u.arcsec))
    table = Table(ROW.table.__class__({"position_angle": ANGLES * u.deg}))
    radii = {"inner_radius_pixel": 6.0, "outer_radius_pixel": 30.0, "annulus_width_pixel": 6.0}
    with pytest.raises(UnprocessableData, match="no plate scale"):
        subtract_psf(cube, table, fwhm_pixel=4.0, **radii)
    library = Cube(speckles(), u.adu)
    with pytest.raises(UnprocessableData, match="library is in adu; expected electron"):
        subtract_psf(scaled, table, library, fwhm_pixel=4.0, mode="rdi", **radii)


def test_an_image_without_values_has_no_ratio():
    empty = Image(np.full((41, 41), np.nan, np.float32))
    assert np.isnan(signal_to_noise(empty, ROW).data).all()
