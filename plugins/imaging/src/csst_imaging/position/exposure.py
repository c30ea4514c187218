"""The catalogues of one exposure in the plane of its focal plane."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from astropy.time import Time
from astropy.wcs import WCS
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.special import gammaln

from csst_imaging.position.distortion import Distortion
from csst_imaging.position.epoch import Stars
from csst_imaging.position.matching import Pairs, mutual, offset_by_count, propose_matches
from csst_imaging.position.nearby import stars_around
from csst_imaging.position.polynomial import invert_covariance
from csst_imaging.position.solution import FLOOR_PIXEL, MIN_STARS, Lists, Spots, solve_matches
from csst_imaging.position.spots import select_spots
from csst_imaging.position.tpv import Plane
from csstcore.api import Table, UnprocessableData, caveat

SAME_POINTING_DEG = 1e-7
OWN_TOLERANCE_PIXEL = 2.0
"""Distance of pairs under the solution that a catalogue came with."""

LEAST_STARS = 5
"""Matched stars by which a detector takes part in a common solution."""

LOG_CHANCE = -12.0
SEARCH_PIXEL = 60.0
"""How far a common solution may be wrong on a detector that has no solution of its own."""

SEARCH_CELL_PIXEL = 4.0
SEARCH_TOLERANCE_PIXEL = 3.0
"""Turn of a detector at its edge, after its offset is found."""


@dataclass(frozen=True, slots=True)
class Frame:
    """The image that a catalogue was measured on."""

    wcs: WCS
    shape: tuple[int, int]
    center: NDArray[np.float64]
    """FITS pixel."""
    time: Time


@dataclass(slots=True)
class DetectorList:
    """The sources of one detector."""

    name: str
    frame: Frame
    spots: Spots
    scaled: NDArray[np.float64]
    """Positions from about -1 to 1 over the detector, shape (n, 2)."""
    ideal: NDArray[np.float64]
    """Ideal pixels from the reference pixel, as far as distortion is known, shape (n, 2)."""
    near: NDArray[np.intp]
    """Stars of the exposure that may be on the detector, brightest first."""
    pairs: Pairs = field(default_factory=lambda: np.zeros((0, 2), np.intp))
    """Index of the source, index in all stars of the exposure."""

    @property
    def reference_pixel(self) -> NDArray[np.float64]:
        """CRPIX of the commanded pointing."""
        return np.array(self.frame.wcs.wcs.crpix)

    def variance(self) -> NDArray[np.float64]:
        """Return the variances of the positions, pixel^2, shape (2, n)."""
        return np.asarray(np.nan_to_num(np.hypot(self.spots.error, FLOOR_PIXEL), nan=1.0) ** 2)


@dataclass(slots=True)
class Exposure:
    """Sources of all detectors, and the stars they may be."""

    plane: Plane
    """Tangent plane with the reference pixel at 0: coordinates in the field."""
    stars: Stars
    seen: NDArray[np.float64]
    """Stars in `plane`, shape (stars, 2)."""
    covariance: NDArray[np.float64]
    """Of these, pixel^2, shape (3, stars)."""
    detectors: list[DetectorList]

    def point(self, ra_deg: float, dec_deg: float) -> None:
        """Move the tangent plane to another pointing."""
        self.plane = Plane(self.plane.crpix, ra_deg, dec_deg, self.plane.cd)
        self.seen = self.plane.seen(self.stars.ra_deg, self.stars.dec_deg)

    def information(self, detector: DetectorList) -> NDArray[np.float64]:
        """Return the inverse covariances of a detector's pairs, shape (3, pairs)."""
        covariance = self.covariance[:, detector.pairs[:, 1]].copy()
        covariance[::2] += detector.variance()[:, detector.pairs[:, 0]]
        return invert_covariance(covariance)

    def wanted(self, detector: DetectorList) -> NDArray[np.float64]:
        """Return the displacements that take the sources of pairs to their stars, (pairs, 2)."""
        here, there = detector.pairs.T
        return np.asarray(self.seen[there] - detector.ideal[here])


def gather(
    catalogs: Sequence[Table],
    stars: Table,
    distortion: Distortion | None,
    reach_pixel: float,
) -> Exposure:
    """Lay the catalogues of one exposure out in its focal plane.

    Parameters
    ----------
    catalogs
        As of `usable`.
    stars
        Reference stars.
    distortion
        Known displacements.
    reach_pixel
        How far stars may be from where they are expected.
    """
    frames = [frame_of(catalog) for catalog in catalogs]
    first = Plane.of(frames[0].wcs, frames[0].center)
    detectors = []
    for catalog, frame in zip(catalogs, frames, strict=True):
        spots = select_spots(catalog)
        ideal = spots.pixel
        if distortion is not None:
            ideal = distortion.displace(catalog.meta.detector, spots.pixel)
        scaled = (spots.pixel - frame.center) / frame.center.max()
        ideal = ideal - np.array(frame.wcs.wcs.crpix)
        name, nothing = str(catalog.meta.detector), np.zeros(0, np.intp)
        detectors.append(DetectorList(name, frame, spots, scaled, ideal, nothing))
    plane = Plane(np.zeros(2), first.ra_deg, first.dec_deg, first.cd)
    corners = np.concatenate([corners_of(one) for one in detectors])
    radius = float(np.hypot(*corners.T).max()) + reach_pixel
    nearby, seen = stars_around(stars, plane, np.zeros(2), radius, frames[0].time)
    for one in detectors:
        low, high = corners_of(one).min(axis=0), corners_of(one).max(axis=0)
        inside = np.all((seen > low - reach_pixel) & (seen < high + reach_pixel), axis=1)
        one.near = np.flatnonzero(inside)
    covariance = plane.covariance_pixel2(nearby.covariance_mas2)
    return Exposure(plane, nearby, seen, covariance, detectors)


def usable(catalogs: Sequence[Table]) -> list[Table]:
    """Return the catalogues that have the world coordinates of one commanded pointing.

    Others are left out with a caveat.

    Raises
    ------
    UnprocessableData
        None has.
    """
    found: list[Table] = []
    first: Plane | None = None
    problems = []
    for catalog in catalogs:
        try:
            frame = frame_of(catalog)
        except UnprocessableData as error:
            problems.append(str(error))
            continue
        plane = Plane.of(frame.wcs, frame.center)
        if first is None:
            first = plane
        apart = np.hypot(plane.ra_deg - first.ra_deg, plane.dec_deg - first.dec_deg)
        if apart > SAME_POINTING_DEG or not np.allclose(plane.cd, first.cd, rtol=1e-6, atol=0):
            problems.append(
                f"the catalogue of detector {catalog.meta.detector} has another CRVAL or CD "
                f"matrix than that of detector {found[0].meta.detector}"
            )
            continue
        if catalog.meta.detector in {one.meta.detector for one in found}:
            problems.append(f"detector {catalog.meta.detector} has a second catalogue")
            continue
        found.append(catalog)
    if not found:
        raise UnprocessableData("; ".join(problems) or "there is no catalogue")
    for problem in problems:
        caveat(f"{problem}: it is left out")
    return found


def frame_of(catalog: Table) -> Frame:
    """Return the image of a catalogue, or say what is missing."""
    who = f"the catalogue of detector {catalog.meta.detector}"
    wcs = catalog.wcs
    if wcs is None or not wcs.has_celestial or wcs.pixel_shape is None:
        raise UnprocessableData(f"{who} has no celestial coordinates with the size of the image")
    if not isinstance(catalog.meta.time, Time):
        raise UnprocessableData(f"{who} has no time: reference stars cannot be moved to it")
    columns, rows = wcs.pixel_shape
    center = np.array([(columns + 1) / 2.0, (rows + 1) / 2.0])
    return Frame(wcs, (rows, columns), center, catalog.meta.time)


def corners_of(detector: DetectorList) -> NDArray[np.float64]:
    """Return the corners of a detector in the field, shape (4, 2)."""
    rows, columns = detector.frame.shape
    corners = np.array([[1.0, 1.0], [columns, 1.0], [1.0, rows], [columns, rows]])
    return corners - detector.reference_pixel


def match_alone(
    exposure: Exposure,
    detector: DetectorList,
    reach_pixel: float,
    rotation_degree: float,
    order: int,
) -> None:
    """Find the pairs of a detector under the solution it came with, or without any."""
    seen = exposure.seen[detector.near]
    if len(seen) < MIN_STARS or len(detector.spots.pixel) < MIN_STARS:
        return
    wcs = detector.frame.wcs
    if str(wcs.wcs.ctype[0]).endswith("TPV"):
        ra, dec = wcs.wcs_pix2world(detector.spots.pixel, 1).T
        found = mutual(exposure.plane.seen(ra, dec), seen, OWN_TOLERANCE_PIXEL)
        found = found[detector.spots.usable[found[:, 0]]]
        if len(found) >= MIN_STARS:
            detector.pairs = with_index(found, detector.near)
            return
    covariance = exposure.covariance[:, detector.near]
    lists = Lists.of(detector.spots, detector.ideal, seen, covariance, detector.scaled, order)
    proposals = propose_matches(detector.ideal, seen, reach_pixel, rotation_degree)
    solution = solve_matches(lists, proposals, order)
    if solution is not None:
        detector.pairs = with_index(solution.pairs, detector.near)


def match_near(
    exposure: Exposure, detector: DetectorList, place: NDArray[np.float64], tolerance: float
) -> None:
    """Find the pairs of a detector under a common solution.

    Parameters
    ----------
    exposure, detector
        The detector's pairs are replaced; by none, if they could be by chance.
    place
        Where the sources should be in the field, shape (n, 2).
    tolerance
        Largest distance, pixel. A detector without pairs is searched more widely, for a
        common offset.
    """
    seen = exposure.seen[detector.near]
    if len(seen) == 0 or len(place) == 0:
        return
    tree = cKDTree(seen)
    offset = np.zeros(2)
    freedom = 0
    if len(detector.pairs) == 0:
        offset = offset_by_count(place, seen, SEARCH_PIXEL, SEARCH_CELL_PIXEL)
        freedom = 2
        moved = mutual(place + offset, seen, 1.5 * SEARCH_CELL_PIXEL, tree)
        if len(moved):
            offset += np.median(seen[moved[:, 1]] - (place + offset)[moved[:, 0]], axis=0)
        tolerance = min(tolerance, SEARCH_TOLERANCE_PIXEL)
    found = mutual(place + offset, seen, tolerance, tree)
    found = found[detector.spots.usable[found[:, 0]]]
    area = float(np.prod(detector.frame.shape))
    mean = max(len(place) * len(seen) / area * np.pi * tolerance**2, 1e-6)
    number = len(found) - freedom
    sure = number > mean and number * np.log(mean) - mean - gammaln(number + 1.0) < LOG_CHANCE
    keep = sure and len(found) >= LEAST_STARS
    detector.pairs = with_index(found if keep else found[:0], detector.near)


def with_index(pairs: Pairs, near: NDArray[np.intp]) -> Pairs:
    """Return pairs with stars numbered as in the exposure."""
    return np.column_stack([pairs[:, 0], near[pairs[:, 1]]]).astype(np.intp)
