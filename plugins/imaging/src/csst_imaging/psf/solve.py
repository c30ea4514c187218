"""The oversampled PSF that fits many stars best: linear least squares by conjugate gradients.

The unknowns are spline coefficients, some 6,000 for each term of the polynomial; the normal
matrix is never made, only applied: rendered into every star, weighted, and spread back.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from csst_imaging.psf.point_fit import transposed
from csst_imaging.psf.render import across, blend, place_taps
from csst_imaging.psf.spline import MARGIN, NODE_WEIGHTS, TAPS
from csstcore.api import compiled

SMOOTHNESS = 0.01
"""Damping at half the Nyquist frequency of the samples; it grows with the eighth power."""

RIDGE = 1e-4
LEAST_WEIGHT = 1e-3
TOLERANCE = 1e-4

Stamps = NDArray[np.float32]
Places = tuple[NDArray[np.int64], Stamps, NDArray[np.int64], Stamps]


@dataclass(frozen=True)
class Sample:
    """Stars, each with its polynomial terms; stamps are transposed (star, column, row)."""

    data: Stamps
    weight: Stamps
    """Inverse variance; 0 where a pixel does not count."""
    flux: Stamps
    terms: Stamps
    """Shape (stars, terms)."""
    places: Places
    """For y and x each: first coefficient of each pixel and its weights (see `place`)."""


def place(first_x: NDArray[np.float64], first_y: NDArray[np.float64], grid: Grid) -> Places:
    """Return where the pixels of stamps lie among the coefficients.

    Parameters
    ----------
    first_x, first_y
        Offset of the first pixel from the star, pixel.
    grid
        The samples, and the size of the stamps.
    """
    found = []
    for first in (first_y, first_x):
        start = np.empty((len(first), grid.stamp), np.int64)
        taps = np.empty((len(first), grid.stamp, TAPS), np.float32)
        _place(first, grid.step, grid.count + 2 * MARGIN, start, taps)
        found += [start, taps]
    return tuple(found)  # type: ignore[return-value]


@dataclass(frozen=True)
class Grid:
    """Samples on a side, their distance in pixels, and the side of the stars' stamps."""

    count: int
    step: float
    stamp: int


def solve(
    sample: Sample,
    start: NDArray[np.float64],
    threads: ThreadPoolExecutor,
    workers: int,
    steps: int,
) -> NDArray[np.float64]:
    """Return the spline coefficients that minimise the weighted residuals of the stars.

    Conjugate gradients, preconditioned by the local weight and, in Fourier space, by the
    response of splines; roughness is damped in proportion to the information there is.

    Parameters
    ----------
    sample
        The stars. Their terms should be orthonormal under their weights.
    start
        First coefficients with margin, shape (terms, rows, columns).
    threads, workers
        Where the work is done, in as many parts.
    steps
        Most iterations.
    """
    weight = np.maximum(local_weight(sample, start.shape, threads, workers), 0.0)
    root = np.sqrt(np.maximum(weight, LEAST_WEIGHT * weight.max()))
    response, damping = _spectra(start.shape[-2:])

    def regular(c: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(root * _filtered(root * c, damping))

    def apply(c: NDArray[np.float64]) -> NDArray[np.float64]:
        return _spread(sample, c.astype(np.float32), False, threads, workers) + regular(c)

    inverse = 1.0 / (response + damping)

    def condition(r: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(_filtered(r / root, inverse) / root)

    target = _spread(sample, start.astype(np.float32), True, threads, workers)
    solution = start.astype(np.float64)
    residual = target - apply(solution)
    scale = float(np.sum(target * condition(target)))
    z = condition(residual)
    direction, size = z, float(np.sum(residual * z))
    for _ in range(steps):
        if not size > TOLERANCE**2 * scale:
            break
        applied = apply(direction)
        length = size / float(np.sum(direction * applied))
        solution = solution + length * direction
        residual = residual - length * applied
        z = condition(residual)
        new = float(np.sum(residual * z))
        direction, size = z + (new / size) * direction, new
    return solution


def local_weight(
    sample: Sample, shape: tuple[int, ...], threads: ThreadPoolExecutor, workers: int
) -> NDArray[np.float64]:
    """Return the information on each coefficient of the first term, shape (rows, columns)."""
    ones = Sample(
        np.ones_like(sample.data) * sample.flux[:, None, None],
        *(sample.weight, sample.flux, np.ones((len(sample.flux), 1), np.float32), sample.places),
    )
    nothing = np.zeros((1, *shape[-2:]), np.float32)
    return np.asarray(_spread(ones, nothing, True, threads, workers)[0])


def _spectra(shape: tuple[int, ...]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the response of the normal matrix and of the damping, over frequency."""
    rows, columns = np.fft.fftfreq(shape[0]), np.fft.rfftfreq(shape[1])
    line = [
        NODE_WEIGHTS[2]
        + 2 * NODE_WEIGHTS[1] * np.cos(2 * np.pi * f)
        + 2 * NODE_WEIGHTS[0] * np.cos(4 * np.pi * f)
        for f in (rows, columns)
    ]
    response = np.multiply.outer(line[0] ** 2, line[1] ** 2)
    frequency = np.hypot(rows[:, None], columns[None, :])
    return response, response * SMOOTHNESS * (frequency / 0.25) ** 8 + RIDGE


def _filtered(planes: NDArray[np.float64], gain: NDArray[np.float64]) -> NDArray[np.float64]:
    spectrum = np.fft.rfft2(planes) * gain
    return np.asarray(np.fft.irfft2(spectrum, planes.shape[-2:]))


def _spread(
    sample: Sample,
    planes: NDArray[np.float32],
    of_data: bool,
    threads: ThreadPoolExecutor,
    workers: int,
) -> NDArray[np.float64]:
    """Spread the weighted data, or the weighted model of `planes`, back to the coefficients."""
    edges = np.linspace(0, len(sample.flux), workers + 1).astype(int)

    def part(low: int, high: int) -> NDArray[np.float32]:
        out = np.zeros_like(planes)
        _spread_stars(
            *(planes, sample.data, sample.weight, sample.flux, sample.terms),
            *sample.places,
            *(of_data, low, high, out),
        )
        return out

    parts = list(threads.map(part, edges[:-1], edges[1:]))
    return np.asarray(np.sum(parts, axis=0, dtype=np.float64))


@compiled
def _spread_stars(
    planes: NDArray[np.float32],
    data: Stamps,
    weight: Stamps,
    flux: NDArray[np.float32],
    terms: NDArray[np.float32],
    start_y: NDArray[np.int64],
    taps_y: Stamps,
    start_x: NDArray[np.int64],
    taps_x: Stamps,
    of_data: bool,
    low: int,
    high: int,
    out: NDArray[np.float32],
) -> None:
    size = data.shape[1]
    rows, columns = planes.shape[1:]
    local = np.empty((rows, columns), np.float32)
    half, turned = np.empty((size, columns), np.float32), np.empty((columns, size), np.float32)
    stamp = np.empty((size, size), np.float32)
    for i in range(low, high):
        if of_data:
            stamp[:] = data[i]
            scale = flux[i]
        else:
            blend(planes, terms[i], 0, rows, local)
            across(local, start_y[i], taps_y[i], half)
            transposed(half, turned)
            across(turned, start_x[i], taps_x[i], stamp)
            scale = flux[i] * flux[i]
        for j in range(size):
            for k in range(size):
                stamp[j, k] *= scale * weight[i, j, k]
        _scatter(stamp, start_x[i], taps_x[i], turned)
        transposed(turned, half)
        _scatter(half, start_y[i], taps_y[i], local)
        for t in range(len(out)):
            term = terms[i, t]
            for row in range(rows):
                for column in range(columns):
                    out[t, row, column] += term * local[row, column]


def render_sample(planes: NDArray[np.float32], sample_terms: Stamps, places: Places) -> Stamps:
    """Return images of unit sources at the places of stars, transposed (star, column, row)."""
    size = places[0].shape[1]
    out = np.empty((len(sample_terms), size, size), np.float32)
    _render_stars(planes, sample_terms, *places, out)
    return out


@compiled
def _render_stars(
    planes: NDArray[np.float32],
    terms: NDArray[np.float32],
    start_y: NDArray[np.int64],
    taps_y: Stamps,
    start_x: NDArray[np.int64],
    taps_x: Stamps,
    out: Stamps,
) -> None:
    size = out.shape[1]
    rows, columns = planes.shape[1:]
    local = np.empty((rows, columns), np.float32)
    half, turned = np.empty((size, columns), np.float32), np.empty((columns, size), np.float32)
    for i in range(len(out)):
        blend(planes, terms[i], 0, rows, local)
        across(local, start_y[i], taps_y[i], half)
        transposed(half, turned)
        across(turned, start_x[i], taps_x[i], out[i])


@compiled
def _scatter(
    lines: NDArray[np.float32], start: NDArray[np.int64], taps: Stamps, out: NDArray[np.float32]
) -> None:
    """Do the transpose of `across`: spread lines of pixels over the coefficients."""
    out[:] = 0.0
    for line in range(len(start)):
        first = start[line]
        if first < 0:
            continue
        for tap in range(TAPS):
            weight = taps[line, tap]
            for k in range(out.shape[1]):
                out[first + tap, k] += weight * lines[line, k]


@compiled
def _place(
    first: NDArray[np.float64], step: float, count: int, start: NDArray[np.int64], taps: Stamps
) -> None:
    slopes = np.empty(taps.shape[1:], np.float32)
    for i in range(len(first)):
        place_taps(first[i], step, count, start[i], taps[i], slopes)
