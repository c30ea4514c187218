"""Gaia's photometry of reference stars as plain arrays."""

from __future__ import annotations

from dataclasses import dataclass

import astropy.units as u
import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from csst_imaging.columns import values
from csst_imaging.flux.scatter_fit import shrink

Floats = NDArray[np.float64]

UNKNOWN_G_ERROR_MAG, UNKNOWN_COLOUR_ERROR_MAG = 0.005, 0.03
"""Taken where a catalogue gives no errors: those of stars of G 19 and 18."""


@dataclass(frozen=True)
class ReferencePhotometry:
    """Arrays over stars, in mag; NaN for what is not known."""

    g: Floats
    g_error: Floats
    bp_rp: Floats
    bp_rp_error: Floats
    reddening: Floats
    """E(B-V)."""
    reddening_error: Floats

    def __getitem__(self, which: NDArray[np.generic]) -> ReferencePhotometry:
        return ReferencePhotometry(
            self.g[which],
            self.g_error[which],
            self.bp_rp[which],
            self.bp_rp_error[which],
            self.reddening[which],
            self.reddening_error[which],
        )

    def __len__(self) -> int:
        return self.g.size

    def without_noise(self, reddening_mag: float, spread_mag: float) -> ReferencePhotometry:
        """Return colours and reddenings as they most likely are, see `scatter_fit.shrink`.

        Parameters
        ----------
        reddening_mag, spread_mag
            Reddening, and its error, of stars whose own is not known.
        """
        colour, colour_error = shrink(self.bp_rp, self.bp_rp_error)
        reddening = np.full(len(self), reddening_mag)
        reddening_error = np.full(len(self), spread_mag)
        known = np.isfinite(self.reddening)
        reddening[known], reddening_error[known] = shrink(
            self.reddening[known], self.reddening_error[known]
        )
        return ReferencePhotometry(
            self.g, self.g_error, colour, colour_error, reddening, reddening_error
        )


def photometry_of(table: QTable) -> ReferencePhotometry:
    """Return the photometry of a table of the definition ``reference_stars``."""

    def column(name: str, missing: float) -> Floats:
        if name not in table.colnames:
            return np.full(len(table), missing)
        found = values(table, name, u.mag)
        return np.where(np.isfinite(found), found, missing)

    return ReferencePhotometry(
        values(table, "g_mag", u.mag),
        column("g_mag_error", UNKNOWN_G_ERROR_MAG),
        column("bp_rp", np.nan),
        column("bp_rp_error", UNKNOWN_COLOUR_ERROR_MAG),
        column("reddening", np.nan),
        column("reddening_error", 0.0),
    )
