"""Positions and sizes in a Gaussian window that adapts to each source."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from csstcore.api import compiled

MIN_SIGMA = 0.5
MAX_SIGMA = 10.0
REACH_SIGMA = 4.0
MAX_STEPS = 40
LARGEST_SHIFT = 2.0
"""A window that moves farther from its start, in units of the first width, left its source."""


@compiled
def measure_windows(
    data: NDArray[np.float32],
    background: NDArray[np.float32],
    variance: NDArray[np.float32],
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    sigma: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Measure windowed positions, their errors and the sizes of sources.

    The centroid is iterated in a circular Gaussian weight (SExtractor's XWIN; Bertin's
    manual, "Windowed positional parameters") whose width is matched to the source: for a
    Gaussian source of variance S² in a weight of variance s² the weighted second moment m
    obeys 1/m = 1/S² + 1/s² (Bernstein & Jarvis 2002, AJ 123, 583). What the sum over pixels
    shifts it is taken off, see `sampling_shift`.

    Parameters
    ----------
    data, background, variance
        Pixels, their sky and their variance, shape (rows, columns).
    x, y
        First positions, 0-based pixel.
    sigma
        First widths, pixel.

    Returns
    -------
    ndarray
        One row per source: x, y [0-based pixel], x error, y error [pixel], sigma [pixel],
        and 1 where the iteration converged near its start (else 0, with the first position and
        no errors).
    """
    result = np.empty((x.size, 6))
    weight = np.empty(2 * math.ceil(REACH_SIGMA * MAX_SIGMA) + 1)
    for i in range(x.size):
        cx, cy = x[i], y[i]
        first = s = min(max(sigma[i], MIN_SIGMA), MAX_SIGMA)
        converged = 0.0
        ex = ey = np.nan
        for _ in range(MAX_STEPS):
            flux, mx, my, mr, vx, vy = weigh_moments(data, background, variance, cx, cy, s, weight)
            if not flux > 0.0:
                break
            step_x, step_y = 2.0 * mx / flux, 2.0 * my / flux
            cx += step_x
            cy += step_y
            if not math.hypot(cx - x[i], cy - y[i]) < LARGEST_SHIFT * first:
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
            ex = ey = np.nan
        else:
            cx, cy = cx + sampling_shift(cx, s), cy + sampling_shift(cy, s)
        result[i, 0], result[i, 1] = cx, cy
        result[i, 2], result[i, 3] = ex, ey
        result[i, 4], result[i, 5] = s, converged
    return result


@compiled
def sampling_shift(center: float, sigma: float) -> float:
    """Return what to add to a windowed position, a sum over pixels instead of an integral.

    A Gaussian source in a window of its own width is drawn towards the middles of pixels and
    the edges between them: by 2 millipixels at a FWHM of 2.2 pixels, by less the wider it is.
    The first term of Poisson's sum formula.

    Parameters
    ----------
    center
        Found position along one axis, 0-based pixel.
    sigma
        Of source and window, pixel.
    """
    size = 4.0 * math.pi * sigma * sigma * math.exp(-math.pi * math.pi * sigma * sigma)
    return size * math.sin(2.0 * math.pi * center)


@compiled
def weigh_moments(
    data: NDArray[np.float32],
    background: NDArray[np.float32],
    variance: NDArray[np.float32],
    cx: float,
    cy: float,
    s: float,
    weight: NDArray[np.float64],
) -> tuple[float, float, float, float, float, float]:
    """Return flux, moments x, y, r² and the variances of the first moments in a window.

    `weight` is room for the window's profile along a row; the window is a product of two.
    """
    rows, columns = data.shape
    reach = REACH_SIGMA * s
    left, right = max(0, math.ceil(cx - reach)), min(columns, math.floor(cx + reach) + 1)
    for column in range(left, right):
        weight[column - left] = math.exp(-0.5 * ((column - cx) / s) ** 2)
    flux = mx = my = mr = vx = vy = 0.0
    for row in range(max(0, math.ceil(cy - reach)), min(rows, math.floor(cy + reach) + 1)):
        dy = row - cy
        height = math.exp(-0.5 * (dy / s) ** 2)
        chord = math.sqrt(max(reach * reach - dy * dy, 0.0))
        line = lx = lxx = noise = noise_xx = 0.0
        for column in range(max(left, math.ceil(cx - chord)), min(right, int(cx + chord) + 1)):
            dx = column - cx
            w = weight[column - left]
            sigma2 = variance[row, column]
            value = data[row, column] - background[row, column]
            if not (sigma2 > 0.0 and sigma2 < np.inf and abs(value) < np.inf):
                continue
            value *= w
            line += value
            lx += value * dx
            lxx += value * dx * dx
            sigma2 *= w * w
            noise += sigma2
            noise_xx += sigma2 * dx * dx
        flux += height * line
        mx += height * lx
        my += height * line * dy
        mr += height * (lxx + line * dy * dy)
        vx += height * height * noise_xx
        vy += height * height * noise * dy * dy
    return flux, mx, my, mr, vx, vy
