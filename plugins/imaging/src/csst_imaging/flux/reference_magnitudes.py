"""What magnitudes reference stars have in the filter of an exposure."""

from __future__ import annotations

from dataclasses import dataclass

import astropy.units as u
import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from csst_imaging.columns import values
from csst_imaging.flux.colour_terms import ColourTerms
from csst_imaging.flux.passbands import SPECTRUM_WAVELENGTH_NM, Passband, synthetic_magnitudes
from csst_imaging.flux.reference_photometry import ReferencePhotometry
from csstcore.api import UnprocessableData

Floats = NDArray[np.float64]

SPECTRUM_SYSTEMATIC_MAG = 0.01
"""Error of a single synthetic magnitude beyond that of its spectrum (Gaia Collaboration,
Montegriffo et al. 2023, A&A 674, A33: standardised photometry agrees to about 10 mmag)."""


@dataclass(frozen=True)
class ReferenceMagnitudes:
    """Arrays over stars; NaN where a star's magnitude is not known."""

    magnitude: Floats
    variance: Floats
    """Known part of the variance."""
    from_spectrum: NDArray[np.bool_]

    @property
    def known(self) -> NDArray[np.bool_]:
        """Which stars have a magnitude."""
        return np.asarray(np.isfinite(self.magnitude + self.variance))


def reference_magnitudes(
    stars: QTable,
    photometry: ReferencePhotometry,
    terms: ColourTerms | None,
    passband: Passband | None,
) -> ReferenceMagnitudes:
    """Take magnitudes from spectra that span the filter, others from the colour terms.

    Parameters
    ----------
    stars
        Rows of the table of reference stars.
    photometry
        Their photometry.
    terms
        Relation of the filter to Gaia's photometry.
    passband
        Throughput of the filter, for stars with a column ``spectrum``.
    """
    magnitude, variance = np.full(len(stars), np.nan), np.full(len(stars), np.nan)
    if terms is not None:
        valid = terms.valid(photometry)
        magnitude[valid], variance[valid] = terms.predict(photometry[valid])
    from_spectrum = np.zeros(len(stars), np.bool_)
    if passband is not None and "spectrum" in stars.colnames and len(stars):
        mag, error = spectrum_magnitudes(stars, passband)
        from_spectrum = np.isfinite(mag + error)
        magnitude[from_spectrum] = mag[from_spectrum]
        variance[from_spectrum] = error[from_spectrum] ** 2 + SPECTRUM_SYSTEMATIC_MAG**2
    return ReferenceMagnitudes(magnitude, variance, from_spectrum)


def spectrum_magnitudes(stars: QTable, passband: Passband) -> tuple[Floats, Floats]:
    """Return the synthetic magnitudes of the stars' spectra, NaN for stars without one."""
    unit = u.W / u.m**2 / u.nm
    flux, error = values(stars, "spectrum", unit), values(stars, "spectrum_error", unit)
    expected = (len(stars), SPECTRUM_WAVELENGTH_NM.size)
    if flux.shape != expected or error.shape != expected:
        raise UnprocessableData(
            f"the spectra of the reference stars have shape {flux.shape}, their errors "
            f"{error.shape}; expected {expected} (336 to 1020 nm in steps of 2)"
        )
    return synthetic_magnitudes(passband, SPECTRUM_WAVELENGTH_NM, flux, error)
