"""Where catalogue stars are at the time of the exposure, and how well that is known."""

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

UNKNOWN_POSITION_MAS = 100.0
UNKNOWN_PARALLAX_MAS = 1.0
KM_PER_S_AU_PER_YEAR = 4.740470446
"""One astronomical unit per Julian year, in km/s."""

MAS = np.pi / 180.0 / 3.6e6
PARAMETERS = ("ra", "dec", "parallax", "pmra", "pmdec")


@dataclass(frozen=True, slots=True)
class Stars:
    """Reference stars at one time."""

    ra_deg: NDArray[np.float64]
    dec_deg: NDArray[np.float64]
    covariance_mas2: NDArray[np.float64]
    """Covariance of right ascension (times the cosine of declination) and declination, shape
    (3, stars): east-east, east-north, north-north."""
    magnitude: NDArray[np.float64]

    def __getitem__(self, which: NDArray[np.generic] | slice) -> Stars:
        return Stars(
            self.ra_deg[which],
            self.dec_deg[which],
            self.covariance_mas2[:, which],
            self.magnitude[which],
        )

    def __len__(self) -> int:
        return self.ra_deg.size

    @property
    def error_mas(self) -> NDArray[np.float64]:
        """Errors of right ascension (times the cosine of declination) and declination, (2, n)."""
        return np.sqrt(self.covariance_mas2[::2])


def stars_at(table: QTable, time: Time) -> Stars:
    """Move reference stars to the time of an exposure, with the covariance of their positions.

    Uniform motion in space (ESA 1997, The Hipparcos Catalogue, vol. 1, 1.5.5; Butkevich &
    Lindegren 2014, A&A 570, A62), parallax with the Earth's barycentric position (ERFA epv00;
    the survey telescope flies in a low orbit, 0.05 mas at a parallax of 1 arcsec). The
    covariance is that of the five parameters with their correlations, propagated by the
    derivatives of both.

    Parameters
    ----------
    table
        Columns of the definition ``reference_stars``; of these ``parallax_error``,
        ``radial_velocity`` and the correlations are optional (taken as zero). Missing
        motions count as zero with an error of 5 mas/yr, missing parallaxes with one of 1 mas.
    time
        Time of the exposure; the 70 s between UTC and the scale of the catalogue are left out.

    Raises
    ------
    UnprocessableData
        A column is missing, or positions or epochs are not numbers.
    """
    ra, dec = values(table, "ra", u.deg), values(table, "dec", u.deg)
    years = time.jyear - values(table, "epoch", u.yr)
    if not (np.isfinite(ra) & np.isfinite(dec) & np.isfinite(years)).all():
        raise UnprocessableData("the reference stars have positions or epochs that are not numbers")
    motion = np.stack([values(table, n, u.mas / u.yr) for n in ("pmra", "pmdec")])
    motion = np.where(np.isfinite(motion).all(axis=0), motion, 0.0)
    parallax = np.nan_to_num(values(table, "parallax", u.mas))
    radial = np.zeros_like(ra)
    if "radial_velocity" in table.colnames:
        radial = np.nan_to_num(values(table, "radial_velocity", u.km / u.s))
    a, d = np.radians(ra), np.radians(dec)
    place = np.stack([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)])
    east, north = directions(a, d)
    pace = motion[0] * MAS * east + motion[1] * MAS * north
    approach = radial * parallax * MAS / KM_PER_S_AU_PER_YEAR
    straight = place * (1.0 + approach * years) + pace * years
    factor = 1.0 / np.linalg.norm(straight, axis=0)
    _, barycentric = erfa.epv00(2400000.5, time.mjd)
    earth_au = np.asarray(barycentric["p"], np.float64)
    seen = straight * factor - MAS * parallax * earth_au[:, None]
    seen /= np.linalg.norm(seen, axis=0)
    new_ra, new_dec = np.arctan2(seen[1], seen[0]), np.arcsin(seen[2])
    by_parallax = place * (factor * years * radial / KM_PER_S_AU_PER_YEAR) - earth_au[:, None]
    turn, drift = (1.0 + approach * years) * factor, years * factor
    steps = (east * turn, north * turn, by_parallax, east * drift, north * drift)
    jacobian = np.stack(
        [
            np.stack([np.sum(axis * step, axis=0) for step in steps], axis=-1)
            for axis in directions(new_ra, new_dec)
        ],
        axis=1,
    )
    covariance = jacobian @ parameter_covariance(table) @ jacobian.transpose(0, 2, 1)
    return Stars(
        np.degrees(new_ra) % 360.0,
        np.degrees(new_dec),
        np.stack([covariance[:, 0, 0], covariance[:, 0, 1], covariance[:, 1, 1]]),
        np.nan_to_num(values(table, "g_mag"), nan=99.0),
    )


def directions(
    ra: NDArray[np.float64], dec: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the unit vectors towards east and north at directions in radians, (3, n) each."""
    east = np.stack([-np.sin(ra), np.cos(ra), np.zeros_like(ra)])
    north = np.stack([-np.sin(dec) * np.cos(ra), -np.sin(dec) * np.sin(ra), np.cos(dec)])
    return east, north


def parameter_covariance(table: QTable) -> NDArray[np.float64]:
    """Return the covariance of the five parameters in mas and mas/yr, shape (stars, 5, 5)."""
    unknown = {
        "ra": UNKNOWN_POSITION_MAS,
        "dec": UNKNOWN_POSITION_MAS,
        "parallax": UNKNOWN_PARALLAX_MAS,
        "pmra": UNKNOWN_MOTION_MAS_PER_YEAR,
        "pmdec": UNKNOWN_MOTION_MAS_PER_YEAR,
    }
    moving = np.isfinite(values(table, "pmra")) & np.isfinite(values(table, "pmdec"))
    errors = []
    for name in PARAMETERS:
        if name == "parallax" and "parallax_error" not in table.colnames:
            errors.append(np.where(np.isfinite(values(table, name)), 0.0, unknown[name]))
            continue
        unit = u.mas / u.yr if name.startswith("pm") else u.mas
        error = values(table, f"{name}_error", unit)
        known = np.isfinite(error) & (moving if name.startswith("pm") else True)
        errors.append(np.where(known, error, unknown[name]))
    correlation = np.broadcast_to(np.eye(5), (len(table), 5, 5)).copy()
    for i, first in enumerate(PARAMETERS):
        for j, second in enumerate(PARAMETERS[i + 1 :], start=i + 1):
            name = f"{first}_{second}_corr"
            if name in table.colnames:
                column = np.clip(np.nan_to_num(values(table, name)), -1.0, 1.0)
                correlation[:, i, j] = correlation[:, j, i] = column
    error = np.stack(errors, axis=-1)
    covariance: NDArray[np.float64] = correlation * error[:, :, None] * error[:, None, :]
    return covariance
