"""Fitting a polynomial map from sources to stars, and finding more pairs under it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.special import gammaln

from csst_imaging.position.matching import Pairs, mutual
from csst_imaging.position.polynomial import Normal, basis, invert_covariance, terms_of

MIN_STARS = 10
"""The documented minimum of matched stars."""

STARS_FOR_ORDER = {1: 0, 2: 10, 3: 20, 4: 60, 5: 150}
"""Matched stars from which an order is fitted: at least two equations an unknown."""

FLOOR_PIXEL = 0.01
"""Centroid error that remains at any signal (pixel phase, shape of the PSF)."""

CLIP_SIGMA = 4.0
SCHEDULE = ((12.0, 400), (8.0, 1000), (5.0, 3000), (3.0, 10000), (2.0, 10**9), (1.5, 10**9))
"""Tolerance in pixels and how many of the brightest take part, step by step."""

REPEATS = 6
ENOUGH_MORE = 1.02
"""Growth of the pairs below which a step is at its end."""

PAIRS_FOR_ORDER = {1: 0, 2: 8, 3: 28, 4: 200, 5: 1000}
"""Pairs from which an order serves to find more pairs: it must not bend to wrong ones."""

TRUE_FRACTION = 0.25
"""Pairs are true if half of them lie within this part of the tolerance."""

LOG_CHANCE = -20.0
"""Natural logarithm of the probability by chance that a solution must stay below."""


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
class Lists:
    """Sources and stars in one plane, in pixels, brightest first."""

    spot: NDArray[np.float64]
    """Shape (spots, 2): without known distortion."""
    variance: NDArray[np.float64]
    """Of the spots along x and y, shape (2, spots)."""
    usable: NDArray[np.bool_]
    star: NDArray[np.float64]
    """Shape (stars, 2)."""
    covariance: NDArray[np.float64]
    """Of the stars, shape (3, stars): xx, xy, yy."""
    terms: NDArray[np.float64]
    """Polynomial terms of the spots about their middle, shape (spots, terms)."""

    @classmethod
    def of(
        cls,
        spots: Spots,
        ideal: NDArray[np.float64],
        star: NDArray[np.float64],
        covariance: NDArray[np.float64],
        scaled: NDArray[np.float64],
        order: int,
    ) -> Lists:
        """Return lists; `scaled` are the spots' positions from -1 to 1 over the detector."""
        error = np.nan_to_num(np.hypot(spots.error, FLOOR_PIXEL), nan=1.0)
        return cls(ideal, error**2, spots.usable, star, covariance, basis(scaled, order))

    def information(self, pairs: Pairs) -> NDArray[np.float64]:
        """Return the inverse covariances of pairs, shape (3, pairs)."""
        covariance = self.covariance[:, pairs[:, 1]].copy()
        covariance[::2] += self.variance[:, pairs[:, 0]]
        return invert_covariance(covariance)

    def errors(self, pairs: Pairs) -> NDArray[np.float64]:
        """Return the errors of pairs along x and y, pixel, shape (2, pairs)."""
        variance = self.covariance[::2, pairs[:, 1]] + self.variance[:, pairs[:, 0]]
        return np.asarray(np.sqrt(variance))

    def pulls(self, pairs: Pairs, coefficients: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the residuals of pairs in units of their errors, shape (2, pairs)."""
        here = self.place(coefficients, pairs[:, 0])
        return np.asarray((self.star[pairs[:, 1]] - here).T / self.errors(pairs))

    def place(
        self, coefficients: NDArray[np.float64], which: NDArray[np.intp] | slice
    ) -> NDArray[np.float64]:
        """Return where spots fall among the stars, shape (n, 2)."""
        moved = self.terms[which, : len(coefficients)] @ coefficients
        return np.asarray(self.spot[which] + moved)


@dataclass(frozen=True, slots=True)
class Solution:
    """A solution and what it rests on."""

    coefficients: NDArray[np.float64]
    """Displacement from spots to stars, shape (terms, 2)."""
    pairs: Pairs
    order: int
    bearable: int
    """Order that the number of stars can bear."""


def solve_matches(lists: Lists, proposals: Iterable[Pairs], order: int) -> Solution | None:
    """Return the solution of the first proposed match that holds for the whole lists.

    Parameters
    ----------
    lists
        Sources and reference stars.
    proposals
        Matches of the bright ones that may be wrong.
    order
        Highest order of the polynomial; among those that the stars can bear the one with
        the least information criterion is taken.
    """
    trees: dict[int, cKDTree] = {}
    for proposal in proposals:
        pairs = match_iteratively(lists, proposal, order, trees)
        if len(pairs) < MIN_STARS:
            continue
        bearable = usable_order(len(pairs), order)
        fits = [fit_clipped(lists, pairs, k)[0] for k in range(1, bearable + 1)]
        costs = [misfit(lists, pairs, fit) for fit in fits]
        used = 1 + int(np.argmin(costs))
        pairs = match_all(lists, fits[used - 1], SCHEDULE[-1][0], 10**9, trees)
        coefficients, keep = fit_clipped(lists, pairs, used)
        pairs = pairs[keep]
        if len(pairs) >= MIN_STARS and is_beyond_chance(lists, coefficients, pairs):
            return Solution(coefficients, pairs, used, bearable)
    return None


def match_iteratively(lists: Lists, pairs: Pairs, order: int, trees: dict[int, cKDTree]) -> Pairs:
    """Fit, match more under the better map, and so on; no pairs if that goes wrong.

    Pairs by chance fill the circle of the tolerance; true ones lie well inside.
    """
    for tolerance, number in SCHEDULE:
        for _ in range(REPEATS):
            coefficients, _ = fit_clipped(lists, pairs, order, PAIRS_FOR_ORDER)
            before = len(pairs)
            pairs = match_all(lists, coefficients, tolerance, number, trees)
            if len(pairs) < MIN_STARS:
                return pairs[:0]
            if len(pairs) <= ENOUGH_MORE * before:
                break
    residual = lists.star[pairs[:, 1]] - lists.place(coefficients, pairs[:, 0])
    true = np.median(np.hypot(*residual.T)) < TRUE_FRACTION * tolerance
    return pairs if true else pairs[:0]


def match_all(
    lists: Lists,
    coefficients: NDArray[np.float64],
    tolerance: float,
    number: int,
    trees: dict[int, cKDTree],
) -> Pairs:
    """Return the usable pairs of the brightest that a map brings together within a tolerance."""
    size = min(number, len(lists.star))
    tree = trees.get(size) or trees.setdefault(size, cKDTree(lists.star[:size]))
    moved = lists.place(coefficients, slice(0, number))
    pairs = mutual(moved, lists.star[:size], tolerance, tree)
    return pairs[lists.usable[pairs[:, 0]]]


def usable_order(matched: int, order: int, needed: Mapping[int, int] = STARS_FOR_ORDER) -> int:
    """Return the order that so many stars can bear."""
    return max(k for k, number in needed.items() if k <= order and matched >= number)


def misfit(lists: Lists, pairs: Pairs, coefficients: NDArray[np.float64]) -> float:
    """Return the information criterion of a solution (Schwarz 1978, AnSta 6, 461), clipped."""
    pull = np.abs(lists.pulls(pairs, coefficients))
    cost = np.sum(np.minimum(pull, CLIP_SIGMA) ** 2)
    return float(cost + coefficients.size * np.log(pull.size))


def fit_clipped(
    lists: Lists, pairs: Pairs, order: int, needed: Mapping[int, int] = STARS_FOR_ORDER
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Fit a polynomial to matched pairs, leaving out pairs beyond 4 sigma.

    Returns
    -------
    tuple
        Displacements from spots to stars, shape (terms, 2), and which pairs they rest on.
    """
    information = lists.information(pairs)
    errors = lists.errors(pairs)
    wanted = lists.star[pairs[:, 1]] - lists.spot[pairs[:, 0]]
    all_terms = lists.terms[pairs[:, 0]]
    keep = np.ones(len(pairs), np.bool_)
    for _ in range(10):
        count = terms_of(usable_order(int(np.count_nonzero(keep)), order, needed))
        normal = Normal.zero(count)
        normal.add(all_terms[keep, :count], wanted[keep], information[:, keep])
        coefficients = normal.solve()
        pull = np.abs((wanted - all_terms[:, :count] @ coefficients).T / errors)
        spread = np.maximum(1.4826 * np.median(pull[:, keep], axis=1), 1.0)
        new = np.all(pull < CLIP_SIGMA * spread[:, None], axis=0)
        if np.array_equal(new, keep) or np.count_nonzero(new) < MIN_STARS // 2:
            break
        keep = new
    return coefficients, keep


def is_beyond_chance(lists: Lists, coefficients: NDArray[np.float64], pairs: Pairs) -> bool:
    """Return whether so many pairs cannot come about by chance.

    The number of spots expected by chance within the largest distance of the pairs is compared
    with those found (Poisson). The map is bent to one pair for each of its terms.
    """
    moved = lists.place(coefficients, slice(None))
    low, high = lists.spot.min(axis=0), lists.spot.max(axis=0)
    inside = np.all((lists.star >= low) & (lists.star <= high), axis=1)
    density = np.count_nonzero(inside) / max(float(np.prod(high - low)), 1.0)
    residual = lists.star[pairs[:, 1]] - moved[pairs[:, 0]]
    radius = float(np.max(np.hypot(*residual.T)))
    mean = max(len(moved) * density * np.pi * radius**2, 1e-6)
    found = len(pairs) - len(coefficients)
    if found <= mean:
        return False
    return float(found * np.log(mean) - mean - gammaln(found + 1.0)) < LOG_CHANCE
