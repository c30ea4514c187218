"""The distortion of all detectors, from exposures of star fields."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import astropy.units as u
import numpy as np
from astropy.table import QTable, vstack
from numpy.typing import NDArray
from pydantic import Field
from scipy.sparse import csr_array, eye_array
from scipy.sparse.linalg import spsolve

from csst_imaging.columns import values
from csst_imaging.position.distortion import Distortion, node_weights
from csst_imaging.position.exposure import DetectorList, Exposure, gather, match_alone, usable
from csst_imaging.position.focal_plane import JointFit, by_degree, within
from csst_imaging.position.polynomial import Normal, basis, terms_of
from csst_imaging.stages.focal_plane import reach_of
from csstcore.api import Table, UnprocessableData, caveat, metric, replace

EXPOSURE_ORDER = 1
EXPOSURE_SIGMA_PIXEL = (3.0, 3.0)
"""Of pointing, position angle and scale about the mean of the exposures, at the field's edge."""

DETECTOR_SIGMA_PIXEL = (300.0, 300.0, 100.0, 100.0, 10.0, 3.0, 1.0, 1.0)
"""What is known beforehand of a detector's polynomial, by degree, at its edge."""

RESIDUAL_SIGMA_PIXEL = 0.03
"""What is known beforehand of the table of residuals."""

MATCH_ORDER = 4
ROUNDS = 4


@dataclass(slots=True)
class Part:
    """The matched sources of one detector in one exposure."""

    exposure: int
    detector: int
    common: NDArray[np.float64]
    """Field positions in units of the field's radius, shape (pairs, 2)."""
    scaled: NDArray[np.float64]
    """Shape (pairs, 2)."""
    wanted: NDArray[np.float64]
    """Displacements to the stars, pixel, shape (pairs, 2)."""
    information: NDArray[np.float64]
    keep: NDArray[np.bool_]


def measure_distortion(
    catalogs: Sequence[Table],
    stars: Sequence[Table],
    *,
    degree: Annotated[int, Field(ge=1, le=7)] = 5,
    nodes: Annotated[int, Field(ge=0, le=65)] = 0,
    shift_arcsec: Annotated[float, Field(gt=0, le=300)] = 30.0,
    rotation_degree: Annotated[float, Field(ge=0, le=5)] = 1.0,
    distortion_pixel: Annotated[float, Field(ge=0, le=1000)] = 200.0,
) -> Annotated[Distortion, "distortion"]:
    """Measure the distortion of all detectors from exposures of star fields.

    The detectors of each exposure are matched together, see `solve_focal_plane`. Then a
    polynomial for each detector and pointing, position angle and scale of each exposure are
    fitted at once by least squares weighted by the covariances of sources and stars, with
    clipping (Anderson & King 2003, PASP 115, 113, for the idea of a solution common to many
    exposures). What the polynomials leave is averaged in a table.
    Metrics: ``exposures``, ``matched_stars``, ``rms_mas`` (of the unclipped stars).

    Parameters
    ----------
    catalogs
        Sources of one or more exposures and detectors, with world coordinates.
    stars
        The reference stars of each catalogue, see `select_stars`.
    degree
        Degree of the polynomials; less on detectors with few stars is not needed, since what
        they can be is limited beforehand.
    nodes
        Nodes of the table of residuals along each axis; 0 for no table, at least 2.
    shift_arcsec, rotation_degree, distortion_pixel
        Largest errors of the commanded coordinates, see `solve_position`.

    Returns
    -------
    Distortion
        One row per detector, in the order of their numbers.

    Raises
    ------
    UnprocessableData
        No catalogue has coordinates, time and size of its image, or on no detector of any
        exposure ten stars match.
    """
    exposures = []
    for members in by_exposure(catalogs):
        try:
            group = usable([catalogs[k] for k in members])
        except UnprocessableData as error:
            caveat(f"exposure {catalogs[members[0]].meta.obs_id} is left out: {error}")
            continue
        reach = reach_of(group, shift_arcsec, rotation_degree, distortion_pixel)
        exposure = gather(group, union([stars[k] for k in members]), None, reach)
        for detector in exposure.detectors:
            match_alone(exposure, detector, reach, rotation_degree, MATCH_ORDER)
        if JointFit(exposure, False, MATCH_ORDER).solve() is None:
            caveat(f"exposure {group[0].meta.obs_id} is left out: no detector matches")
        else:
            exposures.append(exposure)
    if not exposures:
        raise UnprocessableData("on no detector of any exposure do enough stars match")
    names, parts, frames = collect_parts(exposures)
    own = fit_parts(parts, len(exposures), len(names), degree)
    left = [residuals(part, own) for part in parts]
    table = None
    if nodes > 1:
        table = np.stack(
            [average(parts, left, number, nodes) for number in range(len(names))]
        ).astype(np.float32)
    scale_mas = exposures[0].plane.scale_mas
    stars_of, rms_of = statistics(parts, left, len(names))
    metric("exposures", len(exposures))
    metric("matched_stars", int(stars_of.sum()))
    metric("rms_mas", float(np.sqrt(np.average(rms_of**2, weights=stars_of))) * scale_mas)
    first = {name: frames[name] for name in names}
    detectors = QTable(
        {
            "detector": np.array(names),
            "x_zero": np.array([one.frame.center[0] for one in first.values()]) * u.pixel,
            "y_zero": np.array([one.frame.center[1] for one in first.values()]) * u.pixel,
            "x_scale": np.array([one.frame.center.max() for one in first.values()]) * u.pixel,
            "y_scale": np.array([one.frame.center.max() for one in first.values()]) * u.pixel,
            "stars": stars_of.astype(np.int32),
            "rms": rms_of * scale_mas * u.mas,
        }
    )
    meta = replace(catalogs[0].meta, obs_id=None, detector=None, filter=None, object=None)
    polynomial = np.ascontiguousarray(own.transpose(0, 2, 1))
    return Distortion(detectors, polynomial, table, meta=meta)


def by_exposure(catalogs: Sequence[Table]) -> list[list[int]]:
    """Return the numbers of the catalogues exposure by exposure."""
    groups: dict[str | None, list[int]] = {}
    for number, catalog in enumerate(catalogs):
        groups.setdefault(catalog.meta.obs_id, []).append(number)
    return list(groups.values())


def union(tables: Sequence[Table]) -> Table:
    """Return the rows of several star tables, each place once."""
    table = vstack([one.table for one in tables], metadata_conflicts="silent")
    places = np.stack([values(table, "ra", u.deg), values(table, "dec", u.deg)], axis=-1)
    _, first = np.unique(places, axis=0, return_index=True)
    return Table(table[first])


def collect_parts(
    exposures: Sequence[Exposure],
) -> tuple[list[str], list[Part], dict[str, DetectorList]]:
    """Return the detectors with pairs, their matched sources, and an example of each."""
    frames = {one.name: one for each in exposures for one in each.detectors if len(one.pairs)}
    names = sorted(frames, key=lambda name: (len(name), name))
    radius = max(
        float(np.abs(one.ideal).max(initial=1.0)) for each in exposures for one in each.detectors
    )
    parts = []
    for number, exposure in enumerate(exposures):
        for one in exposure.detectors:
            if len(one.pairs):
                here = one.pairs[:, 0]
                parts.append(
                    Part(
                        number,
                        names.index(one.name),
                        one.ideal[here] / radius,
                        one.scaled[here],
                        exposure.wanted(one),
                        exposure.information(one),
                        np.ones(len(here), np.bool_),
                    )
                )
    return names, parts, frames


def fit_parts(
    parts: Sequence[Part], exposures: int, detectors: int, degree: int
) -> NDArray[np.float64]:
    """Fit all exposures and detectors at once; take what is the exposures' out of the parts.

    Returns
    -------
    own
        Polynomials of the detectors, shape (detectors, terms, 2).
    """
    each, own = terms_of(EXPOSURE_ORDER), terms_of(degree)
    sigma = np.concatenate(
        [
            np.tile(by_degree(EXPOSURE_SIGMA_PIXEL, EXPOSURE_ORDER), exposures),
            np.tile(by_degree(DETECTOR_SIGMA_PIXEL, degree), detectors),
        ]
    )
    first = each * exposures
    for _ in range(ROUNDS):
        normal = Normal.zero(len(sigma))
        normal.add_prior(sigma, np.zeros((len(sigma), 2)))
        for part in parts:
            terms, at = terms_and_places(part, each, own, first, degree)
            keep = part.keep
            normal.add(terms[keep], part.wanted[keep], part.information[:, keep], at)
        coefficients = normal.solve()
        for part in parts:
            terms, at = terms_and_places(part, each, own, first, degree)
            part.keep = within(part.wanted - terms @ coefficients[at], part.information, part.keep)
    for part in parts:
        mine = coefficients[each * part.exposure : each * (part.exposure + 1)]
        part.wanted = part.wanted - basis(part.common, EXPOSURE_ORDER) @ mine
    return np.asarray(coefficients[first:].reshape(detectors, own, 2))


def terms_and_places(
    part: Part, each: int, own: int, first: int, degree: int
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Return the terms of a part and which unknowns they belong to."""
    terms = [basis(part.common, EXPOSURE_ORDER), basis(part.scaled, degree)]
    of_exposure = each * part.exposure + np.arange(each)
    of_detector = first + own * part.detector + np.arange(own)
    return np.concatenate(terms, axis=1), np.concatenate([of_exposure, of_detector])


def residuals(part: Part, own: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what the polynomials leave, pixel, shape (pairs, 2)."""
    mine = own[part.detector]
    degree = int(np.sqrt(2 * len(mine))) - 1
    return np.asarray(part.wanted - basis(part.scaled, degree) @ mine)


def average(
    parts: Sequence[Part], left: Sequence[NDArray[np.float64]], detector: int, nodes: int
) -> NDArray[np.float64]:
    """Return the table (2, nodes, nodes) that comes nearest to the residuals of a detector."""
    mine = [k for k, part in enumerate(parts) if part.detector == detector]
    scaled = np.concatenate([parts[k].scaled[parts[k].keep] for k in mine])
    value = np.concatenate([left[k][parts[k].keep] for k in mine])
    information = np.concatenate([parts[k].information[:, parts[k].keep] for k in mine], axis=1)
    weight = (information[0] + information[2]) / 2.0
    index, share = node_weights(scaled, (nodes, nodes))
    rows = np.broadcast_to(np.arange(len(scaled)), index.shape)
    matrix = csr_array(
        (share.ravel(), (rows.ravel(), index.ravel())), shape=(len(scaled), nodes * nodes)
    )
    weighted = matrix.T.multiply(weight).tocsr()
    normal = (weighted @ matrix + eye_array(nodes * nodes) * RESIDUAL_SIGMA_PIXEL**-2).tocsc()
    table = spsolve(normal, weighted @ value)
    return np.asarray(table.T.reshape(2, nodes, nodes))


def statistics(
    parts: Sequence[Part], left: Sequence[NDArray[np.float64]], detectors: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the number of stars and the scatter per axis in pixels of each detector."""
    number, total = np.zeros(detectors), np.zeros(detectors)
    for part, rest in zip(parts, left, strict=True):
        number[part.detector] += np.count_nonzero(part.keep)
        total[part.detector] += np.sum(rest[part.keep] ** 2)
    return number, np.sqrt(total / np.maximum(2 * number, 1))
