"""Models of non-negative components."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from csst_cpic.star.klip import reduce_cube
from csst_cpic.star.nmf import nmf_models

from .test_star_subtraction import ANGLES, SETTINGS, speckles


def test_what_is_left_of_frames_has_no_level():
    """The flux of a companion is what stands out of its ring: a level would count as flux."""
    rng = np.random.default_rng(3)
    light = rng.gamma(1.0, size=(4, 300)) - 0.3  # fainter than the background taken off, in parts
    references = rng.gamma(1.0, size=(25, 4)) @ light + 0.2 * rng.standard_normal((25, 300))
    frames = references[:10] + 0.2 * rng.standard_normal((10, 300))
    left = frames - nmf_models(frames, references[10:], np.ones((10, 15), bool), 3)
    np.testing.assert_allclose(left.mean(axis=1), 0.0, atol=1e-9)
    assert left.std() < 0.7 * frames.std()


def test_a_frame_that_a_library_gives_again_leaves_nothing():
    cube = speckles(24, noise=0.1)
    settings = replace(SETTINGS, method="nmf", mode="rdi", sectors=1, annulus_width_pixel=12.0)
    image = reduce_cube(cube[:20], ANGLES, settings, cube).image
    assert np.nanstd(image) < 0.02 * cube.std()
