"""Pixels whose dumps lie to one side show the sky of another place: they are border."""

from __future__ import annotations

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.table import QTable

from csst_hstdm.gridding import BesselGaussian, Gaussian, Gridding
from csst_hstdm.spectral_map import MAP_FLAG_BITS
from csst_hstdm.stages.grid_spectra import CENTROID_KERNELS, grid_spectra
from csstcore.api import Meta, Spectra

CENTRE = SkyCoord(10.68, 41.27, unit="deg")
REST_HZ, STEP_HZ = 461.0407682e9, 73242.1875
GRIDDING = Gridding(4.0, 1e-9, Gaussian(1 / 3, 0.5), BesselGaussian(0.52, 0.84, 1.0))


@pytest.mark.parametrize("slope", [1.0, -2.0])
def test_inner_pixels_show_their_own_place(receiver, slope):
    """A sky that rises evenly, without any limit to the weight: the centroid alone tells."""
    beam = float(receiver.beam_fwhm_arcsec(REST_HZ))
    x, y = (plane.ravel() for plane in np.meshgrid(*[np.arange(-2, 2, 0.2)] * 2))
    where = CENTRE.spherical_offsets_by(x * beam * u.arcsec, y * beam * u.arcsec).icrs
    rows = QTable({"state": ["ON"] * len(x), "flag": np.zeros(len(x), np.int32)})
    rows["ra"], rows["dec"], rows["frame"] = where.ra, where.dec, "LSRK"
    rows["rest_frequency"], rows["exposure_time"] = REST_HZ * u.Hz, 1.0 * u.s
    rows["t_sys"] = 300.0 * u.K
    flux = np.repeat(slope * x[:, None], 8, axis=1).astype(np.float32)
    axis = (6_294_700 + np.arange(8)) * STEP_HZ * u.Hz
    one, none = np.ones_like(flux), np.zeros(flux.shape, np.uint16)
    dumps = Spectra(
        flux, axis, u.K, rows=rows, meta=Meta(project_id="P1"), variance=one, flags=none
    )
    cube = grid_spectra([dumps], receiver, GRIDDING)
    row, column = np.mgrid[: cube.data.shape[1], : cube.data.shape[2]]
    sky = cube.wcs.celestial.pixel_to_world(column, row)
    off = np.abs(cube.data[4] / slope - CENTRE.spherical_offsets_to(sky)[0].arcsec / beam)
    border = (cube.flags[4] & MAP_FLAG_BITS["border"]) != 0
    seen = np.isfinite(off)
    limit = CENTROID_KERNELS * GRIDDING.gaussian.width_beam
    assert np.max(off[seen & ~border]) < 1.1 * limit
    assert np.max(off[seen]) > 2 * limit
    assert np.count_nonzero(seen & ~border) > 100
