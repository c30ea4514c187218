"""Flux and position of one point source, by least squares."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from csst_imaging.psf.render import across, place_taps
from csst_imaging.psf.spline import TAPS
from csstcore.api import compiled

MAX_STEPS = 12
CONVERGED_PIXEL, CONVERGED_SIGMA = 2e-4, 0.003
LAST_STEP_PIXEL = 0.05
"""Fits to galaxies creep: their steps are too short by as much as the PSF is too narrow."""

LONGEST_STEP_PIXEL = 0.7
FLUX, X, Y, FLUX_ERROR, X_ERROR, Y_ERROR, CHI2, USED, LIGHT = range(9)
"""Columns of a fit: `USED` pixels, `LIGHT` the part of the source's light that they get."""


@compiled
def transposed(plane: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    """Write the transpose of a plane."""
    for row in range(plane.shape[0]):
        for column in range(plane.shape[1]):
            out[column, row] = plane[row, column]


@compiled
def render_light(
    local: NDArray[np.float32],
    step: float,
    first_x: float,
    first_y: float,
    out: NDArray[np.float32],
) -> None:
    """Render a unit source, transposed (column, row); see `render_with_slopes`."""
    size = len(out)
    rows, columns = local.shape
    start, slopes = np.empty(size, np.int64), np.empty((size, TAPS), np.float32)
    taps = np.empty((size, TAPS), np.float32)
    half = np.empty((size, columns), np.float32)
    turned = np.empty((columns, size), np.float32)
    place_taps(first_y, step, rows, start, taps, slopes)
    across(local, start, taps, half)
    transposed(half, turned)
    place_taps(first_x, step, columns, start, taps, slopes)
    across(turned, start, taps, out)


@compiled
def render_with_slopes(
    local: NDArray[np.float32],
    step: float,
    first_x: float,
    first_y: float,
    size: int,
    out: NDArray[np.float32],
) -> None:
    """Render a unit source and its derivatives.

    Parameters
    ----------
    local
        Spline coefficients at the source, with margin, shape (rows, columns).
    step
        Distance of the samples, pixel.
    first_x, first_y
        Offset of the first pixel from the source, pixel.
    size
        Rows and columns of the stamp.
    out
        Written, shape (3, size, size), transposed (columns, rows): the light, and its
        derivatives by the source's x and y.
    """
    rows, columns = local.shape
    start_x, start_y = np.empty(size, np.int64), np.empty(size, np.int64)
    taps_x, slopes_x = np.empty((size, TAPS), np.float32), np.empty((size, TAPS), np.float32)
    taps_y, slopes_y = np.empty((size, TAPS), np.float32), np.empty((size, TAPS), np.float32)
    half = np.empty((size, columns), np.float32)
    turned = np.empty((columns, size), np.float32)
    place_taps(first_x, step, columns, start_x, taps_x, slopes_x)
    place_taps(first_y, step, rows, start_y, taps_y, slopes_y)
    slopes_x *= np.float32(-1.0 / step)
    slopes_y *= np.float32(-1.0 / step)
    across(local, start_y, taps_y, half)
    transposed(half, turned)
    across(turned, start_x, taps_x, out[0])
    across(turned, start_x, slopes_x, out[1])
    across(local, start_y, slopes_y, half)
    transposed(half, turned)
    across(turned, start_x, taps_x, out[2])


@compiled
def solve3(a: NDArray[np.float64], b: NDArray[np.float64], inverse: NDArray[np.float64]) -> bool:
    """Write the inverse of a symmetric 3 x 3 matrix; False if it has none.

    `b` is overwritten by the solution.
    """
    c00 = a[1, 1] * a[2, 2] - a[1, 2] * a[1, 2]
    c01 = a[0, 2] * a[1, 2] - a[0, 1] * a[2, 2]
    c02 = a[0, 1] * a[1, 2] - a[0, 2] * a[1, 1]
    determinant = a[0, 0] * c00 + a[0, 1] * c01 + a[0, 2] * c02
    if not determinant > 1e-12 * a[0, 0] * a[1, 1] * a[2, 2]:
        return False
    inverse[0, 0], inverse[0, 1], inverse[0, 2] = c00, c01, c02
    inverse[1, 1] = a[0, 0] * a[2, 2] - a[0, 2] * a[0, 2]
    inverse[1, 2] = a[0, 1] * a[0, 2] - a[0, 0] * a[1, 2]
    inverse[2, 2] = a[0, 0] * a[1, 1] - a[0, 1] * a[0, 1]
    inverse[1, 0], inverse[2, 0], inverse[2, 1] = inverse[0, 1], inverse[0, 2], inverse[1, 2]
    inverse /= determinant
    b0, b1, b2 = b[0], b[1], b[2]
    for k in range(3):
        b[k] = inverse[k, 0] * b0 + inverse[k, 1] * b1 + inverse[k, 2] * b2
    return True


@compiled
def fit_point(
    data: NDArray[np.float32],
    variance: NDArray[np.float32],
    local: NDArray[np.float32],
    step: float,
    x: float,
    y: float,
    reach: float,
    photons: float,
    model_error: float,
    result: NDArray[np.float64],
    model: NDArray[np.float32],
) -> bool:
    """Fit flux and position of a point source by Gauss-Newton steps.

    The weights are those of the model: sky plus the photons of the fitted source, so that
    upward fluctuations do not count less than downward ones.

    Parameters
    ----------
    data, variance
        Square stamp, background and neighbours subtracted, transposed (columns, rows);
        infinite variance where a pixel has no value; elsewhere the variance of all else.
    local
        Spline coefficients of the PSF at the source.
    step
        Distance of its samples, pixel.
    x, y
        First position, pixel from the centre of the first pixel of the stamp.
    reach
        Largest distance from the first position along an axis, pixel; 0 to keep it.
    photons
        Variance that the source adds per unit of flux.
    model_error
        Error of the PSF, relative to its values.
    result
        Written, see `FLUX` ..; positions as given.
    model
        Work space, shape (3, size, size); at the end the unit source and its derivatives.

    Returns
    -------
    bool
        Whether it converged; if not, `result` holds NaN.
    """
    size = data.shape[0]
    a, b, inverse = np.empty((3, 3)), np.empty(3), np.empty((3, 3))
    start_x, start_y = x, y
    flux = 0.0
    result[:] = np.nan
    for step_number in range(MAX_STEPS):
        render_with_slopes(local, step, -x, -y, size, model)
        a[:] = 0.0
        b[:] = 0.0
        chi2 = light = 0.0
        used = 0
        amplitude = max(flux, 0.0)
        for i in range(size):
            for j in range(size):
                sigma2 = variance[i, j]
                if sigma2 == np.inf:
                    continue
                m, mx, my = model[0, i, j], model[1, i, j], model[2, i, j]
                expected = amplitude * max(m, np.float32(0.0))
                weight = 1.0 / (sigma2 + photons * expected + (model_error * expected) ** 2)
                residual = data[i, j] - flux * m
                wm, wx, wy = weight * m, weight * mx, weight * my
                a[0, 0] += wm * m
                a[0, 1] += wm * mx
                a[0, 2] += wm * my
                a[1, 1] += wx * mx
                a[1, 2] += wx * my
                a[2, 2] += wy * my
                b[0] += wm * residual
                b[1] += wx * residual
                b[2] += wy * residual
                chi2 += weight * residual * residual
                light += m
                used += 1
        if used < 4 or a[0, 0] <= 0.0:
            return False
        if step_number == 0 or reach == 0.0:  # a flux first: without it there is no gradient
            flux += b[0] / a[0, 0]
            if flux <= 0.0:
                return False
            if reach > 0.0 or step_number < 2:
                continue
            result[FLUX], result[X], result[Y] = flux, x, y
            result[CHI2], result[USED], result[LIGHT] = chi2, used, light
            return True
        a[0, 1] *= flux
        a[0, 2] *= flux
        a[1, 1] *= flux * flux
        a[1, 2] *= flux * flux
        a[2, 2] *= flux * flux
        b[1] *= flux
        b[2] *= flux
        a[1, 0], a[2, 0], a[2, 1] = a[0, 1], a[0, 2], a[1, 2]
        if not solve3(a, b, inverse):
            return False
        longest = max(abs(b[1]), abs(b[2]))
        near = max(CONVERGED_PIXEL, CONVERGED_SIGMA * np.sqrt(inverse[1, 1]))
        if longest < near or (step_number == MAX_STEPS - 1 and longest < LAST_STEP_PIXEL):
            result[FLUX], result[X], result[Y] = flux + b[0], x + b[1], y + b[2]
            result[FLUX_ERROR] = np.sqrt(inverse[0, 0])
            result[X_ERROR], result[Y_ERROR] = np.sqrt(inverse[1, 1]), np.sqrt(inverse[2, 2])
            result[CHI2], result[USED], result[LIGHT] = chi2, used, light
            return True
        damping = min(1.0, LONGEST_STEP_PIXEL / longest)
        flux += b[0] * damping
        x += b[1] * damping
        y += b[2] * damping
        if flux <= 0.0 or abs(x - start_x) > reach or abs(y - start_y) > reach:
            return False
    return False
