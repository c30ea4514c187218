"""Quality numbers."""

from __future__ import annotations

import numpy as np
import pytest

from csst_imaging import checks
from csst_imaging.position.tpv import tangent_wcs
from csstcore.api import Image, replace


def test_sky_of_a_star_field(field):
    assert checks.sky_level(field.image) == pytest.approx(45.3, abs=0.5)
    assert checks.sky_rms(field.image) == pytest.approx(np.sqrt(70.0), rel=0.03)


def test_flagged_pixels_do_not_count():
    data = np.full((10, 10), 3.0, np.float32)
    data[:5] = 100.0
    flags = np.zeros(data.shape, np.uint16)
    flags[:5] = 1
    image = Image(data, flags=flags)
    assert checks.sky_level(image) == 3.0
    assert checks.flagged_fraction(image) == 0.5
    assert checks.flagged_fraction(Image(data)) == 0.0


def test_image_without_a_good_pixel_has_no_sky():
    image = Image(np.full((4, 4), np.nan, np.float32))
    assert np.isnan(checks.sky_level(image))
    assert np.isnan(checks.sky_rms(image))


def test_astrometric_scatter_is_that_of_the_solution(field):
    assert np.isnan(checks.astrometric_rms(field.image))
    wcs = tangent_wcs((1.0, 1.0), 0.0, 0.0, np.eye(2) * 1e-5)
    wcs.wcs.crder = [1e-6, 2e-6]
    assert checks.astrometric_rms(replace(field.image, wcs=wcs)) == pytest.approx(7.2)


def test_numbers_of_a_catalogue(field):
    assert checks.number_of_sources(field.catalog) == field.x.size
    assert checks.fwhm(field.catalog) == pytest.approx(2.4, abs=0.15)
