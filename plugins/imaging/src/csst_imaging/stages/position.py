"""The world-coordinate solution of one image."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from astropy.wcs import WCS
from numpy.typing import NDArray
from pydantic import Field

from csst_imaging.position.distortion import Distortion
from csst_imaging.position.matching import propose_matches
from csst_imaging.position.nearby import stars_around
from csst_imaging.position.polynomial import basis
from csst_imaging.position.solution import MIN_STARS, Lists, Solution, Spots, solve_matches
from csst_imaging.position.spots import SATURATED_ERROR_PIXEL, select_spots
from csst_imaging.position.tpv import Plane, pixel_nodes, tpv_of
from csstcore.api import Image, Reference, Table, UnprocessableData, Wcs, caveat, metric

REMAINING_PIXEL = 20.0
"""Displacement that a distortion reference may leave (placement of the detector, its own age)."""

HELD_MAS = 0.1
"""Error of the written solution above which there is a caveat."""


def solve_position(
    image: Image,
    sources: Table,
    stars: Reference[Table],
    distortion: Reference[Distortion] | None = None,
    *,
    shift_arcsec: Annotated[float, Field(gt=0, le=300)] = 30.0,
    rotation_degree: Annotated[float, Field(ge=0, le=5)] = 1.0,
    distortion_pixel: Annotated[float, Field(ge=0, le=1000)] = 200.0,
    order: Annotated[int, Field(ge=1, le=5)] = 4,
) -> Annotated[Wcs, "wcs"]:
    """Solve the world coordinates of an image against reference stars.

    Reference stars are moved to the time of the exposure, projected with the image's first
    solution and matched to the sources: offsets of bright pairs counted over shifts,
    rotations and scales, then nearest neighbours under a map of growing order. The map, a
    polynomial after the known distortion, is fitted by least squares weighted by the
    covariances of both, with clipping, and written as TPV with CRPIX, CRVAL and CD matrix of
    the first solution, as documented: all that was found is in the polynomials.
    Metrics: ``matched_stars``, ``rms_right_ascension_mas``, ``rms_declination_mas`` (also as
    CRDER of the solution), ``offset_right_ascension_arcsec``, ``offset_declination_arcsec``
    (solution minus first solution at the centre), ``center_right_ascension_deg``,
    ``center_declination_deg``, ``polynomial_order`` (of the fit), ``tpv_degree`` (as written),
    ``tpv_error_mas`` (largest error of what is written).

    Parameters
    ----------
    image
        Gives shape, time and first solution; its planes are not used.
    sources
        Sources of the image, see `detect_sources`; positions fitted with the PSF are taken
        where there are any.
    stars
        Reference stars (definition ``imaging.reference_stars``).
    distortion
        Known distortion of the detectors.
    shift_arcsec
        Largest error of the pointing.
    rotation_degree
        Largest error of the position angle, about the reference pixel.
    distortion_pixel
        Largest displacement by distortion that the first solution does not have; 20 at most
        where the distortion is known.
    order
        Highest order of the polynomial; less with fewer than 60 stars (20 for order 3), or
        where the matched stars show no need of it.

    Returns
    -------
    Wcs
        Solution with CTYPE ``RA---TPV``.

    Raises
    ------
    UnprocessableData
        The image has no first solution or no time, its detector is not in the distortion
        reference, or fewer than ten stars match.
    """
    first, at = first_solution(image)
    plane = Plane.of(first, at)
    spots = select_spots(sources)
    ideal, center = spots.pixel, at
    if distortion is not None:
        ideal = distortion.displace(image.meta.detector, spots.pixel)
        center = distortion.displace(image.meta.detector, at[None])[0]
        distortion_pixel = min(distortion_pixel, REMAINING_PIXEL)
    turn = np.radians(rotation_degree)
    reach = shift_arcsec * 1e3 / plane.scale_mas
    reach += float(np.hypot(*(plane.crpix - center))) * turn + distortion_pixel
    half = float(np.hypot(*image.shape)) / 2
    nearby, seen = stars_around(stars, plane, center, half + reach + half * turn, image.meta.time)
    if len(nearby) < MIN_STARS or len(spots.pixel) < MIN_STARS:
        raise UnprocessableData(
            f"{len(nearby)} reference stars and {len(spots.pixel)} sources; "
            f"expected at least {MIN_STARS} of each"
        )
    covariance = plane.covariance_pixel2(nearby.covariance_mas2)
    scaled = (spots.pixel - at) / at.max()
    lists = Lists.of(spots, ideal, seen, covariance, scaled, order)
    solution = solve_matches(lists, propose_matches(ideal, seen, reach, rotation_degree), order)
    if solution is None:
        raise UnprocessableData(
            f"fewer than {MIN_STARS} of {len(spots.pixel)} sources and {len(nearby)} reference "
            f"stars match within {shift_arcsec:g} arcsec and {rotation_degree:g} deg"
        )
    nodes = np.vstack([at, pixel_nodes(image.shape)])
    known = nodes if distortion is None else distortion.displace(image.meta.detector, nodes)
    terms = basis((nodes - at) / at.max(), solution.order)
    wcs = write_solution(plane, nodes, known + terms @ solution.coefficients)
    report_residuals(wcs, plane, spots, lists, solution)
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


def write_solution(plane: Plane, nodes: NDArray[np.float64], ideal: NDArray[np.float64]) -> WCS:
    """Return a solution as TPV, with metrics and a caveat on how well that holds it."""
    wcs, degree, error_mas = tpv_of(plane, nodes, ideal)
    metric("tpv_degree", degree)
    metric("tpv_error_mas", error_mas)
    if error_mas > HELD_MAS:
        caveat(f"the TPV solution differs by up to {error_mas:.2f} mas from the fitted one")
    return wcs


def report_residuals(
    wcs: WCS, plane: Plane, spots: Spots, lists: Lists, solution: Solution
) -> None:
    """Keep number and scatter of the matched stars, as metrics and as CRDER.

    The scatter is that of the unsaturated stars, if there are any.
    """
    pairs = solution.pairs
    metric("matched_stars", len(pairs))
    sharp = spots.error[:, pairs[:, 0]].max(axis=0) < SATURATED_ERROR_PIXEL
    if sharp.any():
        pairs = pairs[sharp]
    residual = lists.star[pairs[:, 1]] - lists.place(solution.coefficients, pairs[:, 0])
    rms = np.sqrt(np.mean((plane.cd @ residual.T) ** 2, axis=1))
    wcs.wcs.crder = rms
    metric("rms_right_ascension_mas", float(rms[0]) * 3.6e6)
    metric("rms_declination_mas", float(rms[1]) * 3.6e6)


def report_offset(wcs: WCS, first: WCS, at: NDArray[np.float64]) -> None:
    """Keep the centre of the detector and how far the first solution was off, as metrics."""
    ra, dec = wcs.wcs_pix2world([at], 1)[0]
    ra_first, dec_first = first.all_pix2world([at], 1)[0]
    turn = (ra - ra_first + 180.0) % 360.0 - 180.0
    metric("offset_right_ascension_arcsec", float(turn * np.cos(np.radians(dec)) * 3600.0))
    metric("offset_declination_arcsec", float((dec - dec_first) * 3600.0))
    metric("center_right_ascension_deg", float(ra))
    metric("center_declination_deg", float(dec))
