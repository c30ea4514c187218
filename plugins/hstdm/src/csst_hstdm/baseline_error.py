"""How far a baseline is uncertain beneath the lines that its fit leaves out."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from csst_hstdm.baseline_fit import BLOCK_ROWS

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


def determination(
    basis: NDArray[np.float64], used: NDArray[np.bool_], good: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return how well the used channels determine each baseline over its good ones.

    Of all combinations of the terms, the smallest fraction of the square over the good channels
    that lies in the used ones: 1 if all are used, 0 if something can change that no used channel
    sees. The error of the baseline grows with the inverse of the root.

    Parameters
    ----------
    basis
        Shape (channels, terms).
    used, good
        Shape (spectra, channels).

    Returns
    -------
    NDArray
        Shape (spectra,).
    """
    i, j = np.triu_indices(basis.shape[1])
    scaled = basis / np.sqrt(np.sum(basis**2, axis=0))
    products = scaled[:, i] * scaled[:, j]
    normals = np.empty((2, len(used), basis.shape[1], basis.shape[1]))
    for normal, channels in zip(normals, (used, good), strict=True):
        for low in range(0, len(used), BLOCK_ROWS):
            rows = slice(low, low + BLOCK_ROWS)
            part = channels[rows].astype(float) @ products
            normal[rows, i, j] = normal[rows, j, i] = part
    size, axes = np.linalg.eigh(normals[1])
    known = size > _SMALLEST * size[:, -1:]
    whiten = np.where(known, 1 / np.sqrt(np.where(known, size, 1.0)), 0.0)[:, None] * axes
    seen = whiten.transpose(0, 2, 1) @ normals[0] @ whiten
    unknown = np.eye(basis.shape[1]) * ~known[:, None]
    return np.asarray(np.linalg.eigvalsh(seen + unknown)[:, 0])


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
