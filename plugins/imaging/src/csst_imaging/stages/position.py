"""The world-coordinate solution of one image."""

from __future__ import annotations

from typing import Annotated

import astropy.units as u
import numpy as np
from astropy.wcs import WCS
from astropy.wcs.utils import proj_plane_pixel_scales
from numpy.typing import NDArray
from pydantic import Field

from csst_imaging.columns import values
from csst_imaging.epoch import Stars, stars_at
from csst_imaging.matching import Pairs, propose_matches
from csst_imaging.solution import MIN_STARS, Spots, solve_matches
from csst_imaging.tpv import project, tangent_wcs
from csstcore.api import Image, Reference, Table, UnprocessableData, Wcs, caveat, metric

SATURATED, TRUNCATED = 4, 8
"""SExtractor's FLAGS bits; sources cut by an edge do not enter the fit."""

SATURATED_ERROR_PIXEL = 0.5
"""Centroid error of saturated stars: they help only where there is nothing better."""


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
        Highest order of the polynomial; less with fewer than 20 stars, or where the matched
        stars show no need of it.

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
    ra, dec = first.all_pix2world([at], 1)[0]
    start = tangent_wcs((at[0], at[1]), ra, dec, first.pixel_scale_matrix)
    proposals = propose_matches(spots.pixel, seen, reach, rotation_degree)
    solution = solve_matches(spots, nearby, proposals, start, order)
    if solution is None:
        raise UnprocessableData(
            f"fewer than {MIN_STARS} of {len(spots.pixel)} sources and {len(nearby)} reference "
            f"stars match within {shift_arcsec:g} arcsec and {rotation_degree:g} deg"
        )
    wcs = solution.wcs
    report_residuals(wcs, spots, nearby, solution.pairs)
    report_offset(wcs, first, at)
    metric("polynomial_order", solution.order)
    if solution.bearable < order:
        caveat(
            f"{len(solution.pairs)} stars: polynomial of order {solution.order} instead of {order}"
        )
    return Wcs(wcs, meta=image.meta)


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
