"""Reference stars among the sources of a catalogue, fit to calibrate fluxes."""

from __future__ import annotations

from dataclasses import dataclass

import astropy.units as u
import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from csst_imaging.columns import values
from csst_imaging.flux.reference_photometry import ReferencePhotometry, photometry_of
from csst_imaging.position.epoch import stars_at
from csst_imaging.position.matching import mutual
from csst_imaging.position.tpv import project
from csstcore.api import Table, UnprocessableData

Floats = NDArray[np.float64]

SATURATED = 4
"""SExtractor's FLAGS bit."""

EXTENDED = 0.25
"""Sources wider or narrower than the median reference star by this fraction are no stars."""

LEAST_SIGNAL_TO_NOISE = 10.0


@dataclass(frozen=True)
class Calibrators:
    """Sources with their reference stars; arrays over the pairs."""

    source: NDArray[np.intp]
    """Rows of the catalogue."""
    star: NDArray[np.intp]
    """Rows of the table of reference stars."""
    reference: ReferencePhotometry
    instrumental_mag: Floats
    """-2.5 log10 of the total flux; NaN where that is not positive."""
    instrumental_error_mag: Floats
    offset_arcsec: Floats
    """Source minus star, right ascension (on the sky) and declination; shape (2, pairs)."""
    fwhm_pixel: Floats
    clean: NDArray[np.bool_]
    """Whether nothing disturbs the flux: no flags, the width of a star, a flux."""
    why_not: dict[str, int]
    """How many pairs are not clean, by reason."""

    def __getitem__(self, which: NDArray[np.bool_]) -> Calibrators:
        return Calibrators(
            self.source[which],
            self.star[which],
            self.reference[which],
            self.instrumental_mag[which],
            self.instrumental_error_mag[which],
            self.offset_arcsec[:, which],
            self.fwhm_pixel[which],
            self.clean[which],
            self.why_not,
        )

    def __len__(self) -> int:
        return self.source.size

    def bright_enough(self, instrumental_mag: Floats) -> NDArray[np.bool_]:
        """Return which sources have enough signal to noise at the magnitudes expected of them.

        To judge by the measured fluxes would prefer those that noise made bright.
        """
        flux_over_noise = 2.5 / np.log(10.0) / self.instrumental_error_mag
        expected = flux_over_noise * 10.0 ** (0.4 * (self.instrumental_mag - instrumental_mag))
        return np.asarray(expected > LEAST_SIGNAL_TO_NOISE)


def find_calibrators(catalog: Table, stars: Table, radius_arcsec: float) -> Calibrators:
    """Match sources with reference stars moved to the time of the exposure.

    Parameters
    ----------
    catalog
        Sources with ``ra``, ``dec``, ``flux_total`` and flags.
    stars
        Reference stars.
    radius_arcsec
        Largest distance; pairs are each other's nearest.

    Raises
    ------
    UnprocessableData
        The sources have no positions on the sky or no total fluxes, or there is no time.
    """
    if catalog.meta.time is None:
        raise UnprocessableData("the catalogue has no time: stars cannot be moved to it")
    table = catalog.table
    ra, dec = values(table, "ra", u.deg), values(table, "dec", u.deg)
    # Level 1 files hold -1, -1 where there is no solution
    known = np.isfinite(ra + dec) & ~((ra == -1.0) & (dec == -1.0))
    if not known.any():
        raise UnprocessableData("the sources have no positions on the sky")
    flux, error = fluxes(table)
    if not (flux > 0).any():
        raise UnprocessableData("the sources have no total fluxes: no aperture correction")
    moved = stars_at(stars.table, catalog.meta.time)
    rows = np.flatnonzero(known)
    centre = mean_direction(ra[rows], dec[rows])
    sources = project(ra[rows], dec[rows], *centre).T * 3600.0
    away = project(moved.ra_deg, moved.dec_deg, *centre).T * 3600.0
    reach = np.abs(sources).max() + radius_arcsec
    near = np.flatnonzero((np.abs(away) <= reach).all(axis=1))
    pairs = mutual(sources, away[near], radius_arcsec)
    source, star = rows[pairs[:, 0]], near[pairs[:, 1]]
    clean, why_not = undisturbed(table, source, flux)
    bright = flux[source] > 0
    safe = np.where(bright, flux[source], 1.0)
    return Calibrators(
        source=source,
        star=star,
        reference=photometry_of(stars.table[star]),
        instrumental_mag=np.where(bright, -2.5 * np.log10(safe), np.nan),
        instrumental_error_mag=np.where(bright, 2.5 / np.log(10.0) * error[source] / safe, np.nan),
        offset_arcsec=(sources[pairs[:, 0]] - away[near][pairs[:, 1]]).T,
        fwhm_pixel=values(table, "fwhm", u.pixel)[source],
        clean=clean,
        why_not=why_not,
    )


def fluxes(table: QTable) -> tuple[Floats, Floats]:
    """Return the total fluxes and errors, whatever their unit; NaN where one is missing."""
    flux, error = values(table, "flux_total"), values(table, "flux_total_error")
    good = np.isfinite(flux) & (error > 0)
    return np.where(good, flux, np.nan), np.where(good, error, np.nan)


def mean_direction(ra: Floats, dec: Floats) -> tuple[float, float]:
    """Return the mean direction of positions, deg."""
    a, d = np.radians(ra), np.radians(dec)
    x, y, z = (np.cos(d) * np.cos(a)).mean(), (np.cos(d) * np.sin(a)).mean(), np.sin(d).mean()
    return float(np.degrees(np.arctan2(y, x)) % 360.0), float(
        np.degrees(np.arctan2(z, np.hypot(x, y)))
    )


def undisturbed(
    table: QTable, source: NDArray[np.intp], flux: Floats
) -> tuple[NDArray[np.bool_], dict[str, int]]:
    """Return which sources are clean, and how many are not for which reason."""
    flags = np.asarray(table["flags"])[source]
    fwhm = values(table, "fwhm", u.pixel)[source]
    reasons = {
        "saturated": (flags & SATURATED) != 0,
        "blended or cut": (flags & ~SATURATED) != 0,
        "with flagged pixels": np.asarray(table["flags_isophotal"])[source] != 0,
        "without a flux": ~(flux[source] > 0),
    }
    clean = ~np.logical_or.reduce(list(reasons.values()))
    if clean.any():
        middle = float(np.median(fwhm[clean]))
        reasons["extended"] = clean & ~(np.abs(fwhm - middle) <= EXTENDED * middle)
        clean = clean & ~reasons["extended"]
    return clean, {why: int(np.count_nonzero(which)) for why, which in reasons.items()}
