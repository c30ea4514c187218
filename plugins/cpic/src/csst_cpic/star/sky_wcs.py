"""World coordinates of an image with the star on its central pixel."""

from __future__ import annotations

import astropy.units as u
from astropy.wcs import WCS

from csst_cpic.star.sky_frame import central_pixel
from csstcore.api import Meta


def sky_wcs(meta: Meta, shape: tuple[int, int], pixel_scale_arcsec: float | None) -> WCS | None:
    """Return the tangent plane of an image with North up and East left.

    Parameters
    ----------
    meta
        Gives the star's place on the sky.
    shape
        Rows and columns.
    pixel_scale_arcsec
        Angle of a pixel.

    Returns
    -------
    WCS or None
        None where the place or the scale is not known.
    """
    ra, dec = meta.right_ascension, meta.declination
    if ra is None or dec is None or pixel_scale_arcsec is None:
        return None
    row, column = central_pixel(shape)
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.cunit = ["deg", "deg"]
    wcs.wcs.crval = [ra.to_value(u.deg), dec.to_value(u.deg)]
    wcs.wcs.crpix = [column + 1, row + 1]
    wcs.wcs.cdelt = [-pixel_scale_arcsec / 3600, pixel_scale_arcsec / 3600]
    wcs.pixel_shape = (shape[1], shape[0])
    return wcs
