"""Pixels whose dumps lie to one side show the sky of another place: they are border."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from csst_hstdm.spectral_map import MAP_FLAG_BITS
from csst_hstdm.stages.grid_spectra import CENTROID_KERNELS, grid_spectra

from .test_maps import CENTRE, dumps_at, gridding, raster, receiver  # noqa: F401


@pytest.mark.parametrize("slope", [1.0, -2.0])
def test_inner_pixels_show_their_own_place(receiver, gridding, slope):  # noqa: F811
    """A sky that rises evenly, without any limit to the weight: the centroid alone tells."""
    gridding = replace(gridding, border_fraction=1e-9)
    beam = float(receiver.beam_fwhm_arcsec(461.0407682e9))
    where = raster(beam, 4.0, 5.0)
    east = CENTRE.spherical_offsets_to(where)[0].arcsec / beam
    flux = np.repeat(slope * east[:, None], 8, axis=1)
    cube = grid_spectra([dumps_at(where, flux)], receiver, gridding)
    y, x = np.mgrid[: cube.data.shape[1], : cube.data.shape[2]]
    sky = cube.wcs.celestial.pixel_to_world(x, y)
    off = np.abs(cube.data[4] / slope - CENTRE.spherical_offsets_to(sky)[0].arcsec / beam)
    border = (cube.flags[4] & MAP_FLAG_BITS["border"]) != 0
    seen = np.isfinite(off)
    limit = CENTROID_KERNELS * gridding.gaussian.width_beam
    assert np.max(off[seen & ~border]) < 1.1 * limit
    assert np.max(off[seen]) > 2 * limit
    assert np.count_nonzero(seen & ~border) > 100
