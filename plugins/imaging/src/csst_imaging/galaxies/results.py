"""Columns of the catalogue from fitted models."""

from __future__ import annotations

import astropy.units as u
import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from csst_imaging.galaxies.joint import Fit
from csst_imaging.galaxies.model import BULGE, DISK, G1, G2, LN_INDEX, RADIUS

Floats = NDArray[np.float64]

NOT_CONVERGED, AT_BOUND, SPLIT, INCOMPLETE, POINT_MODEL, NOT_FITTED = 1, 2, 4, 8, 16, 32
"""Bits of ``flag_model``: a fit did not converge or leaves a parameter open; a parameter is at its
bound; the group was too large to be fitted as one; pixels are flagged or beyond the edge; modelled
as a point source; not modelled."""

INCOMPLETE_FRACTION = 0.05
ROUND_G = 1e-3


def position_columns(fit: Fit) -> dict[str, Floats]:
    """Return FITS pixel positions with errors, chi squared per degree of freedom."""
    error = np.sqrt(np.einsum("kii->ki", fit.covariance[:, :2, :2]))
    return {
        "x_model": fit.parameters[:, 0] + 1.0,
        "y_model": fit.parameters[:, 1] + 1.0,
        "x_model_error": error[:, 0],
        "y_model_error": error[:, 1],
        "chi2_model": fit.chi2,
    }


def part_columns(fit: Fit, first: int, name: str) -> dict[str, Floats]:
    """Return flux, half-light radius, ellipticity and position angle of a part, with errors.

    Parameters
    ----------
    fit
        Of all sources.
    first
        First parameter of the part.
    name
        Ending of the columns.
    """
    p, c = fit.parameters, fit.covariance
    g1, g2 = p[:, first + G1], p[:, first + G2]
    size = np.hypot(g1, g2)
    safe = np.maximum(size, ROUND_G)
    along, across = np.zeros((2, *p.shape))
    along[:, first + G1], along[:, first + G2] = g1 / safe, g2 / safe
    across[:, first + G1], across[:, first + G2] = -g2 / safe, g1 / safe
    major = 0.5 * along
    major[:, first + RADIUS] = 1.0
    radius = np.exp(p[:, first + RADIUS] + 0.5 * size)
    ratio = np.exp(-size)
    return {
        f"flux_{name}": p[:, first],
        f"flux_{name}_error": np.sqrt(c[:, first, first]),
        f"re_{name}": radius,
        f"re_{name}_error": radius * _error(major, c),
        f"e_{name}": 1.0 - ratio,
        f"e_{name}_error": ratio * _error(along, c),
        f"pa_{name}": np.degrees(0.5 * np.arctan2(g2, g1)),
        f"pa_{name}_error": np.minimum(np.degrees(0.5 * _error(across, c) / safe), 90.0),
    }


def total_columns(fit: Fit) -> dict[str, Floats]:
    """Return the flux of bulge and disk together and the part of the disk, with errors."""
    p, c = fit.parameters, fit.covariance
    disk, bulge = p[:, DISK], p[:, BULGE]
    total = disk + bulge
    both, part = np.zeros((2, *p.shape))
    both[:, DISK] = both[:, BULGE] = 1.0
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.where(total > 0.0, disk / total, np.nan)
        part[:, DISK], part[:, BULGE] = bulge / total**2, -disk / total**2
    return {
        "flux_model": total,
        "flux_model_error": _error(both, c),
        "ratio_disk": ratio,
        "ratio_disk_error": _error(part, c),
    }


def index_columns(fit: Fit) -> dict[str, Floats]:
    """Return the Sersic index with error."""
    place = DISK + LN_INDEX
    index = np.exp(fit.parameters[:, place])
    error = index * np.sqrt(fit.covariance[:, place, place])
    return {"n_sersic": index, "n_sersic_error": error}


def _error(slope: Floats, covariance: Floats) -> Floats:
    """Return standard deviations of linear functions of the parameters."""
    with np.errstate(invalid="ignore"):
        return np.asarray(np.sqrt(np.einsum("ki,kij,kj->k", slope, covariance, slope)))


def add_magnitudes(table: QTable, zero_point: float) -> None:
    """Add ``mag_..`` with errors for each ``flux_..``; NaN for fluxes that are not positive."""
    for name in [n for n in table.colnames if n.startswith("flux_") and not n.endswith("error")]:
        flux = np.asarray(table[name], np.float64)
        error = np.asarray(table[f"{name}_error"], np.float64)
        positive = flux > 0.0
        safe = np.where(positive, flux, 1.0)
        magnitude = np.where(positive, zero_point - 2.5 * np.log10(safe), np.nan)
        known = np.isfinite(magnitude)
        ending = name.removeprefix("flux_")
        table[f"mag_{ending}"] = magnitude * u.mag
        table[f"mag_{ending}_error"] = np.where(known, 1.0857362 * error / safe, np.nan) * u.mag
