"""Small symmetric positive linear systems."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from csstcore.api import compiled

Floats = NDArray[np.float64]

SMALLEST_PIVOT = 1e-12
"""Of the diagonal element: below it a matrix counts as singular."""


@compiled
def factorise(matrix: Floats, factor: Floats) -> bool:
    """Write the Cholesky factor L, ``matrix = L L^T``; return False for a singular matrix."""
    n = matrix.shape[0]
    for i in range(n):
        for j in range(i + 1):
            total = matrix[i, j]
            for k in range(j):
                total -= factor[i, k] * factor[j, k]
            if i == j:
                if not total > SMALLEST_PIVOT * matrix[i, i]:
                    return False
                factor[i, i] = math.sqrt(total)
            else:
                factor[i, j] = total / factor[j, j]
    return True


@compiled
def solve(factor: Floats, right: Floats, out: Floats) -> None:
    """Write the solution of ``L L^T x = right``."""
    n = factor.shape[0]
    for i in range(n):
        total = right[i]
        for k in range(i):
            total -= factor[i, k] * out[k]
        out[i] = total / factor[i, i]
    for i in range(n - 1, -1, -1):
        total = out[i]
        for k in range(i + 1, n):
            total -= factor[k, i] * out[k]
        out[i] = total / factor[i, i]


@compiled
def invert(matrix: Floats) -> Floats:
    """Return the inverse; infinite for a singular matrix."""
    n = matrix.shape[0]
    scale = np.empty(n)
    for i in range(n):
        scale[i] = 1.0 / math.sqrt(matrix[i, i]) if matrix[i, i] > 0.0 else 0.0
    scaled = np.empty((n, n))
    for i in range(n):
        for j in range(n):
            scaled[i, j] = matrix[i, j] * scale[i] * scale[j]
    factor = np.zeros((n, n))
    inverse = np.full((n, n), np.inf)
    if not factorise(scaled, factor):
        return inverse
    unit, column = np.zeros(n), np.empty(n)
    for j in range(n):
        unit[:] = 0.0
        unit[j] = 1.0
        solve(factor, unit, column)
        for i in range(n):
            inverse[i, j] = column[i] * scale[i] * scale[j]
    return inverse
