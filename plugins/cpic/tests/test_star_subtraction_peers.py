"""The same residual as pyKLIP with the same settings."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from csst_cpic.planets.aperture_noise import aperture_sums, ratios
from csst_cpic.star.klip import reduce_cube

from .test_star_subtraction import ANGLES, FWHM, SETTINGS, SIZE, companion, speckles


@pytest.mark.oracle
@pytest.mark.parametrize("most_correlated", [0, 6])
def test_a_companion_stands_out_as_with_pyklip(most_correlated):
    parallelized = pytest.importorskip("pyklip.parallelized")
    cube = speckles() + companion(15.0, 60.0, 9.0) + companion(21.0, 200.0, 6.0)
    settings = replace(SETTINGS, most_correlated=most_correlated)
    own = reduce_cube(cube, ANGLES, settings)
    frames, middle = len(cube), SIZE // 2
    centres = np.full((frames, 2), float(middle))
    left = parallelized.klip_parallelized_lite(
        cube.astype(float),
        centres,
        ANGLES,
        np.ones(frames),
        np.arange(frames),
        settings.inner_radius_pixel,
        OWA=settings.outer_radius_pixel,
        mode="ADI",
        annuli=4,
        subsections=settings.sectors,
        movement=settings.exclusion_fwhm * FWHM,
        numbasis=np.array([settings.components]),
        maxnumbasis=most_correlated or frames,
        corr_smooth=0,
        aligned_center=[middle, middle],
        numthreads=1,
        dtype=np.ctypeslib.as_ctypes_type(np.float64),
    )
    theirs = parallelized.rotate_imgs(
        np.asarray(left[0]).reshape(frames, SIZE, SIZE), ANGLES, centres, [middle, middle], 1
    )
    inside = np.isfinite(own.image) & np.isfinite(theirs).all(axis=0)
    image = np.where(inside, np.nan_to_num(theirs).mean(axis=0), np.nan).astype(np.float32)
    for separation, angle in ((15.0, 60.0), (21.0, 200.0)):
        turn = np.radians(angle)
        place = middle + separation * np.array([[np.cos(turn)], [-np.sin(turn)]])
        (value,), (peer,) = (
            ratios(aperture_sums(each, FWHM), FWHM, *place)[0] for each in (own.image, image)
        )
        assert peer > 5
        assert value == pytest.approx(peer, rel=0.01)
