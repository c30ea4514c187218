"""Pairs of two lists of points."""

import numpy as np
import pytest

from csst_imaging.position.matching import mutual


def brute_force(first: np.ndarray, second: np.ndarray, tolerance: float) -> list[tuple[int, int]]:
    distance = np.hypot(*(first[:, None] - second[None]).transpose(2, 0, 1))
    there, back = distance.argmin(axis=1), distance.argmin(axis=0)
    return [
        (i, int(j)) for i, j in enumerate(there) if back[j] == i and distance[i, j] <= tolerance
    ]


def test_a_point_whose_nearest_prefers_another_has_no_pair() -> None:
    first = np.array([(0.0, 0.0), (1.0, 0.0)])
    second = np.array([(0.4, 0.0), (-0.1, 0.0)])
    assert mutual(first, second, 2.0).tolist() == [[0, 1]]


@pytest.mark.parametrize("tolerance", [0.5, 3.0, 100.0])
def test_pairs_are_those_of_all_distances(tolerance: float) -> None:
    rng = np.random.default_rng(5)
    first, second = rng.uniform(0, 30, (80, 2)), rng.uniform(0, 30, (130, 2))
    expected = brute_force(first, second, tolerance)
    assert [tuple(pair) for pair in mutual(first, second, tolerance).tolist()] == expected


def test_no_points_make_no_pairs() -> None:
    assert mutual(np.zeros((0, 2)), np.zeros((3, 2)), 1.0).shape == (0, 2)
    assert mutual(np.zeros((3, 2)), np.full((3, 2), 9.0), 1.0).shape == (0, 2)
