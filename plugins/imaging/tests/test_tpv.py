"""TPV solutions of composite maps."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from csst_imaging.position.tpv import Plane, deproject, pixel_nodes, project, tangent_wcs, tpv_of

ANGLE = np.radians(113.4333)
CD = 0.074 / 3600 * np.array([[np.cos(ANGLE), -np.sin(ANGLE)], [np.sin(ANGLE), np.cos(ANGLE)]])
SHAPE = (9232, 9216)


def warped(pixel: np.ndarray, degree: int) -> np.ndarray:
    """A map with terms of a degree."""
    x, y = ((pixel - 4612.0) / 4612.0).T
    high = np.stack([x**degree + x * y ** (degree - 1), y**degree - x ** (degree - 1) * y], axis=-1)
    return pixel + np.stack([60.0 * x - 20.0 * y + 90.0, 20.0 * x + 60.0 * y], axis=-1) + high


@pytest.mark.parametrize("degree", [2, 3, 4, 5, 7])
def test_a_polynomial_map_is_held_exactly(degree):
    plane = Plane(np.array([-25000.0, 14746.0]), 150.0, -40.0, CD)
    nodes = pixel_nodes(SHAPE)
    wcs, used, error_mas = tpv_of(plane, nodes, warped(nodes, degree))
    assert used == degree
    assert error_mas < 1e-3
    rng = np.random.default_rng(1)
    pixel = rng.uniform(1, SHAPE, (300, 2))
    expected = np.stack(plane.world(warped(pixel, degree)), axis=-1)
    header = fits.Header.fromstring(wcs.to_header(relax=True).tostring())
    found = WCS(header).wcs_pix2world(pixel, 1)
    np.testing.assert_allclose(found, expected, atol=0.02 / 3.6e6)
    np.testing.assert_allclose(wcs.wcs_world2pix(expected, 1), pixel, atol=1e-4)


def test_the_error_of_what_no_degree_holds_is_told():
    plane = Plane(np.array([4608.0, 4616.0]), 10.0, 60.0, CD)
    nodes = pixel_nodes(SHAPE)
    ideal = nodes + 0.1 * np.sin(nodes / 150.0)
    wcs, _, error_mas = tpv_of(plane, nodes, ideal)
    assert error_mas > 2.0
    true = np.stack(plane.world(ideal), axis=-1)
    wrong = (wcs.wcs_pix2world(nodes, 1) - true) * [np.cos(np.radians(60.0)), 1.0] * 3.6e6
    assert np.hypot(*wrong.T).max() == pytest.approx(error_mas, rel=0.02)


def test_projection_and_its_inverse_agree_with_wcslib():
    rng = np.random.default_rng(3)
    plane = rng.uniform(-1, 1, (2, 100))
    ra, dec = deproject(plane, 200.0, -75.0)
    np.testing.assert_allclose(project(ra, dec, 200.0, -75.0), plane, atol=1e-11)
    wcs = tangent_wcs((0.0, 0.0), 200.0, -75.0, np.eye(2))
    np.testing.assert_allclose(np.stack([ra, dec], axis=-1), wcs.wcs_pix2world(plane.T, 1))


def test_the_plane_of_another_projection_touches_it_at_the_centre():
    wcs = tangent_wcs((500.0, 500.0), 80.0, 20.0, CD)
    wcs.wcs.ctype = ["RA---ZEA", "DEC--ZEA"]
    wcs.wcs.set()
    at = np.array([200.0, 700.0])
    plane = Plane.of(wcs, at)
    near = at + np.array([[3.0, -2.0], [-4.0, 1.0]])
    ideal = plane.seen(*wcs.all_pix2world(near, 1).T)
    np.testing.assert_allclose(ideal, near, atol=1e-5)


def test_covariances_turn_with_the_plane():
    plane = Plane(np.zeros(2), 0.0, 0.0, CD)
    sky = np.array([[4.0], [1.5], [2.0]])
    rng = np.random.default_rng(1)
    drawn = rng.multivariate_normal([0, 0], [[4.0, 1.5], [1.5, 2.0]], 200000) / 3.6e6
    pixel = np.cov(np.linalg.inv(CD) @ drawn.T)
    found = plane.covariance_pixel2(sky)[:, 0]
    np.testing.assert_allclose(found, [pixel[0, 0], pixel[0, 1], pixel[1, 1]], rtol=0.02, atol=2e-6)
