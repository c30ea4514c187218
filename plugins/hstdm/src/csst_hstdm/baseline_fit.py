"""Baselines of spectra: Legendre or Chebyshev polynomials and sinusoids, by least squares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.polynomial import chebyshev, legendre
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.stats import gamma

from csstcore.api import each

Polynomial = Literal["legendre", "chebyshev"]

BLOCK_ROWS = 64
FALSE_ALARM = 1e-4
"""Probability with which noise is taken for a standing wave."""
_OVERSAMPLING = 4
_CONDITION = 1e-3
"""Combinations of terms that the used channels determine worse than this are left out."""
_APART_CYCLES = 0.75
_BINS = 1024


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


def standing_wave(
    residual: NDArray[np.float32],
    used: NDArray[np.bool_],
    known: Sequence[float],
    *,
    least_cycles: float,
) -> float | None:
    """Return the strongest sinusoid that all spectra share, in cycles per band.

    The phases may differ; the powers of the spectra are added, so that a wave counts that does
    not survive the time average.

    Parameters
    ----------
    residual
        Spectra without baseline, shape (rows, channels).
    used
        Channels that count.
    known
        Waves that are fitted already.
    least_cycles
        Slower ones are left to the polynomial.

    Returns
    -------
    float or None
        None if noise would give that much with a probability above `FALSE_ALARM`.
    """
    values, variance = _binned(residual, used)
    rows = np.flatnonzero(variance > 0)
    bins = values.shape[1]
    if not len(rows) or bins < 8 * least_cycles:
        return None
    values = values[rows] / np.sqrt(variance[rows])[:, None]
    grid = np.arange(least_cycles, bins / 8, 1 / _OVERSAMPLING)

    def power(cycles: NDArray[np.float64]) -> NDArray[np.float64]:
        phase = 2 * np.pi * (np.arange(bins)[:, None] + 0.5) / bins * cycles
        return np.asarray(
            ((values @ np.cos(phase)) ** 2 + (values @ np.sin(phase)) ** 2).mean(axis=0)
        )

    found = power(grid)
    best = int(np.argmax(found))
    noise = max(float(np.median(found)) / (float(gamma.median(len(rows))) / len(rows)), 1e-30)
    limit = float(gamma.isf(FALSE_ALARM / len(grid), len(rows))) / len(rows)
    if found[best] < limit * noise:
        return None
    if any(abs(grid[best] - wave) < _APART_CYCLES for wave in known):
        return None
    around = (grid[best] - 1 / _OVERSAMPLING, grid[best] + 1 / _OVERSAMPLING)
    return float(minimize_scalar(lambda x: -power(np.array([x]))[0], bounds=around).x)


def _binned(
    residual: NDArray[np.float32], used: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return sums over channels, and the sum of squares of each spectrum."""
    rows, channels = residual.shape
    size = max(channels // _BINS, 1)
    whole = channels // size * size
    out = np.empty((rows, channels // size))

    def work(low: int) -> None:
        part = slice(low, low + BLOCK_ROWS)
        clean = np.where(used[part, :whole], residual[part, :whole], np.float32(0))
        out[part] = clean.reshape(len(clean), -1, size).sum(axis=2)

    each(work, range(0, rows, BLOCK_ROWS))
    return out, np.sum(out**2, axis=1)
