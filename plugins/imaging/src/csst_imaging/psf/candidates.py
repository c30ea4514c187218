"""Stars fit to measure a PSF, chosen from a list of sources."""

from __future__ import annotations

from dataclasses import dataclass

import astropy.units as u
import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from csst_imaging.columns import values
from csst_imaging.detection.mode import half_sample_mode
from csst_imaging.psf.render import polynomial

BLENDED = 2
"""SExtractor's FLAGS bit of deblended objects."""

LOCUS_WIDTH = 0.15
"""Sizes this near the mode, relative, are looked at; the locus is fitted within them."""

NARROWEST = 0.03
CLIP_SIGMA = 3.0
SIZE_NOISE = 1.2
"""Relative error of a size times the signal-to-noise ratio."""

LARGEST_ELLIPTICITY = 0.3
NEIGHBOUR_FWHM = 3.0
NEIGHBOUR_PART = 0.02
MOST_STARS = 1500
FEWEST_ISOLATED = 30


@dataclass(frozen=True)
class Candidates:
    """Point-like sources, the best measured first."""

    row: NDArray[np.int64]
    """Their rows in the list of sources."""
    fwhm: float
    """Median size, pixel."""


def choose(table: QTable, signal_to_noise: float) -> Candidates:
    """Choose stars on the locus of point sources in size and brightness.

    The locus is the mode of the sizes of bright sources (half-sample mode), refined by a
    polynomial of second degree in position. Sources that are faint, flagged, saturated, cut,
    elongated or have a near neighbour are left out; in fields so crowded that fewer than 30
    are free of neighbours, neighbours and blends are allowed.

    Parameters
    ----------
    table
        Sources, see `detect_sources`.
    signal_to_noise
        Least ratio of the isophotal flux to its error.
    """
    fwhm = values(table, "fwhm", u.pixel)
    flux, error = values(table, "flux_isophotal"), values(table, "flux_isophotal_error")
    x, y = values(table, "x", u.pixel), values(table, "y", u.pixel)
    flags = np.asarray(table["flags"])
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(error > 0, flux / error, 0.0)
    clean = (flags & ~BLENDED) == 0
    clean &= (np.asarray(table["flags_isophotal"]) == 0) & np.asarray(table["converged"])
    clean &= np.isfinite(fwhm + x + y) & (fwhm > 0) & (ratio > signal_to_noise)
    clean &= 1.0 - values(table, "b", u.pixel) / values(table, "a", u.pixel) < LARGEST_ELLIPTICITY
    free = clean & (flags & BLENDED == 0)
    if free.any():
        distance = NEIGHBOUR_FWHM * half_sample_mode(np.sort(fwhm[free]))
        free &= ~_crowded(x, y, flux, distance)
    for chosen in (free, clean):
        on_locus = _locus(x, y, fwhm, ratio, chosen)
        if np.count_nonzero(on_locus) >= FEWEST_ISOLATED:
            break
    row = np.flatnonzero(on_locus)
    row = row[np.argsort(-ratio[row], kind="stable")][:MOST_STARS]
    return Candidates(row, float(np.median(fwhm[row])) if len(row) else np.nan)


def _crowded(
    x: NDArray[np.float64], y: NDArray[np.float64], flux: NDArray[np.float64], distance: float
) -> NDArray[np.bool_]:
    """Return which sources have a neighbour that counts within a distance."""
    crowded = np.zeros(len(x), np.bool_)
    places = np.stack([np.nan_to_num(x, nan=-1e9), np.nan_to_num(y, nan=-1e9)], axis=-1)
    pairs = cKDTree(places).query_pairs(distance, output_type="ndarray")
    for i, j in (pairs.T, pairs.T[::-1]):
        crowded[i[flux[j] > NEIGHBOUR_PART * flux[i]]] = True
    return crowded


def _locus(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    fwhm: NDArray[np.float64],
    ratio: NDArray[np.float64],
    among: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    """Return which sources have the size of a star at their place."""
    if not among.any():
        return among
    for faintest in (100.0, 50.0, 0.0):
        bright = among & (ratio > faintest)
        if np.count_nonzero(bright) >= 20:
            break
    mode = half_sample_mode(np.sort(fwhm[bright]))
    near = bright & (np.abs(fwhm - mode) < LOCUS_WIDTH * mode)
    expected = np.full(len(x), mode)
    spread = NARROWEST
    for degree in (0, 1, 2, 2):
        terms = (degree + 1) * (degree + 2) // 2
        if np.count_nonzero(near) < 5 * terms:
            break
        design = polynomial(x / np.ptp(x + 1) - 0.5, y / np.ptp(y + 1) - 0.5, degree)
        expected = design @ np.linalg.lstsq(design[near], fwhm[near], rcond=None)[0]
        relative = fwhm / expected - 1.0
        spread = max(1.4826 * float(np.median(np.abs(relative[near]))), NARROWEST / CLIP_SIGMA)
        near = bright & (np.abs(relative) < CLIP_SIGMA * spread)
    with np.errstate(divide="ignore"):
        width = np.hypot(CLIP_SIGMA * spread, CLIP_SIGMA * SIZE_NOISE / ratio)
    return np.asarray(among & (np.abs(fwhm / expected - 1.0) < np.minimum(width, LOCUS_WIDTH)))
