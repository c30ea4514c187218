"""Fitting a world-coordinate solution to matched sources and stars."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from astropy.wcs import WCS
from astropy.wcs.utils import proj_plane_pixel_scales
from numpy.typing import NDArray

from csst_imaging.epoch import Stars
from csst_imaging.matching import Pairs, mutual
from csst_imaging.tpv import TERMS, fit_tpv, project

MIN_STARS = 10
"""The documented minimum of matched stars."""

STARS_FOR_ORDER = {1: 0, 2: 10, 3: 20}
"""Matched stars from which an order is fitted: two equations an unknown."""

FLOOR_PIXEL = 0.01
"""Centroid error that remains at any signal (pixel phase, shape of the PSF)."""

CLIP_SIGMA = 4.0
SCHEDULE = ((12.0, 400), (8.0, 1000), (5.0, 3000), (3.0, 10000), (2.0, 10**9), (1.5, 10**9))
"""Tolerance in pixels and how many of the brightest take part, step by step."""

REPEATS = 6
PAIRS_FOR_ORDER = {1: 0, 2: 8, 3: 28}
"""Pairs from which an order serves to find more pairs: it must not bend to wrong ones."""

TRUE_FRACTION = 0.25
"""Pairs are true if half of them lie within this part of the tolerance."""


@dataclass(frozen=True, slots=True)
class Spots:
    """Sources that may be stars, brightest first."""

    pixel: NDArray[np.float64]
    """FITS pixel positions, shape (n, 2)."""
    error: NDArray[np.float64]
    """Their errors along x and y, pixel, shape (2, n)."""
    usable: NDArray[np.bool_]
    """Whether the position may enter the fit."""


@dataclass(frozen=True, slots=True)
class Solution:
    """A solution and what it rests on."""

    wcs: WCS
    pairs: Pairs
    order: int
    bearable: int
    """Order that the number of stars can bear."""


def solve_matches(
    spots: Spots,
    stars: Stars,
    proposals: Iterable[Pairs],
    start: WCS,
    order: int,
) -> Solution | None:
    """Return the solution of the first proposed match that holds for the whole lists.

    Parameters
    ----------
    spots, stars
        Sources and reference stars, brightest first.
    proposals
        Matches of the bright ones that may be wrong.
    start
        Gnomonic solution whose reference pixel the result shall have.
    order
        Highest order of the polynomial; among those that the stars can bear the one with
        the least information criterion is taken.
    """
    for proposal in proposals:
        wcs, pairs = fit_iteratively(spots, stars, proposal, start, order)
        if len(pairs) < MIN_STARS:
            continue
        bearable = usable_order(len(pairs), order)
        fits = [fit_clipped(spots, stars, pairs, wcs, k)[0] for k in range(1, bearable + 1)]
        costs = [misfit(spots, stars, pairs, fit, k) for k, fit in enumerate(fits, start=1)]
        used = 1 + int(np.argmin(costs))
        pairs = match_all(spots, stars, fits[used - 1], SCHEDULE[-1][0])
        wcs, keep = fit_clipped(spots, stars, pairs, fits[used - 1], used)
        return Solution(wcs, pairs[keep], used, bearable)
    return None


def fit_iteratively(
    spots: Spots, stars: Stars, pairs: Pairs, wcs: WCS, order: int
) -> tuple[WCS, Pairs]:
    """Fit, match more under the better map, and so on; no pairs if that goes wrong.

    Pairs by chance fill the circle of the tolerance; true ones lie well inside.
    """
    for tolerance, number in SCHEDULE:
        few = slice(0, number)
        for _ in range(REPEATS):
            wcs, _ = fit_clipped(spots, stars, pairs, wcs, order, PAIRS_FOR_ORDER)
            before = len(pairs)
            pairs = match_all(spots, stars, wcs, tolerance, few)
            if len(pairs) < MIN_STARS:
                return wcs, pairs
            if len(pairs) <= before:
                break
    seen, expected = common_plane(spots.pixel[pairs[:, 0]], stars[pairs[:, 1]], wcs)
    distance = np.hypot(*(seen - expected).T)
    return wcs, pairs if np.median(distance) < TRUE_FRACTION * tolerance else pairs[:0]


def match_all(
    spots: Spots, stars: Stars, wcs: WCS, tolerance: float, few: slice = slice(None)
) -> Pairs:
    """Return the usable pairs that a solution brings together within a tolerance [pixel]."""
    pairs = mutual(*common_plane(spots.pixel[few], stars[few], wcs), tolerance)
    return pairs[spots.usable[pairs[:, 0]]]


def usable_order(matched: int, order: int, needed: Mapping[int, int] = STARS_FOR_ORDER) -> int:
    """Return the order that so many stars can bear."""
    return max(k for k, number in needed.items() if k <= order and matched >= number)


def common_plane(
    pixel: NDArray[np.float64], stars: Stars, wcs: WCS
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return sources and stars in the tangent plane of a solution, in pixels, (n, 2) each."""
    to_pixel = np.linalg.inv(wcs.wcs.cd)
    seen = project(*wcs.wcs_pix2world(pixel[:, 0], pixel[:, 1], 1), *wcs.wcs.crval)
    expected = project(stars.ra_deg, stars.dec_deg, *wcs.wcs.crval)
    return (to_pixel @ seen).T, (to_pixel @ expected).T


def errors_deg(spots: Spots, stars: Stars, pairs: Pairs, wcs: WCS) -> NDArray[np.float64]:
    """Return the errors of pairs along right ascension and declination, shape (2, pairs)."""
    scale = float(np.mean(proj_plane_pixel_scales(wcs)))
    centroid = np.nan_to_num(np.hypot(spots.error[:, pairs[:, 0]], FLOOR_PIXEL), nan=1.0) * scale
    error: NDArray[np.float64] = np.hypot(
        np.mean(centroid, axis=0), stars.error_mas[:, pairs[:, 1]] / 3.6e6
    )
    return error


def pulls(spots: Spots, stars: Stars, pairs: Pairs, wcs: WCS) -> NDArray[np.float64]:
    """Return the residuals of pairs in units of their errors, shape (2, pairs)."""
    seen, expected = common_plane(spots.pixel[pairs[:, 0]], stars[pairs[:, 1]], wcs)
    residual = (wcs.wcs.cd @ (seen - expected).T) / errors_deg(spots, stars, pairs, wcs)
    return np.asarray(residual, np.float64)


def misfit(spots: Spots, stars: Stars, pairs: Pairs, wcs: WCS, order: int) -> float:
    """Return the information criterion of a solution (Schwarz 1978, AnSta 6, 461), clipped."""
    pull = np.abs(pulls(spots, stars, pairs, wcs))
    return float(np.sum(np.minimum(pull, CLIP_SIGMA) ** 2) + 2 * TERMS[order] * np.log(pull.size))


def fit_clipped(
    spots: Spots,
    stars: Stars,
    pairs: Pairs,
    wcs: WCS,
    order: int,
    needed: Mapping[int, int] = STARS_FOR_ORDER,
) -> tuple[WCS, NDArray[np.bool_]]:
    """Fit a TPV solution to matched pairs, leaving out pairs beyond 4 sigma.

    Returns
    -------
    tuple
        The solution, and which pairs it rests on.
    """
    pixel, matched = spots.pixel[pairs[:, 0]], stars[pairs[:, 1]]
    weight = 1.0 / errors_deg(spots, stars, pairs, wcs)
    keep = np.ones(len(pairs), np.bool_)
    for _ in range(10):
        used = usable_order(int(np.count_nonzero(keep)), order, needed)
        ra, dec = matched.ra_deg[keep], matched.dec_deg[keep]
        wcs = fit_tpv(pixel[keep], ra, dec, weight[:, keep], wcs, used)
        pull = np.abs(pulls(spots, stars, pairs, wcs))
        spread = np.maximum(1.4826 * np.median(pull[:, keep], axis=1), 1.0)
        new = np.all(pull < CLIP_SIGMA * spread[:, None], axis=0)
        if np.array_equal(new, keep) or np.count_nonzero(new) < MIN_STARS // 2:
            break
        keep = new
    return wcs, keep
