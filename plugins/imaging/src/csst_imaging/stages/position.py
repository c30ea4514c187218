"""The world-coordinate solution of one image."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated

import astropy.units as u
import numpy as np
from astropy.wcs import WCS
from astropy.wcs.utils import proj_plane_pixel_scales
from numpy.typing import NDArray
from pydantic import Field

from csst_imaging.columns import values
from csst_imaging.epoch import Stars, stars_at
from csst_imaging.matching import Pairs, mutual, propose_matches
from csst_imaging.tpv import TERMS, fit_tpv, project, tangent_wcs
from csstcore.api import Image, Reference, Table, UnprocessableData, Wcs, caveat, metric

MIN_STARS = 10
"""The documented minimum of matched stars."""

STARS_FOR_ORDER = {1: 0, 2: 10, 3: 20}
"""Matched stars from which an order is fitted: two equations an unknown."""

SATURATED, TRUNCATED = 4, 8
"""SExtractor's FLAGS bits; sources cut by an edge do not enter the fit."""

SATURATED_ERROR_PIXEL = 0.5
"""Centroid error of saturated stars: they help only where there is nothing better."""

FLOOR_PIXEL = 0.01
"""Centroid error that remains at any signal (pixel phase, shape of the PSF)."""

CLIP_SIGMA = 4.0
SCHEDULE = ((12.0, 400), (8.0, 1000), (5.0, 3000), (3.0, 10000), (2.0, 10**9), (1.5, 10**9))
"""Tolerance in pixels and how many of the brightest take part, step by step."""

REPEATS = 6
PAIRS_FOR_ORDER = {1: 0, 2: 8, 3: 28}
"""Pairs from which an order serves to find more pairs: it must not bend to wrong ones."""

TRUE_FRACTION = 0.25


@dataclass(frozen=True, slots=True)
class Spots:
    """Sources that may be stars, brightest first."""

    pixel: NDArray[np.float64]
    """FITS pixel positions, shape (n, 2)."""
    error: NDArray[np.float64]
    """Their errors along x and y, pixel, shape (2, n)."""
    usable: NDArray[np.bool_]
    """Whether the position may enter the fit."""


def solve_position(
    image: Image,
    sources: Table,
    stars: Reference[Table],
    *,
    shift_arcsec: Annotated[float, Field(gt=0, le=300)] = 30.0,
    rotation_degree: Annotated[float, Field(ge=0, le=5)] = 1.0,
    distortion_pixel: Annotated[float, Field(ge=0, le=1000)] = 200.0,
    order: Annotated[int, Field(ge=1, le=3)] = 3,
) -> Annotated[Wcs, "wcs"]:
    """Solve the world coordinates of an image against reference stars.

    Reference stars are moved to the time of the exposure, projected with the image's first
    solution and matched to the sources: offsets of bright pairs counted over shifts,
    rotations and scales, then nearest neighbours under a map of growing order. The TPV
    solution is fitted by least squares weighted by the errors of both, with clipping.
    Metrics: ``matched_stars``, ``rms_right_ascension_mas``, ``rms_declination_mas`` (also as
    CRDER of the solution), ``offset_right_ascension_arcsec``, ``offset_declination_arcsec``
    (solution minus first solution at the centre), ``center_right_ascension_deg``,
    ``center_declination_deg``, ``polynomial_order``.

    Parameters
    ----------
    image
        Gives shape, time and first solution; its planes are not used.
    sources
        Sources of the image, see `detect_sources`.
    stars
        Reference stars (definition ``imaging.reference_stars``).
    shift_arcsec
        Largest error of the pointing.
    rotation_degree
        Largest error of the position angle, about the reference pixel.
    distortion_pixel
        Largest displacement by distortion that the first solution does not have.
    order
        Order of the polynomial; less with fewer than 20 stars.

    Returns
    -------
    Wcs
        Solution with CTYPE ``RA---TPV``, reference pixel at the centre of the image.

    Raises
    ------
    UnprocessableData
        The image has no first solution or no time, or fewer than ten stars match.
    """
    first, at = first_solution(image)
    nearby = select_stars(stars_at(stars.table, image.meta.time), first, at, image.shape)
    spots = select_spots(sources)
    scale = float(np.mean(proj_plane_pixel_scales(first))) * 3600.0
    lever = np.hypot(*(first.wcs.crpix - at)) * np.radians(rotation_degree)
    reach = shift_arcsec / scale + lever + distortion_pixel
    seen = first.all_world2pix(nearby.ra_deg, nearby.dec_deg, 1, quiet=True)
    seen = np.stack(seen, axis=-1)
    margin = reach + np.radians(rotation_degree) * max(image.shape) / 2
    rows, columns = image.shape
    inside = np.all((seen > -margin) & (seen < [columns + margin, rows + margin]), axis=1)
    nearby, seen = nearby[inside], seen[inside]
    if len(nearby) < MIN_STARS or len(spots.pixel) < MIN_STARS:
        raise UnprocessableData(
            f"{len(nearby)} reference stars and {len(spots.pixel)} sources; "
            f"expected at least {MIN_STARS} of each"
        )
    solution = solve_matches(
        spots, nearby, propose_matches(spots.pixel, seen, reach, rotation_degree), first, at, order
    )
    if solution is None:
        raise UnprocessableData(
            f"fewer than {MIN_STARS} of {len(spots.pixel)} sources and {len(nearby)} reference "
            f"stars match within {shift_arcsec:g} arcsec and {rotation_degree:g} deg"
        )
    report_offset(solution, first, at)
    return Wcs(solution, meta=image.meta)


def first_solution(image: Image) -> tuple[WCS, NDArray[np.float64]]:
    """Return the image's solution and its centre [FITS pixel], or say what is missing."""
    if image.wcs is None or not image.wcs.has_celestial:
        raise UnprocessableData("the image has no celestial coordinates to start from")
    if image.meta.time is None:
        raise UnprocessableData("the image has no time: reference stars cannot be moved to it")
    rows, columns = image.shape
    return image.wcs, np.array([(columns + 1) / 2.0, (rows + 1) / 2.0])


def select_stars(
    stars: Stars, first: WCS, at: NDArray[np.float64], shape: tuple[int, int]
) -> Stars:
    """Return the stars within one diagonal of the image's centre, brightest first."""
    ra, dec = first.all_pix2world([at], 1)[0]
    plane = project(stars.ra_deg, stars.dec_deg, ra, dec)
    diagonal = np.hypot(*shape) * float(np.mean(proj_plane_pixel_scales(first)))
    near = np.flatnonzero(np.hypot(*plane) < diagonal)
    return stars[near[np.argsort(stars.magnitude[near], kind="stable")]]


def select_spots(sources: Table) -> Spots:
    """Return the sources with positions, brightest first."""
    table = sources.table
    x, y = values(table, "x", u.pixel), values(table, "y", u.pixel)
    error = np.stack([values(table, n, u.pixel) for n in ("x_error", "y_error")])
    flux = np.asarray(getattr(table["flux_isophotal"], "value", table["flux_isophotal"]), float)
    good = np.isfinite(x + y + flux) & (flux > 0)
    order = np.flatnonzero(good)[np.argsort(-flux[good], kind="stable")]
    usable = np.isfinite(error).all(axis=0)
    flags = np.asarray(table["flags"])
    usable &= (flags & TRUNCATED) == 0
    error = np.where(flags & SATURATED, np.hypot(error, SATURATED_ERROR_PIXEL), error)
    usable &= np.asarray(table["converged"])
    return Spots(np.stack([x, y], axis=-1)[order], error[:, order], usable[order])


def solve_matches(
    spots: Spots,
    stars: Stars,
    proposals: Iterable[Pairs],
    first: WCS,
    at: NDArray[np.float64],
    order: int,
) -> WCS | None:
    """Return the solution of the first proposed match that holds for the whole lists."""
    ra, dec = first.all_pix2world([at], 1)[0]
    for proposal in proposals:
        wcs = tangent_wcs((at[0], at[1]), ra, dec, first.pixel_scale_matrix)
        wcs, pairs = fit_iteratively(spots, stars, proposal, wcs, order)
        if len(pairs) < MIN_STARS:
            continue
        bearable = usable_order(len(pairs), order)
        fits = [fit_clipped(spots, stars, pairs, wcs, k)[0] for k in range(1, bearable + 1)]
        costs = [misfit(spots, stars, pairs, fit, k) for k, fit in enumerate(fits, start=1)]
        used = 1 + int(np.argmin(costs))
        pairs = match_all(spots, stars, fits[used - 1], SCHEDULE[-1][0])
        wcs, keep = fit_clipped(spots, stars, pairs, fits[used - 1], used)
        report_residuals(wcs, spots, stars, pairs[keep])
        metric("polynomial_order", used)
        if bearable < order:
            caveat(f"{len(pairs)} stars: polynomial of order {used} instead of {order}")
        return wcs
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


def report_residuals(wcs: WCS, spots: Spots, stars: Stars, pairs: Pairs) -> None:
    """Keep number and scatter of the matched stars, as metrics and as CRDER.

    The scatter is that of the unsaturated stars, if there are any.
    """
    metric("matched_stars", len(pairs))
    sharp = spots.error[:, pairs[:, 0]].max(axis=0) < SATURATED_ERROR_PIXEL
    if sharp.any():
        pairs = pairs[sharp]
    ra, dec = wcs.wcs_pix2world(*spots.pixel[pairs[:, 0]].T, 1)
    matched = stars[pairs[:, 1]]
    turn = (ra - matched.ra_deg + 180.0) % 360.0 - 180.0
    rms_ra = float(np.sqrt(np.mean((turn * np.cos(np.radians(dec))) ** 2)))
    rms_dec = float(np.sqrt(np.mean((dec - matched.dec_deg) ** 2)))
    wcs.wcs.crder = [rms_ra, rms_dec]
    metric("rms_right_ascension_mas", rms_ra * 3.6e6)
    metric("rms_declination_mas", rms_dec * 3.6e6)


def report_offset(wcs: WCS, first: WCS, at: NDArray[np.float64]) -> None:
    """Keep the centre of the detector and how far the first solution was off, as metrics."""
    ra, dec = wcs.wcs_pix2world([at], 1)[0]
    ra_first, dec_first = first.all_pix2world([at], 1)[0]
    turn = (ra - ra_first + 180.0) % 360.0 - 180.0
    metric("offset_right_ascension_arcsec", float(turn * np.cos(np.radians(dec)) * 3600.0))
    metric("offset_declination_arcsec", float((dec - dec_first) * 3600.0))
    metric("center_right_ascension_deg", float(ra))
    metric("center_declination_deg", float(dec))
