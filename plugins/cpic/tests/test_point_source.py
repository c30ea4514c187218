"""Sources put into a cube are where the sky says, and have the flux they should."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import j1

from csst_cpic.planets.point_source import PointSource
from csst_cpic.star.sky_frame import to_offsets, to_polar

FWHM_PIXEL = 3.6


def airy(size: int, dx: float = 0.0, dy: float = 0.0) -> np.ndarray:
    y, x = np.mgrid[:size, :size] - size // 2
    radius = np.pi * np.hypot(x - dx, y - dy) / (FWHM_PIXEL / 1.029) + 1e-12
    return ((2 * j1(radius) / radius) ** 2).astype(np.float32)


def source(angles_deg: list[float], scales: list[float]) -> PointSource:
    return PointSource.of(airy(31), np.array(angles_deg), np.array(scales))


def test_east_is_left_of_north() -> None:
    assert np.round(to_offsets(10.0, [0.0, 90.0]), 9).tolist() == [[0.0, -10.0], [10.0, 0.0]]


def test_a_frame_turned_east_shows_the_sky_turned_clockwise() -> None:
    dx, dy = to_offsets(10.0, 90.0, 90.0)
    assert (dx, dy) == (pytest.approx(0.0), pytest.approx(10.0))


def test_polar_offsets_come_back() -> None:
    assert to_polar(*to_offsets(7.0, 211.0)) == (pytest.approx(7.0), pytest.approx(211.0))


def test_a_source_is_an_image_moved_by_parts_of_a_pixel() -> None:
    cube = np.zeros((2, 51, 51), np.float32)
    source([0.0, 33.0], [1.0, 2.5]).add(cube, 0.5, 9.3, 120.0)
    for frame, angle, scale in zip(cube, (0.0, 33.0), (1.0, 2.5), strict=True):
        true = 0.5 * scale * airy(51, *map(float, to_offsets(9.3, 120.0, angle)))
        near = true > 0.01 * true.max()
        assert np.abs(frame - true)[near].max() < 5e-4 * true.max()


def test_what_is_added_can_be_taken_away() -> None:
    cube = np.random.default_rng(1).normal(size=(2, 41, 41)).astype(np.float32)
    changed = cube.copy()
    source([0.0, 10.0], [1.0, 1.0]).add(changed, 3.0, 8.0, 20.0)
    assert np.abs(changed - cube).max() > 1
    source([0.0, 10.0], [1.0, 1.0]).add(changed, -3.0, 8.0, 20.0)
    assert np.abs(changed - cube).max() < 1e-5


@pytest.mark.parametrize("separation_pixel", [19.0, 60.0])
def test_a_source_at_the_border_or_beyond_loses_what_is_outside(separation_pixel: float) -> None:
    cube = np.zeros((1, 41, 41), np.float32)
    source([0.0], [1.0]).add(cube, 1.0, separation_pixel, 0.0)
    assert np.isfinite(cube).all()
    assert (cube.sum() > 0) == (separation_pixel < 40)
