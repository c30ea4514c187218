"""A common solution of the detectors of one exposure."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from csst_imaging.position.exposure import DetectorList, Exposure, match_near
from csst_imaging.position.polynomial import Normal, basis, terms_of
from csst_imaging.position.solution import CLIP_SIGMA
from csst_imaging.position.tpv import deproject
from csstcore.api import Meta

COMMON_ORDER = {False: 5, True: 1}
"""Order of the common polynomial, without and with a distortion reference."""

COMMON_SIGMA_PIXEL = (1e4, 1e4, 100.0, 300.0, 30.0, 30.0)
"""What is known of it beforehand, by degree, at the edge of the field."""

OWN_SIGMA_PIXEL = {False: (10.0, 3.0, 0.5, 0.3, 0.1, 0.1), True: (1.0, 0.3, 0.02, 0.01, 0.01, 0.01)}
"""How far a detector deviates from the common polynomial, by degree, at its edge: placement as
proposed for the survey camera (3 pixel, 60 arcsec); change since the reference was made."""

LEAST_SIGMA_PIXEL = 1e-4
FITS = 12

PLACEMENT_SIGMAS = 8.0
"""A detector's own offset beyond which its pairs are taken for wrong."""

TOLERANCES_PIXEL = (4.0, 2.0, 1.5, 1.5)


@dataclass(slots=True, eq=False)
class DetectorSolution:
    """What is known of one detector."""

    own: NDArray[np.float64]
    """Displacement beyond the common one, pixel, shape (terms, 2)."""
    matched: int
    rms_mas: tuple[float, float]
    """Scatter of the matched stars along right ascension and declination; NaN without any."""
    sure: bool
    """Whether stars were matched, or the solution is known without."""


@dataclass(slots=True, eq=False)
class FocalPlane:
    """The solution of one exposure: pointing, common displacement, and each detector's own.

    A source at a pixel is, with the field position ``f`` (ideal pixels under the known
    distortion minus the commanded CRPIX), at ``f + common(f / radius) + own(scaled pixel)`` in
    the tangent plane.
    """

    ra_deg: float
    """Tangent point."""
    dec_deg: float
    cd: NDArray[np.float64]
    """Commanded CD matrix."""
    radius_pixel: float
    common: NDArray[np.float64]
    """Shape (terms, 2), pixel."""
    detectors: dict[str, DetectorSolution] = field(default_factory=dict)
    meta: Meta = field(default_factory=Meta)

    def place(
        self, name: str, field_: NDArray[np.float64], scaled: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return where field positions of a detector are in the tangent plane, (n, 2) each."""
        order = int(np.sqrt(2 * len(self.common))) - 1
        own = self.detectors[name].own
        degree = int(np.sqrt(2 * len(own))) - 1
        moved = basis(field_ / self.radius_pixel, order) @ self.common
        return np.asarray(field_ + moved + basis(scaled, degree) @ own)

    def world(self, placed: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return right ascension and declination of positions in the tangent plane, in deg."""
        return deproject(self.cd @ placed.T, self.ra_deg, self.dec_deg)


def by_degree(sigma: tuple[float, ...], order: int) -> NDArray[np.float64]:
    """Return a value by degree for each term up to an order."""
    return np.repeat(np.array(sigma[: order + 1]), np.arange(1, order + 2))


@dataclass(slots=True)
class JointFit:
    """Common and own polynomials of an exposure's detectors, with what is known beforehand."""

    exposure: Exposure
    is_known: bool
    """Whether there is a distortion reference."""
    order: int
    """Of the own polynomials."""

    def terms(self, detector: DetectorList, radius: float) -> NDArray[np.float64]:
        """Return the terms of a detector's pairs, common ones first, shape (pairs, terms)."""
        here = detector.pairs[:, 0]
        common = basis(detector.ideal[here] / radius, COMMON_ORDER[self.is_known])
        return np.concatenate([common, basis(detector.scaled[here], self.order)], axis=1)

    def fit(self) -> FocalPlane:
        """Fit the pairs as they are, leaving out those beyond 4 sigma.

        Detectors with few stars rest on how large the own terms of all are found to be.
        """
        exposure, own = self.exposure, terms_of(self.order)
        radius = max(float(np.abs(one.ideal).max(initial=1.0)) for one in exposure.detectors)
        count = terms_of(COMMON_ORDER[self.is_known])
        common_sigma = by_degree(COMMON_SIGMA_PIXEL, COMMON_ORDER[self.is_known])
        own_sigma = by_degree(OWN_SIGMA_PIXEL[self.is_known], self.order)
        solved = [one for one in exposure.detectors if len(one.pairs)]
        terms = [self.terms(one, radius) for one in solved]
        wanted = [exposure.wanted(one) for one in solved]
        information = [exposure.information(one) for one in solved]
        keep = [np.ones(len(one.pairs), np.bool_) for one in solved]
        for _ in range(FITS):
            normal = Normal.zero(count + own * len(solved))
            sigma = np.concatenate([common_sigma, np.tile(own_sigma, len(solved))])
            normal.add_prior(sigma, np.zeros((len(sigma), 2)))
            places = [
                np.concatenate([np.arange(count), count + own * k + np.arange(own)])
                for k in range(len(solved))
            ]
            for k, at in enumerate(places):
                normal.add(terms[k][keep[k]], wanted[k][keep[k]], information[k][:, keep[k]], at)
            coefficients = normal.solve()
            least = measure_sigma(own_sigma, coefficients[count:], normal.variance()[count:])
            settled = np.allclose(least, own_sigma, rtol=0.05)
            own_sigma = least
            new = [
                within(wanted[k] - terms[k] @ coefficients[at], information[k], keep[k])
                for k, at in enumerate(places)
            ]
            same = all(np.array_equal(a, b) for a, b in zip(new, keep, strict=True))
            keep = new
            if same and settled:
                break
        plane = exposure.plane
        result = FocalPlane(plane.ra_deg, plane.dec_deg, plane.cd, radius, coefficients[:count], {})
        for one in exposure.detectors:
            empty = np.zeros((own, 2))
            result.detectors[one.name] = DetectorSolution(empty, 0, (np.nan, np.nan), self.is_known)
        for k, (one, at) in enumerate(zip(solved, places, strict=True)):
            residual = (wanted[k] - terms[k] @ coefficients[at])[keep[k]]
            rms = np.sqrt(np.mean((plane.cd @ residual.T) ** 2, axis=1)) * 3.6e6
            matched = int(np.count_nonzero(keep[k]))
            result.detectors[one.name] = DetectorSolution(
                coefficients[at[count:]], matched, (float(rms[0]), float(rms[1])), True
            )
        return result

    def solve(self) -> FocalPlane | None:
        """Fit, drop detectors that contradict the others, match again, and so on.

        Returns None if no detector has pairs.
        """
        for tolerance in TOLERANCES_PIXEL:
            result = self.consistent()
            if result is None:
                return None
            ra, dec = result.world(result.common[:1])
            self.exposure.point(float(ra[0]), float(dec[0]))
            result = self.fit()
            for one in self.exposure.detectors:
                place = result.place(one.name, one.ideal, one.scaled)
                match_near(self.exposure, one, place, tolerance)
        return self.consistent()

    def consistent(self) -> FocalPlane | None:
        """Fit without the detectors whose own offset is far beyond what is known of it."""
        while any(len(one.pairs) for one in self.exposure.detectors):
            result = self.fit()
            offsets = {name: float(np.hypot(*one.own[0])) for name, one in result.detectors.items()}
            worst = max(offsets, key=lambda name: offsets[name])
            if offsets[worst] < PLACEMENT_SIGMAS * OWN_SIGMA_PIXEL[self.is_known][0]:
                return result
            detector = next(one for one in self.exposure.detectors if one.name == worst)
            detector.pairs = detector.pairs[:0]
        return None


def measure_sigma(
    sigma: NDArray[np.float64], own: NDArray[np.float64], variance: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return how large own terms are, from all detectors, degree by degree.

    Expected sizes serve as largest ones: what one detector's stars cannot tell from noise would
    be fitted to it. The evidence is maximised (MacKay 1992, Neural Comp. 4, 415): squares of the
    coefficients by the number of them that the stars fix. Offsets keep what is expected.

    Parameters
    ----------
    sigma
        Sizes by which the fit was made, shape (terms,).
    own, variance
        Coefficients of all detectors, and their variances, shape (detectors terms, 2).
    """
    order = int(np.sqrt(2 * len(sigma))) - 1
    own, variance = (each.reshape(-1, len(sigma), 2) for each in (own, variance))
    measured = sigma.copy()
    for degree in range(1, order + 1):
        at = slice(terms_of(degree - 1), terms_of(degree))
        fixed = float(np.sum(1.0 - variance[:, at] / sigma[at, None] ** 2))
        square = float(np.sum(own[:, at] ** 2)) / max(fixed, 1e-3)
        measured[at] = np.clip(np.sqrt(square), LEAST_SIGMA_PIXEL, sigma[at])
    return measured


def within(
    residual: NDArray[np.float64], information: NDArray[np.float64], keep: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Return which residuals (n, 2) lie within 4 sigma of their errors, or of their scatter."""
    xx, xy, yy = information
    x, y = residual.T
    pull = np.sqrt(np.maximum(xx * x * x + 2 * xy * x * y + yy * y * y, 0.0) / 2.0)
    spread = max(float(np.median(pull[keep])) / 0.8326, 1.0) if keep.any() else 1.0
    return np.asarray(pull < CLIP_SIGMA * spread)
