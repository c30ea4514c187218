"""The common world-coordinate solution of the detectors of one exposure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from pydantic import Field

from csst_imaging.position.coordinates import add_coordinates
from csst_imaging.position.distortion import Distortion
from csst_imaging.position.exposure import frame_of, gather, match_alone, usable
from csst_imaging.position.focal_plane import FocalPlane, JointFit
from csst_imaging.position.matching import Points
from csst_imaging.position.solution import MIN_STARS
from csst_imaging.position.tpv import Plane, pixel_nodes, tangent_wcs, with_size
from csst_imaging.stages.position import REMAINING_PIXEL, report_offset, write_solution
from csstcore.api import Reference, Table, UnprocessableData, Wcs, caveat, metric, replace


def solve_focal_plane(
    catalogs: Sequence[Table],
    stars: Reference[Table],
    distortion: Reference[Distortion] | None = None,
    *,
    shift_arcsec: Annotated[float, Field(gt=0, le=300)] = 30.0,
    rotation_degree: Annotated[float, Field(ge=0, le=5)] = 1.0,
    distortion_pixel: Annotated[float, Field(ge=0, le=1000)] = 200.0,
    order: Annotated[int, Field(ge=1, le=5)] = 4,
) -> Annotated[FocalPlane, "focal_plane"]:
    """Solve the detectors of one exposure together, so that those with few stars gain.

    One pointing for all, one polynomial over the field (pointing, position angle and scale
    alone where the distortion is known), and a polynomial for each detector of which is known
    beforehand how large it can be (Gaussian). Least squares over all matched stars weighted by
    the covariances of both, with clipping. Detectors that had no solution are matched where
    the others say they are; detectors that contradict the others are matched anew.
    Metrics: ``focal_plane_stars``, ``solved_detectors``, ``pointing_right_ascension_deg``,
    ``pointing_declination_deg``, ``offset_position_angle_arcsec``.

    Parameters
    ----------
    catalogs
        Sources of one exposure, one table per detector, with world coordinates: a TPV
        solution, or the commanded ones.
    stars
        Reference stars (definition ``imaging.reference_stars``).
    distortion
        Known distortion of the detectors.
    shift_arcsec, rotation_degree, distortion_pixel
        Largest errors of the commanded coordinates, see `solve_position`.
    order
        Order of the detectors' own polynomials.

    Returns
    -------
    FocalPlane
        The solution of all detectors.

    Raises
    ------
    UnprocessableData
        No catalogue has coordinates, time and size of its image, or on no detector ten stars
        match.
    """
    if distortion is not None:
        distortion_pixel = min(distortion_pixel, REMAINING_PIXEL)
    catalogs = usable(catalogs)
    reach = reach_of(catalogs, shift_arcsec, rotation_degree, distortion_pixel)
    exposure = gather(catalogs, stars, distortion, reach)
    for detector in exposure.detectors:
        match_alone(exposure, detector, reach, rotation_degree, order)
    result = JointFit(exposure, distortion is not None, order).solve()
    if result is None:
        raise UnprocessableData(
            f"on none of {len(catalogs)} detectors do {MIN_STARS} stars match within "
            f"{shift_arcsec:g} arcsec and {rotation_degree:g} deg"
        )
    solved = [one for one in result.detectors.values() if one.matched]
    metric("focal_plane_stars", sum(one.matched for one in solved))
    metric("solved_detectors", len(solved))
    metric("pointing_right_ascension_deg", result.ra_deg)
    metric("pointing_declination_deg", result.dec_deg)
    turn = (result.common[1, 1] - result.common[2, 0]) / 2.0 / result.radius_pixel
    metric("offset_position_angle_arcsec", float(np.degrees(turn)) * 3600.0)
    return replace(result, meta=replace(catalogs[0].meta, detector=None, filter=None))


def reach_of(
    catalogs: Sequence[Table],
    shift_arcsec: float,
    rotation_degree: float,
    distortion_pixel: float,
) -> float:
    """Return how far stars may be from where the commanded coordinates put them, in pixels."""
    frames = [frame_of(catalog) for catalog in catalogs]
    levers = [float(np.hypot(*(one.center - one.wcs.wcs.crpix))) for one in frames]
    shift = shift_arcsec * 1e3 / Plane.of(frames[0].wcs, frames[0].center).scale_mas
    return shift + max(levers) * float(np.radians(rotation_degree)) + distortion_pixel


def refine_position(
    catalog: Table,
    focal_plane: FocalPlane,
    distortion: Reference[Distortion] | None = None,
) -> tuple[Annotated[Table, "catalog"], Annotated[Wcs, "wcs"]]:
    """Give a detector's sources the coordinates of the common solution, and write it as TPV.

    Metrics as of `solve_position`: ``matched_stars``, ``rms_right_ascension_mas``,
    ``rms_declination_mas``, ``offset_right_ascension_arcsec``,
    ``offset_declination_arcsec`` (from the commanded coordinates), ``center_right_ascension_deg``,
    ``center_declination_deg``, ``tpv_degree``, ``tpv_error_mas``.

    Parameters
    ----------
    catalog
        Sources of one detector.
    focal_plane
        Solution of its exposure, see `solve_focal_plane`.
    distortion
        The reference that `focal_plane` was made with.

    Returns
    -------
    catalog
        The catalogue with new ``ra`` and ``dec`` and their errors, and ``ra_psf``, ``dec_psf``
        where there are ``x_psf``, ``y_psf``; with the new solution.
    wcs
        The solution, CTYPE ``RA---TPV``.

    Raises
    ------
    UnprocessableData
        No star of the detector was matched, and its distortion is not known.
    """
    frame = frame_of(catalog)
    center = frame.center
    name = str(catalog.meta.detector)
    mine = focal_plane.detectors.get(name)
    if mine is None or not mine.sure:
        raise UnprocessableData(
            f"no reference star was matched on detector {name}, and without a distortion "
            "reference the other detectors do not say where it is"
        )
    if not mine.matched:
        caveat(f"no reference star was matched on detector {name}: its place is that expected")

    def world(pixel: Points) -> tuple[Points, Points]:
        ideal = pixel if distortion is None else distortion.displace(name, pixel)
        scaled = (pixel - center) / center.max()
        return focal_plane.world(focal_plane.place(name, ideal - frame.wcs.wcs.crpix, scaled))

    nodes = np.vstack([center, pixel_nodes(frame.shape)])
    plane = Plane.of(frame.wcs, center)
    commanded = tangent_wcs((plane.crpix[0], plane.crpix[1]), plane.ra_deg, plane.dec_deg, plane.cd)
    solution = write_solution(plane, nodes, plane.seen(*world(nodes)))
    solution.wcs.crder = np.array(mine.rms_mas) / 3.6e6
    metric("matched_stars", mine.matched)
    metric("rms_right_ascension_mas", mine.rms_mas[0])
    metric("rms_declination_mas", mine.rms_mas[1])
    report_offset(solution, commanded, center)
    table = catalog.table.copy(copy_data=False)
    add_coordinates(table, solution, world)
    new = replace(catalog, table=table, wcs=with_size(solution, frame.shape))
    return new, Wcs(solution, meta=catalog.meta)
