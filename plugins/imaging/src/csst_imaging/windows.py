"""Positions and sizes in a Gaussian window that adapts to each source."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

MIN_SIGMA = 0.5
MAX_SIGMA = 10.0
REACH_SIGMA = 4.0
MAX_STEPS = 40


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def measure_windows(
    data: NDArray[np.float32],
    variance: NDArray[np.float32],
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    sigma: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Measure windowed positions, their errors and the sizes of sources.

    The centroid is iterated in a circular Gaussian weight (SExtractor's XWIN; Bertin's
    manual, "Windowed positional parameters") whose width is matched to the source: for a
    Gaussian source of variance S² in a weight of variance s² the weighted second moment m
    obeys 1/m = 1/S² + 1/s² (Bernstein & Jarvis 2002, AJ 123, 583).

    Parameters
    ----------
    data, variance
        Background-subtracted pixels and their variance, shape (rows, columns).
    x, y
        First positions, 0-based pixel.
    sigma
        First widths, pixel.

    Returns
    -------
    ndarray
        One row per source: x, y [0-based pixel], x error, y error [pixel], sigma [pixel],
        and 1 where the iteration converged near its start (else 0, with the first position).
    """
    rows, columns = data.shape
    result = np.empty((x.size, 6))
    for i in range(x.size):
        cx, cy = x[i], y[i]
        s = min(max(sigma[i], MIN_SIGMA), MAX_SIGMA)
        converged = 0.0
        ex = ey = np.nan
        for _ in range(MAX_STEPS):
            reach = REACH_SIGMA * s
            flux = mx = my = mr = vx = vy = 0.0
            for row in range(max(0, math.ceil(cy - reach)), min(rows, math.floor(cy + reach) + 1)):
                dy = row - cy
                for column in range(
                    max(0, math.ceil(cx - reach)), min(columns, math.floor(cx + reach) + 1)
                ):
                    dx = column - cx
                    r2 = dx * dx + dy * dy
                    if r2 > reach * reach:
                        continue
                    weight = math.exp(-0.5 * r2 / (s * s))
                    signal = weight * data[row, column]
                    flux += signal
                    mx += signal * dx
                    my += signal * dy
                    mr += signal * r2
                    noise = variance[row, column]
                    if noise < np.inf:
                        noise *= weight * weight
                        vx += noise * dx * dx
                        vy += noise * dy * dy
            if flux <= 0.0:
                break
            step_x, step_y = 2.0 * mx / flux, 2.0 * my / flux
            cx += step_x
            cy += step_y
            if not (abs(cx - x[i]) < 4.0 * s and abs(cy - y[i]) < 4.0 * s):
                break
            ex, ey = 2.0 * math.sqrt(vx) / flux, 2.0 * math.sqrt(vy) / flux
            moment = 0.5 * mr / flux
            matched = moment * s * s / (s * s - moment) if 0.0 < moment < 0.9 * s * s else 2 * s * s
            if moment <= 0.0:
                matched = MIN_SIGMA**2
            new = min(max(math.sqrt(matched), MIN_SIGMA), MAX_SIGMA)
            done = step_x * step_x + step_y * step_y < 1e-8 and abs(new - s) < 1e-3 * s
            s = new
            if done:
                converged = 1.0
                break
        if converged == 0.0:
            cx, cy = x[i], y[i]
        result[i, 0], result[i, 1] = cx, cy
        result[i, 2], result[i, 3] = ex, ey
        result[i, 4], result[i, 5] = s, converged
    return result


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def sum_isophotes(
    segments: NDArray[np.int32],
    variance: NDArray[np.float32],
    flags: NDArray[np.uint16],
    number: int,
) -> tuple[NDArray[np.float64], NDArray[np.int32], NDArray[np.int32]]:
    """Sum variances and collect flags over the pixels of each source.

    Parameters
    ----------
    segments
        Source number (from 1) of each pixel, 0 for the sky; shape (rows, columns).
    variance, flags
        Planes of the same shape.
    number
        How many sources there are.

    Returns
    -------
    tuple
        Per source: sum of variances, bitwise or of flags, number of flagged pixels.
    """
    noise = np.zeros(number)
    bits = np.zeros(number, np.int32)
    count = np.zeros(number, np.int32)
    rows, columns = segments.shape
    for row in range(rows):
        for column in range(columns):
            source = segments[row, column] - 1
            if source < 0:
                continue
            if variance[row, column] < np.inf:
                noise[source] += variance[row, column]
            if flags[row, column] != 0:
                bits[source] |= flags[row, column]
                count[source] += 1
    return noise, bits, count
