"""The true map that on-the-fly dumps were taken from."""

from __future__ import annotations

from typing import Annotated

import astropy.units as u
import numpy as np
from astropy.wcs import WCS

from csst_sim.hstdm.orbit import blue_shift
from csst_sim.hstdm.session import HstdmSession
from csst_sim.hstdm.sky import beam_fwhm_arcsec, main_beam_kelvin
from csstcore.api import Cube, NotApplicable

_PIXELS_PER_BEAM = 3.0
_FAINTEST = 1e-4


def record_sky_map(session: HstdmSession) -> Annotated[Cube, "map_truth"]:
    """Record the true map of an on-the-fly observation, as the telescope's beam sees it.

    Parameters
    ----------
    session
        The observation.

    Returns
    -------
    map_truth
        Main-beam brightness in kelvin, shape (channels, y, x), at the local standard of rest;
        channels without a line are left out.

    Raises
    ------
    NotApplicable
        If the observation is no map, or the sky has no line in the band.
    """
    if session.observation.file_type != "OTFM":
        raise NotApplicable("the observation is no map")
    settings, rest_hz = session.settings, session.plan.line_ghz * 1e9
    step = beam_fwhm_arcsec(rest_hz, settings.aperture_m, settings.beam_factor) / _PIXELS_PER_BEAM
    on = session.schedule.offset_arcsec[session.schedule.state == "ON"]
    half = np.ceil(np.abs(on).max(axis=0) / step).astype(int)
    east, north = np.meshgrid(
        np.arange(half[0], -half[0] - 1, -1), np.arange(-half[1], half[1] + 1)
    )
    offsets = step * np.stack([east.ravel(), north.ravel()], axis=-1)
    lsrk = session.signal_hz / blue_shift(session.approach_kms.mean())
    brightness = main_beam_kelvin(
        session.plan.source, offsets, lsrk[None, :], settings.aperture_m, settings.beam_factor
    )
    seen = np.flatnonzero(brightness.max(axis=0) > _FAINTEST * brightness.max())
    if not brightness.any():
        raise NotApplicable("the sky has no line in the band")
    part = slice(int(seen[0]), int(seen[-1]) + 1)
    wcs = WCS(naxis=3)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN", "FREQ"]
    wcs.wcs.cunit = ["deg", "deg", "Hz"]
    wcs.wcs.crval = [session.observation.ra_deg, session.observation.dec_deg, lsrk[part.start]]
    wcs.wcs.crpix = [half[0] + 1, half[1] + 1, 1]
    wcs.wcs.cdelt = [-step / 3600, step / 3600, lsrk[1] - lsrk[0]]
    wcs.wcs.restfrq, wcs.wcs.specsys = rest_hz, "LSRK"
    cube = brightness[:, part].T.reshape(-1, *east.shape)
    return Cube(np.ascontiguousarray(cube, np.float32), u.K, wcs=wcs, meta=session.meta)
