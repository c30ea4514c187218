"""Kron's elliptical apertures, and the radii that hold parts of their flux."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from csstcore.api import compiled

KRON_REACH = 6.0
KRON_FACTOR, KRON_MINIMUM, KRON_MAXIMUM = 2.5, 3.5, 30.0
"""SExtractor's PHOT_AUTOPARAMS and the ellipse, in units of A and B, where the radius is taken."""

SUBPIXELS = 5
"""An edge pixel counts by how many of its 5 x 5 parts lie inside, as SExtractor's."""

FINE_RADIUS_PIXEL = 6.0
PROFILE_STEP_PIXEL = 0.25
FRACTIONS = (0.2, 0.5, 0.9)
REACH_PIXEL = (6.0, 100.0)


@compiled
def kron_fluxes(
    data: NDArray[np.float32],
    background: NDArray[np.float32],
    variance: NDArray[np.float32],
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    a: NDArray[np.float64],
    b: NDArray[np.float64],
    theta: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Measure fluxes in ellipses of Kron's radius.

    The first moment of the light inside `KRON_REACH` times the ellipse of second moments gives
    the radius (Kron 1980, ApJS 43, 305); the aperture is `KRON_FACTOR` times as large, at least
    `KRON_MINIMUM` times the ellipse.

    Parameters
    ----------
    data, background, variance
        Planes of shape (rows, columns); a pixel without finite positive variance has no value.
    x, y
        Positions, 0-based pixel.
    a, b, theta
        Axes of the second moments [pixel] and the angle of the major one from +x to +y [rad].

    Returns
    -------
    ndarray
        One row per source: Kron radius in units of the axes (0 if there is no light), scale of
        the aperture, flux, its error, whether the aperture is cut or incomplete, and the radii
        of `FRACTIONS` of the flux [pixel].
    """
    result = np.empty((x.size, 5 + len(FRACTIONS)))
    bins = np.empty(int(REACH_PIXEL[1] / PROFILE_STEP_PIXEL) + 2)
    for i in range(x.size):
        cos, sin = math.cos(theta[i]), math.sin(theta[i])
        shape = (
            (cos / a[i]) ** 2 + (sin / b[i]) ** 2,
            (sin / a[i]) ** 2 + (cos / b[i]) ** 2,
            2.0 * cos * sin * (a[i] ** -2 - b[i] ** -2),
        )
        radius = kron_radius(data, background, variance, x[i], y[i], shape)
        scale = min(max(KRON_FACTOR * radius, KRON_MINIMUM), KRON_MAXIMUM)
        flux, noise, cut = sum_ellipse(data, background, variance, x[i], y[i], shape, scale)
        result[i, 0], result[i, 1], result[i, 2] = radius, scale, flux
        result[i, 3], result[i, 4] = math.sqrt(noise), cut
        reach = min(max(scale * a[i], REACH_PIXEL[0]), REACH_PIXEL[1])
        light_radii(data, background, variance, x[i], y[i], flux, reach, bins, result[i, 5:])
    return result


@compiled
def extent(
    data: NDArray[np.float32], x: float, y: float, shape: tuple[float, float, float], scale: float
) -> tuple[int, int, int, int, bool]:
    """Return the rows and columns of an ellipse (first, end), and whether the image cuts it."""
    determinant = shape[0] * shape[1] - 0.25 * shape[2] ** 2
    half_x = scale * math.sqrt(shape[1] / determinant)
    half_y = scale * math.sqrt(shape[0] / determinant)
    rows, columns = data.shape
    top, bottom = math.floor(y - half_y + 0.5), math.floor(y + half_y + 0.5) + 1
    left, right = math.floor(x - half_x + 0.5), math.floor(x + half_x + 0.5) + 1
    cut = top < 0 or left < 0 or bottom > rows or right > columns
    return max(top, 0), min(bottom, rows), max(left, 0), min(right, columns), cut


@compiled
def kron_radius(
    data: NDArray[np.float32],
    background: NDArray[np.float32],
    variance: NDArray[np.float32],
    x: float,
    y: float,
    shape: tuple[float, float, float],
) -> float:
    """Return the first moment of the light in units of the ellipse, 0 without light."""
    top, bottom, left, right, _ = extent(data, x, y, shape, KRON_REACH)
    light = moment = 0.0
    for row in range(top, bottom):
        dy = row - y
        for column in range(left, right):
            dx = column - x
            squared = shape[0] * dx * dx + shape[1] * dy * dy + shape[2] * dx * dy
            if squared > KRON_REACH**2:
                continue
            value = data[row, column] - background[row, column]
            sigma2 = variance[row, column]
            if sigma2 > 0.0 and sigma2 < np.inf and abs(value) < np.inf:
                light += value
                moment += value * math.sqrt(squared)
    return moment / light if light > 0.0 and moment > 0.0 else 0.0


@compiled
def sum_ellipse(
    data: NDArray[np.float32],
    background: NDArray[np.float32],
    variance: NDArray[np.float32],
    x: float,
    y: float,
    shape: tuple[float, float, float],
    scale: float,
) -> tuple[float, float, bool]:
    """Return flux and variance in an ellipse, and whether a part of it has no value."""
    top, bottom, left, right, cut = extent(data, x, y, shape, scale)
    flux = noise = 0.0
    # Half a diagonal of a pixel is at most so long in units of the ellipse (its larger root).
    half = 0.5 * (shape[0] + shape[1])
    edge = math.sqrt(0.5 * (half + math.hypot(0.5 * (shape[0] - shape[1]), 0.5 * shape[2])))
    inner, outer = max(scale - edge, 0.0) ** 2, (scale + edge) ** 2
    for row in range(top, bottom):
        dy = row - y
        for column in range(left, right):
            dx = column - x
            squared = shape[0] * dx * dx + shape[1] * dy * dy + shape[2] * dx * dy
            if squared > outer:
                continue
            part = 1.0
            if squared > inner:
                inside = 0
                for j in range(SUBPIXELS):
                    sy = dy + (j + 0.5) / SUBPIXELS - 0.5
                    for i in range(SUBPIXELS):
                        sx = dx + (i + 0.5) / SUBPIXELS - 0.5
                        near = shape[0] * sx * sx + shape[1] * sy * sy + shape[2] * sx * sy
                        inside += near < scale * scale
                part = inside / SUBPIXELS**2
            value = data[row, column] - background[row, column]
            sigma2 = variance[row, column]
            if sigma2 > 0.0 and sigma2 < np.inf and abs(value) < np.inf:
                flux += part * value
                noise += part * sigma2
            elif part > 0.0:
                cut = True
    return flux, noise, cut


@compiled
def light_radii(
    data: NDArray[np.float32],
    background: NDArray[np.float32],
    variance: NDArray[np.float32],
    x: float,
    y: float,
    flux: float,
    reach: float,
    bins: NDArray[np.float64],
    radii: NDArray[np.float64],
) -> None:
    """Write the radii of circles with `FRACTIONS` of a flux; NaN where it is not reached."""
    radii[:] = np.nan
    if not flux > 0.0:
        return
    number = int(reach / PROFILE_STEP_PIXEL) + 1
    bins[:number] = 0.0
    rows, columns = data.shape
    for row in range(max(0, int(y - reach)), min(rows, int(y + reach) + 2)):
        for column in range(max(0, int(x - reach)), min(columns, int(x + reach) + 2)):
            value = data[row, column] - background[row, column]
            sigma2 = variance[row, column]
            if not (sigma2 > 0.0 and sigma2 < np.inf and abs(value) < np.inf):
                continue
            dx, dy = column - x, row - y
            parts = SUBPIXELS if dx * dx + dy * dy < FINE_RADIUS_PIXEL**2 else 1
            share = value / (parts * parts)
            for j in range(parts):
                sy = dy + (j + 0.5) / parts - 0.5
                for i in range(parts):
                    sx = dx + (i + 0.5) / parts - 0.5
                    n = int(math.sqrt(sx * sx + sy * sy) / PROFILE_STEP_PIXEL)
                    if n < number:
                        bins[n] += share
    total = 0.0
    k = 0
    for n in range(number):
        while k < radii.size and total + bins[n] >= FRACTIONS[k] * flux and bins[n] > 0.0:
            radii[k] = (n + (FRACTIONS[k] * flux - total) / bins[n]) * PROFILE_STEP_PIXEL
            k += 1
        total += bins[n]
