"""How far a baseline is uncertain beneath the lines that its fit leaves out."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

_SMALLEST = 1e-10
"""Of the eigenvalues of the normal matrix, in units of the largest."""


def coefficient_covariance(
    basis: NDArray[np.float64], weight: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the covariance of the coefficients of a fit.

    Parameters
    ----------
    basis
        Shape (channels, terms).
    weight
        1 / variance of the channels; 0 where they are left out.
    """
    size = np.sqrt(np.sum(basis**2, axis=0))
    scaled = basis / size
    inverse = np.linalg.pinv((scaled.T * weight) @ scaled, rcond=_SMALLEST, hermitian=True)
    return np.asarray(inverse / np.outer(size, size))


def window_doubts(
    basis: NDArray[np.float64], free: NDArray[np.float64]
) -> list[tuple[int, int, float]]:
    """Return the windows, and the error of the baseline summed over each.

    Parameters
    ----------
    basis
        Shape (channels, terms).
    free
        Fraction of the dumps whose channel is no line; less than half is a window.

    Returns
    -------
    list
        First channel, end, and the error in units of the noise of the sum of the channels.
    """
    covariance = coefficient_covariance(basis, free)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], free < 0.5, [False]])))
    out = []
    for low, high in pairwise(edges):
        if free[low] < 0.5:
            total = basis[low:high].sum(axis=0)
            doubt = np.sqrt(max(total @ covariance @ total, 0.0) / (high - low))
            out.append((int(low), int(high), float(doubt)))
    return out
