"""Where catalogue stars are at the time of the exposure."""

from __future__ import annotations

from dataclasses import dataclass

import astropy.units as u
import erfa  # type: ignore[import-untyped]
import numpy as np
from astropy.table import QTable
from astropy.time import Time
from numpy.typing import NDArray

from csst_imaging.columns import values
from csstcore.api import UnprocessableData

UNKNOWN_MOTION_MAS_PER_YEAR = 5.0
"""Error given to stars without measured proper motion."""


@dataclass(frozen=True, slots=True)
class Stars:
    """Reference stars at one time."""

    ra_deg: NDArray[np.float64]
    dec_deg: NDArray[np.float64]
    error_mas: NDArray[np.float64]
    """Error of the position along each axis, shape (2, stars): right ascension (times the
    cosine of declination), declination."""
    magnitude: NDArray[np.float64]

    def __getitem__(self, which: NDArray[np.generic] | slice) -> Stars:
        return Stars(
            self.ra_deg[which], self.dec_deg[which], self.error_mas[:, which], self.magnitude[which]
        )

    def __len__(self) -> int:
        return self.ra_deg.size


def stars_at(table: QTable, time: Time) -> Stars:
    """Move reference stars to the time of an exposure.

    Proper motion along a great circle without radial velocity, parallax with the Earth's
    barycentric position (ERFA epv00; the survey telescope flies in a low orbit); errors of
    position and motion added in quadrature.

    Parameters
    ----------
    table
        Columns of the definition ``reference_stars``: ra, dec, ra_error, dec_error, pmra,
        pmdec, pmra_error, pmdec_error, parallax, g_mag, epoch. Missing motions count as zero
        with an error of 5 mas/yr, missing parallaxes as zero.
    time
        Time of the exposure.

    Raises
    ------
    UnprocessableData
        A column is missing.
    """
    ra, dec = values(table, "ra", u.deg), values(table, "dec", u.deg)
    years = time.jyear - values(table, "epoch", u.yr)
    motion = np.stack([values(table, n, u.mas / u.yr) for n in ("pmra", "pmdec")])
    motion_error = np.stack([values(table, n, u.mas / u.yr) for n in ("pmra_error", "pmdec_error")])
    error = np.stack([values(table, n, u.mas) for n in ("ra_error", "dec_error")])
    parallax = np.nan_to_num(values(table, "parallax", u.mas))
    if not (np.isfinite(ra) & np.isfinite(dec) & np.isfinite(years)).all():
        raise UnprocessableData("the reference stars have positions or epochs that are not numbers")
    known = np.isfinite(motion).all(axis=0)
    motion = np.where(known, motion, 0.0)
    motion_error = np.where(known, np.nan_to_num(motion_error), UNKNOWN_MOTION_MAS_PER_YEAR)
    mas = np.pi / 180.0 / 3.6e6
    a, d = np.radians(ra), np.radians(dec)
    east = np.stack([-np.sin(a), np.cos(a), np.zeros_like(a)])
    north = np.stack([-np.sin(d) * np.cos(a), -np.sin(d) * np.sin(a), np.cos(d)])
    place = np.stack([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)])
    _, barycentric = erfa.epv00(2400000.5, time.mjd)
    earth_au = np.asarray(barycentric["p"], np.float64)
    moved = place + mas * (years * (motion[0] * east + motion[1] * north))
    moved -= mas * parallax * earth_au[:, None]
    moved /= np.linalg.norm(moved, axis=0)
    return Stars(
        np.degrees(np.arctan2(moved[1], moved[0])) % 360.0,
        np.degrees(np.arcsin(moved[2])),
        np.hypot(np.nan_to_num(error, nan=100.0), years * motion_error),
        np.nan_to_num(values(table, "g_mag"), nan=99.0),
    )
