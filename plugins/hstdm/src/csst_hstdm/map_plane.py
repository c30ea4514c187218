"""The tangent plane of a map: its world coordinates, and the pixels around each dump."""

from __future__ import annotations

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS
from numpy.typing import NDArray

from csst_hstdm.gridding import BesselGaussian, Gaussian
from csst_hstdm.weighted_sums import Contributions
from csstcore.api import UnprocessableData

LARGEST_PIXELS = 4096
"""On a side."""


def tangent_plane(
    ra_deg: NDArray[np.float64],
    dec_deg: NDArray[np.float64],
    *,
    pixel_arcsec: float,
    margin_arcsec: float,
) -> WCS:
    """Return the plane that holds all directions, as gnomonic coordinates with their size.

    The centre is the middle of the directions; north is up and east to the left.

    Parameters
    ----------
    ra_deg, dec_deg
        Directions.
    pixel_arcsec
        Side of a pixel.
    margin_arcsec
        Around the outermost directions.

    Raises
    ------
    UnprocessableData
        If the map would be far too large.
    """
    mean = SkyCoord(ra_deg, dec_deg, unit="deg").cartesian.mean()
    centre = SkyCoord(mean, frame="icrs").spherical
    scale_deg = pixel_arcsec / 3600
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.cunit = ["deg", "deg"]
    wcs.wcs.radesys = "ICRS"
    wcs.wcs.crval = [float(centre.lon.deg), float(centre.lat.deg)]
    wcs.wcs.crpix = [0.0, 0.0]
    wcs.wcs.cdelt = [-scale_deg, scale_deg]
    place = wcs.wcs_world2pix(np.stack([ra_deg, dec_deg], axis=1), 1)
    if not np.all(np.isfinite(place)):
        raise UnprocessableData("dumps point more than 90 degrees from the middle of the map")
    low, high = place.min(axis=0), place.max(axis=0)
    size = np.ceil(high - low + 2 * margin_arcsec / pixel_arcsec).astype(int)
    if size.max() > LARGEST_PIXELS:
        raise UnprocessableData(
            f"the map would have {size[0]} x {size[1]} pixels of {pixel_arcsec:.1f} arcsec; "
            f"expected at most {LARGEST_PIXELS} on a side"
        )
    wcs.wcs.crpix = (size + 1) / 2 - (low + high) / 2
    wcs.pixel_shape = tuple(int(n) for n in size)
    return wcs


def contributions(
    wcs: WCS,
    rows: NDArray[np.intp],
    ra_deg: NDArray[np.float64],
    dec_deg: NDArray[np.float64],
    kernel: Gaussian | BesselGaussian,
    *,
    beam_arcsec: float,
) -> Contributions:
    """Return the pixels that dumps contribute to, and with which kernel.

    Parameters
    ----------
    wcs
        Of `tangent_plane`.
    rows
        The dumps.
    ra_deg, dec_deg
        Their directions.
    kernel
        In units of the beam.
    beam_arcsec
        The telescope's beam.
    """
    width, height = wcs.pixel_shape
    beam_pixel = beam_arcsec / (abs(wcs.wcs.cdelt[1]) * 3600)
    place = wcs.wcs_world2pix(np.stack([ra_deg, dec_deg], axis=1), 0)
    reach = int(np.ceil(kernel.cutoff_beam * beam_pixel))
    around = np.arange(-reach, reach + 1)
    nearest = np.round(place).astype(np.intp)
    x = nearest[:, 0, None, None] + around[None, None, :]
    y = nearest[:, 1, None, None] + around[None, :, None]
    aside_x, aside_y = place[:, 0, None, None] - x, place[:, 1, None, None] - y
    value = np.asarray(kernel(np.hypot(aside_x, aside_y) / beam_pixel), np.float32)
    used = (value != 0) & (x >= 0) & (x < width) & (y >= 0) & (y < height)
    pixel, aside_x, aside_y = np.broadcast_arrays(y * width + x, aside_x, aside_y)
    first = np.concatenate([[0], np.cumsum(used.sum(axis=(1, 2)))])
    offset = np.stack([aside_x[used], aside_y[used]]).astype(np.float32)
    return Contributions(rows, first.astype(np.intp), pixel[used], value[used], offset)


def with_frequency(
    wcs: WCS, frequency_hz: NDArray[np.float64], rest_hz: float, frame: str, *, velocity: bool
) -> WCS:
    """Return the coordinates of a cube: those of a plane with a spectral axis.

    Parameters
    ----------
    wcs
        Of the plane.
    frequency_hz
        Of the channels, equidistant.
    rest_hz
        Rest frequency.
    frame
        As in the keyword SPECSYS.
    velocity
        Radio velocity instead of frequency.
    """
    cube = WCS(naxis=3)
    step_hz = float(frequency_hz[-1] - frequency_hz[0]) / max(len(frequency_hz) - 1, 1)
    first, step, kind, unit = float(frequency_hz[0]), step_hz, "FREQ", "Hz"
    if velocity:
        first, step = 299792458.0 * (1 - first / rest_hz), -299792458.0 * step_hz / rest_hz
        kind, unit = "VRAD", "m/s"
    cube.wcs.ctype = [*wcs.wcs.ctype, kind]
    cube.wcs.cunit = ["deg", "deg", unit]
    cube.wcs.crpix = [*wcs.wcs.crpix, 1.0]
    cube.wcs.crval = [*wcs.wcs.crval, first]
    cube.wcs.cdelt = [*wcs.wcs.cdelt, step]
    cube.wcs.radesys, cube.wcs.restfrq, cube.wcs.specsys = "ICRS", rest_hz, frame
    cube.pixel_shape = (*wcs.pixel_shape, len(frequency_hz))
    cube.wcs.set()
    return cube
