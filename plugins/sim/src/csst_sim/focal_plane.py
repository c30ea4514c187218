"""Where the sky falls on a detector: pointing, distortion and placement.

A tangent-plane offset, divided by the pixel scale and turned by the position angle, is a
field position ``u`` in pixels from the optical axis. The documented header says

    pixel = CRPIX + u,        CRPIX = (columns/2 - x_offset, rows/2 - y_offset)

with the offset of the detector in the focal plane. The truth adds distortion, a displaced and
turned detector, and a pointing that is not the commanded one:

    pixel = CRPIX + R (u + D(u) - offset) + offset + d
    D(u)  = c (u/F) (|u|/F)^2 + quadratic terms of u/F

where F is the radius of the field.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from astropy.wcs import WCS
from numpy.typing import NDArray

from csst_sim.plan import Effects, Exposure
from csst_sim.settings import Optics, Readout

_DEGREE = np.pi / 180.0
_ARCSEC = _DEGREE / 3600.0
_FIELD_STREAM = 0xF1E1D
_SLITLESS_COLUMNS = (1, 6)
_MARGIN_DEG = 0.012


def field_offset(detector: int, optics: Optics) -> tuple[float, float]:
    """Return the centre of a detector in pixels from the optical axis.

    Derived from the documented CRPIX of detectors 12 and 30; detectors are counted along
    columns of five.
    """
    row = (detector - 1) % 5 + 1
    column = 6 - (detector - 1) // 5
    x = (optics.columns + optics.gap_columns) / 2 * (2 * (column - 1) - 5)
    if column in _SLITLESS_COLUMNS:
        x += np.sign(x) * optics.slitless_shift_columns
    return float(x), float((optics.rows + optics.gap_rows) * (row - 3))


@dataclass(frozen=True)
class Placement:
    """The truth between the sky and the pixels of one detector in one exposure."""

    nominal: WCS
    """What the header says: TAN, commanded pointing, no distortion."""
    ra_deg: float
    """True pointing."""
    dec_deg: float
    angle_deg: float
    scale_arcsec: float
    reference_pixel: NDArray[np.float64]
    """CRPIX, 1-based."""
    offset: NDArray[np.float64]
    displacement: NDArray[np.float64]
    rotation: float
    """Of the detector about its centre, in radians."""
    cubic: float
    quadratic: NDArray[np.float64]
    """Shape (2, 3): coefficients of u^2, u v, v^2 for x and y."""
    field_radius: float

    def pixels(
        self, ra_deg: NDArray[np.float64], dec_deg: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the true positions of directions (ICRS), 1-based FITS pixels.

        Directions more than about 80 degrees from the pointing give NaN.
        """
        u, v = self._field(ra_deg, dec_deg)
        p, q = u / self.field_radius, v / self.field_radius
        square = p * p + q * q
        dx = self.cubic * p * square + self.quadratic[0] @ np.array([p * p, p * q, q * q])
        dy = self.cubic * q * square + self.quadratic[1] @ np.array([p * p, p * q, q * q])
        x = u + dx - self.offset[0]
        y = v + dy - self.offset[1]
        cos, sin = np.cos(self.rotation), np.sin(self.rotation)
        centre = self.reference_pixel + self.offset + self.displacement
        return centre[0] + cos * x - sin * y, centre[1] + sin * x + cos * y

    def _field(
        self, ra_deg: NDArray[np.float64], dec_deg: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return gnomonic field positions in pixels (Calabretta & Greisen 2002, 5.1.3)."""
        ra, dec = (ra_deg - self.ra_deg) * _DEGREE, dec_deg * _DEGREE
        dec0 = self.dec_deg * _DEGREE
        cosine = np.sin(dec) * np.sin(dec0) + np.cos(dec) * np.cos(dec0) * np.cos(ra)
        cosine = np.where(cosine > 0.17, cosine, np.nan)
        xi = np.cos(dec) * np.sin(ra) / cosine
        eta = (np.sin(dec) * np.cos(dec0) - np.cos(dec) * np.sin(dec0) * np.cos(ra)) / cosine
        pixel = self.scale_arcsec * _ARCSEC
        cos, sin = np.cos(self.angle_deg * _DEGREE), np.sin(self.angle_deg * _DEGREE)
        return (cos * xi + sin * eta) / pixel, (-sin * xi + cos * eta) / pixel

    def field_position(
        self, x: NDArray[np.float64], y: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return positions in the field in units of its radius, from 1-based pixels."""
        return (
            (x - self.reference_pixel[0]) / self.field_radius,
            (y - self.reference_pixel[1]) / self.field_radius,
        )


def place(
    detector: int,
    exposure: Exposure,
    effects: Effects,
    optics: Optics,
    readout: Readout,
    instrument_seed: int,
) -> Placement:
    """Draw where a detector and the telescope really point.

    Distortion depends on the instrument's seed, placement on the detector as well, pointing on
    the exposure.
    """
    offset = np.array(field_offset(detector, optics))
    reference_pixel = np.array([readout.columns / 2, readout.rows / 2]) - offset
    field = np.random.default_rng([instrument_seed, _FIELD_STREAM])
    cubic = field.uniform(*optics.distortion_cubic_pixel)
    quadratic = field.uniform(*optics.distortion_quadratic_pixel, size=(2, 3))
    chip = np.random.default_rng([instrument_seed, _FIELD_STREAM, detector])
    displacement = chip.normal(0.0, optics.chip_offset_pixel, 2)
    rotation = chip.normal(0.0, optics.chip_rotation_arcsec) * _ARCSEC
    if not effects.distortion:
        cubic, quadratic, displacement, rotation = 0.0, quadratic * 0, displacement * 0, 0.0
    pointing = np.random.default_rng([instrument_seed, _FIELD_STREAM, 0, int(exposure.obs_id)])
    east, north = pointing.normal(0.0, optics.pointing_error_arcsec, 2) / 3600.0
    roll = pointing.normal(0.0, optics.roll_error_arcsec) / 3600.0
    if not effects.pointing_error:
        east, north, roll = 0.0, 0.0, 0.0
    return Placement(
        nominal=_header_wcs(exposure, reference_pixel, optics.pixel_scale_arcsec),
        ra_deg=float((exposure.ra_deg + east / np.cos(exposure.dec_deg * _DEGREE)) % 360.0),
        dec_deg=float(np.clip(exposure.dec_deg + north, -90.0, 90.0)),
        angle_deg=float(exposure.position_angle_deg + roll),
        scale_arcsec=optics.pixel_scale_arcsec,
        reference_pixel=reference_pixel,
        offset=offset,
        displacement=displacement,
        rotation=float(rotation),
        cubic=float(cubic),
        quadratic=quadratic,
        field_radius=optics.field_radius_pixel,
    )


def _header_wcs(exposure: Exposure, reference_pixel: NDArray[np.float64], scale: float) -> WCS:
    """Return the documented TAN solution of the commanded pointing.

    The documented CD matrix is ``scale [[cos, -sin], [sin, cos]]`` of the position angle.
    """
    angle = exposure.position_angle_deg * _DEGREE
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.cunit = ["deg", "deg"]
    wcs.wcs.radesys = "ICRS"
    wcs.wcs.crpix = reference_pixel
    wcs.wcs.crval = [exposure.ra_deg, exposure.dec_deg]
    wcs.wcs.cd = (
        scale / 3600.0 * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    )
    wcs.wcs.set()
    return wcs


def footprint(
    exposure: Exposure, detector: int, optics: Optics, readout: Readout
) -> tuple[float, float, float]:
    """Return right ascension, declination and radius in degrees of a cone about a detector.

    It covers distortion, the pointing error and sources just off the edge.
    """
    offset = np.array(field_offset(detector, optics))
    reference_pixel = np.array([readout.columns / 2, readout.rows / 2]) - offset
    wcs = _header_wcs(exposure, reference_pixel, optics.pixel_scale_arcsec)
    ra, dec = wcs.wcs_pix2world([[readout.columns / 2, readout.rows / 2]], 1)[0]
    half = 0.52 * float(np.hypot(readout.columns, readout.rows))
    shift = 1.5 * optics.distortion_cubic_pixel[1]
    return float(ra), float(dec), (half + shift) * optics.pixel_scale_arcsec / 3600.0 + _MARGIN_DEG
