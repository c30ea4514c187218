"""Islands, blends and the filter against plain numpy and scipy."""

from __future__ import annotations

import time

import numpy as np
import pytest
from scipy.ndimage import convolve, label

from csst_imaging.detection.blends import part_islands
from csst_imaging.detection.filtering import bright_pixels, gaussian_profile


def pixels(data, threshold=1.5, sigma=1.0):
    data = np.ascontiguousarray(data, np.float32)
    planes = data, np.zeros_like(data), np.full_like(data, sigma**2)
    return bright_pixels(*planes, gaussian_profile(2.0), threshold, 0, len(data))


def star(shape, x, y, flux, sigma=1.2):
    row, column = np.mgrid[: shape[0], : shape[1]]
    radius2 = (column - x) ** 2 + (row - y) ** 2
    return flux / (2 * np.pi * sigma**2) * np.exp(-0.5 * radius2 / sigma**2)


def test_filter_and_threshold_are_those_of_a_plain_convolution():
    data = np.random.default_rng(1).normal(0.0, 1.0, (90, 130)).astype(np.float32)
    profile = gaussian_profile(2.0)
    smooth = convolve(data, np.outer(profile, profile), mode="constant")
    row, column, value, limit = pixels(data, threshold=0.7)
    np.testing.assert_array_equal(np.flatnonzero(smooth > 0.7), row * 130 + column)
    np.testing.assert_allclose(value, smooth[row, column], rtol=1e-5)
    np.testing.assert_allclose(limit, 0.7, rtol=1e-6)


def test_islands_are_those_of_scipy():
    data = np.random.default_rng(2).normal(0.0, 1.0, (200, 150))
    row, column, value, limit = pixels(data, threshold=0.4)
    source, blended, _ = part_islands(row, column, value, limit, 1, 1.0)
    mask = np.zeros(data.shape, bool)
    mask[row, column] = True
    expected, number = label(mask, np.ones((3, 3)))
    assert len(blended) == number
    assert not blended.any()
    pairs = set(zip(source.tolist(), expected[row, column].tolist(), strict=True))
    assert len(pairs) == number


@pytest.mark.parametrize(("distance", "sources"), [(1.5, 1), (5.0, 2), (6.0, 2)])
def test_two_stars_are_parted_once_there_is_a_saddle(distance, sources):
    data = star((40, 40), 15.0, 20.0, 900.0) + star((40, 40), 15.0 + distance, 20.0, 700.0)
    source, blended, _ = part_islands(*pixels(data), 4, 0.005)
    assert len(blended) == sources
    assert blended.all() == (sources == 2)
    assert source.min() == 0


def test_faint_companion_counts_only_above_the_contrast():
    data = star((50, 50), 20.0, 25.0, 20_000.0) + star((50, 50), 28.5, 25.0, 300.0)
    bright = pixels(data)
    assert len(part_islands(*bright, 4, 0.005)[1]) == 2
    assert len(part_islands(*bright, 4, 0.05)[1]) == 1


def test_noise_on_the_wings_of_a_bright_source_is_no_source():
    rng = np.random.default_rng(3)
    light = star((200, 200), 100.0, 100.0, 4e6, sigma=15.0)
    data = light + rng.normal(0.0, 1.0, light.shape)
    assert len(part_islands(*pixels(data), 4, 1e-6)[1]) == 1


def test_a_field_that_is_all_above_the_threshold_takes_no_longer_than_its_pixels():
    rng = np.random.default_rng(4)
    data = 50.0 + rng.normal(0.0, 5.0, (600, 600))
    part_islands(*pixels(data[:50]), 4, 0.005)
    start = time.process_time()
    source, _, _ = part_islands(*pixels(data), 4, 0.0001)
    assert source.size > 350_000
    assert time.process_time() - start < 5.0


def test_empty_sky_has_no_islands():
    source, blended, margin = part_islands(*pixels(np.zeros((20, 20))), 4, 0.005)
    assert source.size == blended.size == margin.size == 0
