"""How the magnitudes of stars in a filter follow from Gaia's photometry."""

from __future__ import annotations

from dataclasses import dataclass

import astropy.units as u
import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from csst_imaging.columns import values
from csst_imaging.flux.reference_photometry import ReferencePhotometry
from csstcore.api import UnprocessableData

Floats = NDArray[np.float64]

MAGNITUDES = (
    "scatter",
    "pivot",
    "reddening",
    "reddening_spread",
    "bluest",
    "reddest",
    "brightest",
    "faintest",
)
"""Columns of the table beside the coefficients."""

TERMS = 5
"""Coefficients: four of the polynomial in colour, and that of E(B-V)."""


@dataclass(frozen=True)
class ColourTerms:
    """Magnitude minus G: a cubic in BP - RP about a pivot, and a term in E(B-V)."""

    coefficients: Floats
    covariance: Floats
    scatter: float
    """Of single stars about the relation."""
    pivot_mag: float
    reddening_mag: float
    """Mean E(B-V) of the stars it was made of, and taken for stars without."""
    reddening_spread_mag: float
    colour_range: tuple[float, float]
    g_range: tuple[float, float]
    stars: int

    def basis(self, colour: Floats, reddening: Floats) -> Floats:
        """Return the terms that the coefficients multiply, shape (stars, 5)."""
        d = colour - self.pivot_mag
        terms = [np.ones_like(d), d, d**2, d**3, reddening - self.reddening_mag]
        return np.stack(terms, axis=1)

    def slope(self, colour: Floats) -> Floats:
        """Return the change of the magnitude with BP - RP."""
        d = colour - self.pivot_mag
        _, first, second, third, _ = self.coefficients
        return np.asarray(first + 2.0 * second * d + 3.0 * third * d**2)

    def valid(self, stars: ReferencePhotometry) -> NDArray[np.bool_]:
        """Return which stars the relation holds for."""
        colour = (stars.bp_rp >= self.colour_range[0]) & (stars.bp_rp <= self.colour_range[1])
        return np.asarray(colour & (stars.g >= self.g_range[0]) & (stars.g <= self.g_range[1]))

    def predict(self, stars: ReferencePhotometry) -> tuple[Floats, Floats]:
        """Return the magnitudes of stars and their variances, without the scatter."""
        seen = stars.without_noise(self.reddening_mag, self.reddening_spread_mag)
        magnitude = seen.g + self.basis(seen.bp_rp, seen.reddening) @ self.coefficients
        return magnitude, self.variance(seen)

    def variance(self, stars: ReferencePhotometry) -> Floats:
        """Return what the errors of the photometry make of the magnitudes."""
        of_colour = self.slope(stars.bp_rp) * stars.bp_rp_error
        of_reddening = self.coefficients[-1] * stars.reddening_error
        return np.asarray(stars.g_error**2 + of_colour**2 + of_reddening**2)

    def relation_error(self, stars: ReferencePhotometry, weight: Floats) -> float:
        """Return the error that all stars share, from the relation itself."""
        seen = stars.without_noise(self.reddening_mag, self.reddening_spread_mag)
        mean = np.average(self.basis(seen.bp_rp, seen.reddening), axis=0, weights=weight)
        return float(np.sqrt(max(float(mean @ self.covariance @ mean), 0.0)))

    def to_table(self) -> QTable:
        """Return the relation as a table of one row, see definition ``colour_terms``."""
        table = QTable()
        table["coefficient"] = self.coefficients[None]
        table["covariance"] = self.covariance.reshape(1, -1)
        for name, number in (
            ("scatter", self.scatter),
            ("pivot", self.pivot_mag),
            ("reddening", self.reddening_mag),
            ("reddening_spread", self.reddening_spread_mag),
            ("bluest", self.colour_range[0]),
            ("reddest", self.colour_range[1]),
            ("brightest", self.g_range[0]),
            ("faintest", self.g_range[1]),
        ):
            table[name] = [number] * u.mag
        table["stars"] = np.array([self.stars], np.int32)
        return table

    @classmethod
    def from_table(cls, table: QTable) -> ColourTerms:
        """Return the relation of a table; raise `UnprocessableData` if it is none."""
        if len(table) != 1:
            raise UnprocessableData(f"the colour terms have {len(table)} rows; expected 1")
        number = {name: float(values(table, name, u.mag)[0]) for name in MAGNITUDES}
        coefficients = values(table, "coefficient").ravel()
        covariance = values(table, "covariance").ravel()
        finite = np.isfinite([*number.values(), *coefficients, *covariance]).all()
        if coefficients.size != TERMS or covariance.size != TERMS**2 or not finite:
            raise UnprocessableData(
                f"the colour terms have {coefficients.size} coefficients and {covariance.size} "
                f"covariances; expected {TERMS} and {TERMS**2} finite numbers"
            )
        return cls(
            coefficients,
            covariance.reshape(TERMS, TERMS),
            number["scatter"],
            number["pivot"],
            number["reddening"],
            number["reddening_spread"],
            (number["bluest"], number["reddest"]),
            (number["brightest"], number["faintest"]),
            int(np.asarray(table["stars"])[0]),
        )
