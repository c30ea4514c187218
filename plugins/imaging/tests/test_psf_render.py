"""Images of point sources from the oversampled samples."""

from __future__ import annotations

import numpy as np
import pytest

from csst_imaging.psf.render import polynomial, psf_at, render_psf
from csst_imaging.psf.spline import coefficients, node_values
from csstcore.api import Psf

ZERO, SCALE = (500.0, 600.0), (400.0, 300.0)


def gaussian(x, y, sigma):
    return np.exp(-0.5 * (x**2 + y**2) / sigma**2) / (2 * np.pi * sigma**2)


def make_psf(step: float = 0.47) -> Psf:
    """A Gaussian whose amplitude of a second, wider one grows along x, and u v alike."""
    line = (np.arange(71) - 35) * step
    y, x = np.meshgrid(line, line, indexing="ij")
    samples = np.zeros((6, 71, 71), np.float32)
    wider = gaussian(x, y, 1.2) - gaussian(x, y, 0.95)
    samples[0] = gaussian(x, y, 0.95)
    samples[1] = 0.1 * wider
    samples[4] = 0.2 * wider
    return Psf(samples, step, 2, ZERO, SCALE)


def truth(x0: float, y0: float, size: int):
    u, v = (x0 - ZERO[0]) / SCALE[0], (y0 - ZERO[1]) / SCALE[1]
    part = 0.1 * u + 0.2 * u * v
    start = np.floor([x0 + 0.5, y0 + 0.5]) - size // 2
    x, y = np.meshgrid(start[0] + np.arange(size) - x0, start[1] + np.arange(size) - y0)
    return (1 - part) * gaussian(x, y, 0.95) + part * gaussian(x, y, 1.2)


@pytest.mark.parametrize("size", [25, 24, 61])
def test_a_stamp_is_the_source_at_its_place_between_the_pixels(size):
    x, y = np.array([500.0, 713.37, 12.5, 99.49]), np.array([600.5, 411.21, 880.0, 1000.99])
    stamps = render_psf(make_psf(), x, y, size)
    expected = np.array([truth(*place, size) for place in zip(x, y, strict=True)])
    assert stamps.dtype == np.float32
    np.testing.assert_allclose(stamps, expected, atol=2e-4 * expected.max())


def test_the_flux_in_a_large_stamp_does_not_depend_on_the_phase():
    x, y = np.random.default_rng(1).uniform(100, 900, (2, 200))
    np.testing.assert_allclose(render_psf(make_psf(), x, y, 45).sum((1, 2)), 1.0, atol=3e-6)


def test_beyond_the_samples_there_is_no_light():
    stamp = render_psf(make_psf(0.2), np.array([500.0]), np.array([600.0]), 41)[0]
    assert not stamp[:12].any()
    assert not stamp[:, 29:].any()
    assert stamp[20, 20] > 0


def test_samples_at_a_position_are_the_polynomial():
    psf = make_psf()
    expected = psf.samples[0] + 0.5 * psf.samples[1] - 0.5 * psf.samples[4]
    at = psf_at(psf, np.array([700.0]), np.array([300.0]))
    np.testing.assert_allclose(at[0], expected, atol=1e-7)
    np.testing.assert_array_equal(
        polynomial(np.array([2.0]), np.array([3.0]), 2)[0], [1, 2, 4, 3, 6, 9]
    )


def test_positions_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="finite"):
        render_psf(make_psf(), np.array([np.nan]), np.array([1.0]), 25)


def test_coefficients_stand_for_their_samples():
    samples = np.random.default_rng(2).normal(size=(2, 9, 13))
    np.testing.assert_allclose(node_values(coefficients(samples)), samples, atol=1e-6)
