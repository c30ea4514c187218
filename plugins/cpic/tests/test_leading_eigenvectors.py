"""Eigenvectors without the interpreter's lock."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from scipy.linalg import eigh

from csst_cpic.star.leading_eigenvectors import leading_eigenvectors
from csstcore.api import UnprocessableData


def gram(count):
    frames = np.random.default_rng(1).standard_normal((count, 2 * count))
    return frames @ frames.T


@pytest.mark.parametrize(("count", "number"), [(1, 1), (2, 5), (40, 8), (120, 120)])
def test_they_are_those_of_a_whole_decomposition(count, number):
    matrix = gram(count)
    values, vectors = leading_eigenvectors(matrix.copy(), number)
    expected = eigh(matrix)
    number = min(number, count)
    np.testing.assert_allclose(values, expected[0][-number:], rtol=1e-10)
    np.testing.assert_allclose(np.abs(vectors), np.abs(expected[1][:, -number:]), atol=1e-8)


def test_a_matrix_without_numbers_is_refused():
    with pytest.raises(UnprocessableData, match="matrix of 5 frames"):
        leading_eigenvectors(np.full((5, 5), np.nan), 2)


def test_other_threads_go_on_meanwhile():
    matrix, awake, over = gram(1000), [], threading.Event()

    def count():
        while not over.is_set():
            time.sleep(0.001)
            awake.append(time.perf_counter())

    other = threading.Thread(target=count)
    other.start()
    start = time.perf_counter()
    leading_eigenvectors(matrix, 8)
    end = time.perf_counter()
    over.set()
    other.join()
    assert sum(start + 0.01 < moment < end - 0.01 for moment in awake) > 3
