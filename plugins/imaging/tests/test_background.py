"""`estimate_background` against known skies."""

from __future__ import annotations

import numpy as np
import pytest

from csst_imaging.stages.background import estimate_background
from csstcore.api import Image, UnprocessableData
from csstcore.notes import collecting


def noise(shape=(600, 500), sky=100.0, sigma=5.0, seed=2):
    return np.random.default_rng(seed).normal(sky, sigma, shape).astype(np.float32)


def test_sky_under_a_star_field_is_recovered(field):
    assert abs(float(np.mean(field.background.data)) - 45.0) < 0.1
    assert field.metrics["sky_background"] == pytest.approx(45.0, abs=0.1)
    assert field.metrics["sky_rms"] == pytest.approx(np.sqrt(45.0 + 25.0), rel=0.02)


def test_mean_of_few_photons_is_kept():
    """The mode of Poisson noise lies below its mean; an aperture collects the mean."""
    photons = np.random.default_rng(4).poisson(20.0, (1024, 1024)).astype(np.float32)
    background = estimate_background(Image(photons))
    assert float(np.mean(background.data)) == pytest.approx(20.0, abs=0.03)


def test_gradient_is_followed():
    y = np.arange(1000)[:, None] * np.ones(1000)
    data = noise((1000, 1000)) + (0.05 * y).astype(np.float32)
    background = estimate_background(Image(data), box_pixel=64)
    residual = background.data - (100.0 + 0.05 * y)
    assert np.abs(residual[64:-64, 64:-64]).max() < 1.5
    assert abs(residual.mean()) < 0.2


def test_flagged_and_missing_pixels_do_not_count():
    data = noise()
    flags = np.zeros(data.shape, np.uint16)
    data[100:160, :] += 5000.0
    flags[100:160, :] = 1
    data[300:310, 20:30] = np.nan
    background = estimate_background(Image(data, flags=flags), box_pixel=128)
    assert np.isfinite(background.data).all()
    assert np.abs(background.data - 100.0).max() < 1.5


def test_variance_is_given_only_where_the_image_has_none(field):
    assert field.background.variance is None
    background = estimate_background(Image(noise()))
    assert background.variance is not None
    assert float(np.mean(background.variance)) == pytest.approx(25.0, rel=0.05)


def test_image_without_usable_pixels_is_refused():
    data = noise((100, 100))
    with pytest.raises(UnprocessableData, match=r"only 0\.00% of the pixels"):
        estimate_background(Image(data, flags=np.ones(data.shape, np.uint16)))


def test_image_smaller_than_a_box_is_processed():
    with collecting() as notes:
        estimate_background(Image(noise((40, 30))))
    assert notes.metrics["sky_background"] == pytest.approx(100.0, abs=1.0)
