"""Products and eigenvectors of many small matrices, in threads that do not wait for each other.

The threads of BLAS inside the threads of `csstcore.api.each` take forty times the CPU time on a
busy machine; these loops are as fast as BLAS with one thread.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from csstcore.api import compiled

Matrix = NDArray[np.float64]


@compiled
def inner_products(first: Matrix, second: Matrix) -> Matrix:
    """Return ``first.T @ second``; shapes (long, a) and (long, b)."""
    result = np.zeros((first.shape[1], second.shape[1]))
    for p in range(first.shape[0]):
        for i in range(first.shape[1]):
            factor = first[p, i]
            for j in range(second.shape[1]):
                result[i, j] += factor * second[p, j]
    return result


@compiled
def product(first: Matrix, second: Matrix) -> Matrix:
    """Return ``first @ second``; shapes (long, a) and (a, b)."""
    result = np.zeros((first.shape[0], second.shape[1]))
    for p in range(first.shape[0]):
        for i in range(first.shape[1]):
            factor = first[p, i]
            for j in range(second.shape[1]):
                result[p, j] += factor * second[i, j]
    return result


@compiled
def tridiagonal(matrix: Matrix) -> tuple[NDArray[np.float64], NDArray[np.float64], Matrix]:
    """Reduce a symmetric matrix to tridiagonal form with Householder's reflections.

    Parameters
    ----------
    matrix
        Shape (n, n); overwritten.

    Returns
    -------
    diagonal, beside, reflections
        Shapes (n,), (n - 1,) and (n, n); row k holds the unit vector v of ``1 - 2 v v^T``.
    """
    n = len(matrix)
    beside, reflections = np.zeros(max(n - 1, 0)), np.zeros((n, n))
    w = np.empty(n)
    for k in range(n - 1):
        v = reflections[k]
        v[k + 1 :] = matrix[k, k + 1 :]
        length = np.sqrt(np.sum(v * v))
        if length == 0.0:
            continue
        beside[k] = -length if v[k + 1] > 0 else length
        v[k + 1] -= beside[k]
        v /= np.sqrt(np.sum(v * v))
        w[:] = 0.0
        for i in range(k + 1, n):
            factor = v[i]
            for j in range(k + 1, n):
                w[j] += factor * matrix[i, j]
        along = 0.0
        for j in range(k + 1, n):
            along += w[j] * v[j]
        for j in range(k + 1, n):
            w[j] = 2 * (w[j] - along * v[j])
        for i in range(k + 1, n):
            first, second = v[i], w[i]
            for j in range(k + 1, n):
                matrix[i, j] -= first * w[j] + second * v[j]
    return np.diag(matrix).copy(), beside, reflections


@compiled
def reflect(reflections: Matrix, vector: NDArray[np.float64], backwards: bool) -> None:
    """Bring a vector into the basis of the tridiagonal form, or backwards; in place."""
    n = len(vector)
    for step in range(n - 1):
        v = reflections[n - 2 - step] if backwards else reflections[step]
        along = 0.0
        for j in range(n):
            along += v[j] * vector[j]
        for j in range(n):
            vector[j] -= 2 * along * v[j]
