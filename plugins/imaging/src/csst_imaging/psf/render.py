"""Images of point sources from an oversampled, field-varying PSF."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from csst_imaging.psf.spline import MARGIN, TAPS, coefficients, spline_weights
from csstcore.api import Psf, compiled

Floats = NDArray[np.float64]


def render_psf(psf: Psf, x: Floats, y: Floats, size: int) -> NDArray[np.float32]:
    """Return images of point sources of flux 1.

    The samples are interpolated by quintic splines; beyond the grid the PSF is zero.

    Parameters
    ----------
    psf
        The model.
    x, y
        FITS pixel positions of the sources, shape (n,).
    size
        Rows and columns of an image. The pixel nearest to the source (halves rounded up) is
        at index ``size // 2`` along both axes.

    Returns
    -------
    ndarray
        Shape (n, size, size): the part of the flux in each pixel.

    Raises
    ------
    ValueError
        A position is not finite, or `size` is not positive.
    """
    x, y = np.atleast_1d(np.asarray(x, np.float64)), np.atleast_1d(np.asarray(y, np.float64))
    if size < 1 or not np.all(np.isfinite(x) & np.isfinite(y)):
        raise ValueError(f"size is {size}; expected at least 1, and finite positions")
    out = np.empty((len(x), size, size), np.float32)
    stamps = spline_planes(psf)
    render_stamps(stamps, psf.step_pixel, field_terms(psf, x, y), x, y, out)
    return out


def psf_at(psf: Psf, x: Floats, y: Floats) -> NDArray[np.float32]:
    """Return the oversampled samples at positions.

    Parameters
    ----------
    psf
        The model.
    x, y
        FITS pixel positions, shape (n,).

    Returns
    -------
    ndarray
        Shape (n, rows, columns), as `Psf.samples`.
    """
    terms = field_terms(psf, np.atleast_1d(x), np.atleast_1d(y))
    return np.asarray(np.tensordot(terms, psf.samples, axes=1), np.float32)


def spline_planes(psf: Psf) -> NDArray[np.float32]:
    """Return the spline coefficients of the samples, with margin; see `coefficients`."""
    return coefficients(psf.samples)


def field_terms(psf: Psf, x: Floats, y: Floats) -> NDArray[np.float32]:
    """Return the terms of the polynomial at FITS pixel positions, shape (n, terms)."""
    u = (np.asarray(x, np.float64) - psf.zero[0]) / psf.scale[0]
    v = (np.asarray(y, np.float64) - psf.zero[1]) / psf.scale[1]
    return polynomial(u, v, psf.degree).astype(np.float32)


def polynomial(u: Floats, v: Floats, degree: int) -> Floats:
    """Return 1, u, u^2 .. v, uv .. up to a degree (order of `Psf`), shape (n, terms)."""
    powers = [u**i * v**j for j in range(degree + 1) for i in range(degree + 1 - j)]
    return np.stack(powers, axis=-1)


@compiled
def render_stamps(
    planes: NDArray[np.float32],
    step: float,
    terms: NDArray[np.float32],
    x: Floats,
    y: Floats,
    out: NDArray[np.float32],
) -> None:
    """Render point sources into stamps; see `render_psf`.

    Parameters
    ----------
    planes
        Spline coefficients with margin, shape (terms, rows, columns).
    step
        Distance of the samples, pixel.
    terms
        Shape (n, terms).
    x, y
        Pixel positions.
    out
        Written, shape (n, size, size).
    """
    size = out.shape[1]
    rows, columns = planes.shape[1:]
    local = np.empty((rows, columns), np.float32)
    half = np.empty((size, columns), np.float32)
    row_taps = np.empty((size, TAPS), np.float32)
    column_taps = np.empty((size, TAPS), np.float32)
    slopes = np.empty((size, TAPS), np.float32)
    row_start = np.empty(size, np.int64)
    column_start = np.empty(size, np.int64)
    for i in range(len(x)):
        first = -(size // 2) - (x[i] - np.floor(x[i] + 0.5))
        place_taps(first, step, columns, column_start, column_taps, slopes)
        first = -(size // 2) - (y[i] - np.floor(y[i] + 0.5))
        place_taps(first, step, rows, row_start, row_taps, slopes)
        low, high = needed(row_start)
        blend(planes, terms[i], low, high, local)
        across(local, row_start, row_taps, half)
        along(half, column_start, column_taps, out[i])


@compiled
def place_taps(
    first: float,
    step: float,
    count: int,
    start: NDArray[np.int64],
    taps: NDArray[np.float32],
    slopes: NDArray[np.float32],
) -> None:
    """Find the spline coefficients and their weights for a line of pixels.

    Parameters
    ----------
    first
        Offset of the first pixel from the source, pixel.
    step
        Distance of the samples, pixel.
    count
        Number of coefficients along the line, margin included.
    start
        Written: index of the first coefficient of each pixel, -1 beyond the grid.
    taps, slopes
        Written: weights, and their derivatives in samples, shape (pixels, `TAPS`).
    """
    middle = 0.5 * (count - 2 * MARGIN - 1)
    for k in range(len(start)):
        place = (first + k) / step + middle
        left = int(np.floor(place))
        start[k] = left + MARGIN - 2
        if start[k] < 0 or start[k] + TAPS > count:
            start[k] = -1
            continue
        spline_weights(place - left, taps[k], slopes[k])


@compiled
def needed(start: NDArray[np.int64]) -> tuple[int, int]:
    """Return the range of coefficients that a line of pixels needs; empty if none."""
    low, high = 0, 0
    for first in start:
        if first >= 0:
            low = first if high == 0 else min(low, first)
            high = max(high, first + TAPS)
    return low, high


@compiled
def blend(
    planes: NDArray[np.float32],
    terms: NDArray[np.float32],
    low: int,
    high: int,
    local: NDArray[np.float32],
) -> None:
    """Sum the rows `low` to `high` of the planes times their terms into `local`."""
    columns = planes.shape[2]
    for row in range(low, high):
        for column in range(columns):
            local[row, column] = terms[0] * planes[0, row, column]
        for k in range(1, len(terms)):
            for column in range(columns):
                local[row, column] += terms[k] * planes[k, row, column]


@compiled
def across(
    local: NDArray[np.float32],
    start: NDArray[np.int64],
    taps: NDArray[np.float32],
    half: NDArray[np.float32],
) -> None:
    """Interpolate along y: `half` gets one row per row of pixels."""
    columns = local.shape[1]
    for row in range(len(start)):
        s = start[row]
        if s < 0:
            half[row] = 0.0
            continue
        a, b, c = taps[row, 0], taps[row, 1], taps[row, 2]
        d, e, f = taps[row, 3], taps[row, 4], taps[row, 5]
        for column in range(columns):
            half[row, column] = (
                a * local[s, column]
                + b * local[s + 1, column]
                + c * local[s + 2, column]
                + d * local[s + 3, column]
                + e * local[s + 4, column]
                + f * local[s + 5, column]
            )


@compiled
def along(
    half: NDArray[np.float32],
    start: NDArray[np.int64],
    taps: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    """Interpolate along x: `out` gets the pixels."""
    for column in range(len(start)):
        s = start[column]
        if s < 0:
            out[:, column] = 0.0
            continue
        a, b, c = taps[column, 0], taps[column, 1], taps[column, 2]
        d, e, f = taps[column, 3], taps[column, 4], taps[column, 5]
        for row in range(half.shape[0]):
            out[row, column] = (
                a * half[row, s]
                + b * half[row, s + 1]
                + c * half[row, s + 2]
                + d * half[row, s + 3]
                + e * half[row, s + 4]
                + f * half[row, s + 5]
            )
