"""Sources found in residual images."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from csst_cpic.planets.aperture_noise import aperture_sums, ratios
from csst_cpic.planets.detection import detect

SIZE, FWHM, OUTER = 81, 4.0, 36.0


def image_with(separation: float, position_angle_deg: float, peak: float):
    """Noise as wide as a source, out to `OUTER`, and a source."""
    y, x = np.mgrid[:SIZE, :SIZE] - SIZE // 2
    noise = gaussian_filter(np.random.default_rng(1).standard_normal((SIZE, SIZE)), 1.5)
    angle = np.radians(position_angle_deg)
    square = (x + separation * np.sin(angle)) ** 2 + (y - separation * np.cos(angle)) ** 2
    image = noise / noise.std() + peak * np.exp(-4 * np.log(2) * square / FWHM**2)
    return np.where(np.hypot(x, y) < OUTER, image, np.nan).astype(np.float32)


@pytest.mark.parametrize("position_angle", [17.0, 100.0, 215.0, 301.0])
@pytest.mark.parametrize("separation", [25.0, 34.5, 35.0])
def test_a_source_at_the_rim_is_found_where_its_ratio_is_high(separation, position_angle):
    image = image_with(separation, position_angle, 20.0)
    sums = aperture_sums(image, FWHM)
    rows, columns = np.indices(image.shape).reshape(2, -1).astype(np.float64)
    assert np.nanmax(ratios(sums, FWHM, rows, columns)[0]) > 6
    (found,) = detect(image, np.ones(image.shape), FWHM, 5.0, 1)
    turn = np.radians(found.position_angle_deg - position_angle)
    apart = separation - found.separation_pixel * np.exp(1j * turn)
    assert abs(apart) < FWHM / 2


def test_noise_alone_is_no_source():
    assert detect(image_with(25.0, 17.0, 0.0), np.ones((SIZE, SIZE)), FWHM, 5.0, 3) == []
