"""Matching two lists of points that differ by a shift, a rotation and a distortion."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.special import gammaln

Points: TypeAlias = NDArray[np.float64]
"""Shape (points, 2), pixel."""

Pairs: TypeAlias = NDArray[np.intp]
"""Shape (pairs, 2): index in the first list, index in the second."""

CELL_PIXEL = (4.0, 30.0)
CELLS = 300.0
"""Cells across the first list, within the limits above: distortion grows with the field."""

ROTATION_STEP_DEGREE = 0.2
SCALES = 1.0 + 0.004 * np.arange(-6, 7)
LOG_CHANCE = -14.0
FREE_PAIRS = 4
"""Pairs that a map can be bent to by chance."""
LIST_SIZES = (60, 150, 400, 1000)
TOLERANCES_CELL = (2.3, 1.5, 1.0, 0.7, 0.4, 0.27)
ORDER_PAIRS = {1: 0, 2: 14, 3: 40}
"""Pairs from which a polynomial of this order refines the map."""


def propose_matches(
    first: Points, second: Points, shift_pixel: float, rotation_degree: float
) -> Iterator[Pairs]:
    """Match the bright points of two lists without knowing shift and rotation.

    Offsets of all pairs are counted in cells over the range of shifts, for a grid of
    rotations and scales about the centre of the second list; the fullest cell starts an
    affine map, refined with a shrinking tolerance.

    Parameters
    ----------
    first, second
        Points, brightest first.
    shift_pixel
        Largest shift along each axis.
    rotation_degree
        Largest rotation.

    Yields
    ------
    Pairs
        Matches that are hardly by chance, from lists of growing length; with few points the
        first can still be wrong.
    """
    if min(len(first), len(second)) < 4:
        return
    cell = float(np.clip(np.ptp(first, axis=0).max() / CELLS, *CELL_PIXEL))
    wider = max(box_area(second) / box_area(first), 1.0)
    for size in LIST_SIZES:
        few, many = first[:size], second[: int(wider * size)]
        start = best_shift(few, many, shift_pixel, rotation_degree, cell)
        pairs = None if start is None else refine(few, many, start, cell)
        if pairs is not None and is_significant(pairs, many, cell):
            yield pairs
        if len(few) == len(first) and len(many) == len(second):
            return


def box_area(points: Points) -> float:
    """Return the area of the box around points, at least 1."""
    return max(float(np.prod(np.ptp(points, axis=0))), 1.0)


def best_shift(
    first: Points, second: Points, shift_pixel: float, rotation_degree: float, cell: float
) -> NDArray[np.float64] | None:
    """Return the affine map (3, 2) from `first` to `second` with the most coincidences."""
    centre = second.mean(axis=0)
    second = by_height(second)
    steps = int(np.ceil(rotation_degree / ROTATION_STEP_DEGREE)) + 1
    rotations = np.radians(np.arange(-steps, steps + 1) * ROTATION_STEP_DEGREE)
    best, best_map = 0.0, None
    for rotation in rotations:
        cosine, sine = np.cos(rotation), np.sin(rotation)
        for scale in SCALES:
            linear = scale * np.array([[cosine, sine], [-sine, cosine]])
            count, mean, dx, dy = count_offsets(
                (first - centre) @ linear, second - centre, shift_pixel, cell
            )
            surprise = log_chance(count, mean)
            if surprise < best:
                best = surprise
                best_map = np.vstack([centre - centre @ linear + [dx, dy], linear])
    return best_map


def offset_by_count(first: Points, second: Points, reach_pixel: float, cell: float) -> Points:
    """Return the offset (2,) from `first` to `second` with the most coincidences."""
    _, _, dx, dy = count_offsets(first, by_height(second), reach_pixel, cell)
    return np.array([dx, dy])


def by_height(points: Points) -> Points:
    """Return points sorted by y."""
    return points[np.argsort(points[:, 1], kind="stable")]


def log_chance(count: float, mean: float) -> float:
    """Return the natural logarithm of the Poisson probability of a count above its mean."""
    if count <= mean:
        return 0.0
    return float(count * np.log(mean) - mean - gammaln(count + 1.0))


def is_significant(pairs: Pairs, second: Points, cell: float) -> bool:
    """Return whether so many pairs are beyond chance, the freedom of the map allowed for."""
    density = len(second) / box_area(second)
    tried = pairs[:, 0].max() + 1
    mean = max(tried * density * np.pi * (TOLERANCES_CELL[-1] * cell) ** 2, 1e-3)
    return log_chance(len(pairs) - FREE_PAIRS, mean) < LOG_CHANCE


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def count_offsets(
    first: Points, second: Points, reach: float, cell: float
) -> tuple[float, float, float, float]:
    """Return count in the fullest 2 x 2 cells, mean of such counts, and the mean offset there.

    `second` is sorted by y.
    """
    size = int(2.0 * reach / cell) + 2
    counts = np.zeros((size, size))
    height = second[:, 1].copy()
    for i in range(first.shape[0]):
        x, y = first[i, 0] - reach, first[i, 1] - reach
        for j in range(np.searchsorted(height, y), second.shape[0]):
            dx, dy = second[j, 0] - x, height[j] - y
            if dy >= 2.0 * reach:
                break
            if 0.0 <= dx < 2.0 * reach:
                counts[int(dy / cell), int(dx / cell)] += 1.0
    best, total, row, column = -1.0, 0.0, 0, 0
    for r in range(size - 1):
        for c in range(size - 1):
            value = counts[r, c] + counts[r + 1, c] + counts[r, c + 1] + counts[r + 1, c + 1]
            total += value
            if value > best:
                best, row, column = value, r, c
    low_x, low_y = column * cell - reach, row * cell - reach
    n = sx = sy = 0.0
    for i in range(first.shape[0]):
        x, y = first[i, 0] + low_x, first[i, 1] + low_y
        for j in range(np.searchsorted(height, y), second.shape[0]):
            dx, dy = second[j, 0] - x, height[j] - y
            if dy >= 2.0 * cell:
                break
            if 0.0 <= dx < 2.0 * cell:
                n += 1.0
                sx += dx + low_x
                sy += dy + low_y
    mean = total / ((size - 1) * (size - 1))
    return best, mean, sx / max(n, 1.0), sy / max(n, 1.0)


def refine(first: Points, second: Points, start: NDArray[np.float64], cell: float) -> Pairs | None:
    """Improve an affine map by matching within a shrinking tolerance, in growing order."""
    tree = cKDTree(second)
    middle = first.mean(axis=0)
    size = max(float(np.abs(first - middle).max()), 1.0)
    moved = np.column_stack([np.ones(len(first)), first]) @ start
    pairs: Pairs | None = None
    for tolerance in cell * np.array(TOLERANCES_CELL):
        for _ in range(3):
            new = mutual(moved, second, tolerance, tree)
            if len(new) < 5:
                return pairs
            if pairs is not None and np.array_equal(new, pairs):
                break
            pairs = new
            order = max(k for k, number in ORDER_PAIRS.items() if len(pairs) >= number)
            basis = polynomial((first - middle) / size, order)
            residual = moved[pairs[:, 0]] - second[pairs[:, 1]]
            near = np.hypot(*(residual - np.median(residual, axis=0)).T) <= tolerance
            chosen = pairs[near] if np.count_nonzero(near) >= 5 else pairs
            moved = (
                basis @ np.linalg.lstsq(basis[chosen[:, 0]], second[chosen[:, 1]], rcond=None)[0]
            )
    return pairs


def polynomial(points: Points, order: int) -> NDArray[np.float64]:
    """Return the polynomial terms of points up to an order, shape (points, terms)."""
    x, y = points.T
    return np.stack([x ** (n - j) * y**j for n in range(order + 1) for j in range(n + 1)], axis=-1)


def mutual(first: Points, second: Points, tolerance: float, tree: cKDTree | None = None) -> Pairs:
    """Return pairs that are each other's nearest within a tolerance.

    Parameters
    ----------
    first, second
        Points in the same frame.
    tolerance
        Largest distance, pixel.
    tree
        Tree of `second`, if at hand.
    """
    if len(first) == 0 or len(second) == 0:
        return np.zeros((0, 2), np.intp)
    tree = cKDTree(second) if tree is None else tree
    distance, there = tree.query(first, distance_upper_bound=tolerance)
    here = np.flatnonzero(np.isfinite(distance))
    there = there[here]
    wanted = np.unique(there)
    back = np.empty(len(second), np.intp)
    back[wanted] = cKDTree(first).query(second[wanted])[1]
    chosen = back[there] == here
    return np.column_stack([here[chosen], there[chosen]]).astype(np.intp)
