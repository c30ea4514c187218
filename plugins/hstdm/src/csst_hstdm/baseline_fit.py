"""Baselines of spectra: Legendre or Chebyshev polynomials and sinusoids, by least squares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.polynomial import chebyshev, legendre
from numpy.typing import NDArray

from csstcore.api import each

Polynomial = Literal["legendre", "chebyshev"]

BLOCK_ROWS = 64
_CONDITION = 1e-3
"""Combinations of terms that the used channels determine worse than this are left out."""


def polynomials(channels: int, degree: int, kind: Polynomial) -> NDArray[np.float64]:
    """Return polynomials over the band, shape (channels, degree + 1)."""
    x = np.linspace(-1, 1, channels)
    vander = legendre.legvander if kind == "legendre" else chebyshev.chebvander
    return np.asarray(vander(x, degree))


def sinusoids(channels: int, cycles: Sequence[float]) -> NDArray[np.float64]:
    """Return cosine and sine of each number of cycles per band, shape (channels, 2 n)."""
    phase = 2 * np.pi * np.arange(channels)[:, None] / channels * np.asarray(cycles, float)
    return np.concatenate([np.cos(phase), np.sin(phase)], axis=1)


def fit(
    flux: NDArray[np.float32], used: NDArray[np.bool_], basis: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the coefficients of each spectrum, over the channels that are used.

    Parameters
    ----------
    flux
        Shape (rows, channels).
    used
        Channels that count; the others may hold NaN.
    basis
        Shape (channels, terms).

    Returns
    -------
    NDArray
        Shape (rows, terms); NaN where fewer than four channels per term are used. What the used
        channels do not determine, such as the course inside a wide gap, is left at zero.
    """
    terms = basis.shape[1]
    i, j = np.triu_indices(terms)
    products = basis[:, i] * basis[:, j]
    size = np.sqrt(np.sum(basis**2, axis=0))
    out = np.full((len(flux), terms), np.nan)

    def work(low: int) -> None:
        rows = slice(low, low + BLOCK_ROWS)
        weight = used[rows].astype(float)
        normal = np.empty((len(weight), terms, terms))
        normal[:, i, j] = normal[:, j, i] = weight @ products
        right = np.where(used[rows], flux[rows], np.float32(0)).astype(float) @ basis
        scaled = normal / (size[:, None] * size)
        found = np.linalg.pinv(scaled, rcond=_CONDITION, hermitian=True) @ (right / size)[..., None]
        found[weight.sum(axis=1) < 4 * terms] = np.nan
        out[rows] = found[..., 0] / size

    each(work, range(0, len(flux), BLOCK_ROWS))
    return out


def subtract(
    flux: NDArray[np.float32], coefficients: NDArray[np.float64], basis: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Return spectra without their baselines; NaN coefficients give NaN."""
    out = np.empty_like(flux)
    small = basis.T.astype(np.float32)

    def work(low: int) -> None:
        rows = slice(low, low + BLOCK_ROWS)
        np.matmul(coefficients[rows].astype(np.float32), small, out=out[rows])
        np.subtract(flux[rows], out[rows], out=out[rows])

    each(work, range(0, len(flux), BLOCK_ROWS))
    return out
