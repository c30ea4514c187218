"""Where the star is in a frame: by its own image, by satellite spots, or by symmetry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates, median_filter
from scipy.optimize import least_squares
from scipy.signal import fftconvolve

from csstcore.api import UnprocessableData

Plane = NDArray[np.float64]

_ITERATIONS: Final = 30
_SETTLED_PIXEL: Final = 1e-3
_COARSE_PIXELS: Final = 200
"""Blocks along a side in which the star is first looked for."""
_LEAST_SPOT_RATIO: Final = 5.0
"""Amplitude of a spot over its error, below which there is no spot."""
_SIGMA: Final = float(1 / np.sqrt(8 * np.log(2)))


@dataclass(frozen=True, slots=True)
class Centre:
    """Place of a star as array indices from 0, with errors, in pixels."""

    row: float
    column: float
    row_error: float
    column_error: float


def gaussian_centre(
    image: Plane,
    valid: NDArray[np.bool_],
    fwhm_pixel: float,
    near: tuple[float, float] | None = None,
) -> Centre:
    """Fit an elliptic Gaussian on a tilted plane to an unocculted star.

    Parameters
    ----------
    image, valid
        Pixels, and which of them count; shape (rows, columns).
    fwhm_pixel
        Expected width; pixels within 1.5 of it are fitted.
    near
        Row and column of a first guess; the brightest place at this width if None.

    Raises
    ------
    UnprocessableData
        If the star is at the border, or the fit finds none.
    """
    if near is None:
        near = _brightest(image, valid, fwhm_pixel)
    fit = _fit_gaussian(image, valid, near, fwhm_pixel)
    if fit is None or fit[1] < _LEAST_SPOT_RATIO:
        raise UnprocessableData(
            f"no star was found near x = {near[1] + 1:.1f}, y = {near[0] + 1:.1f}: the fit of a "
            f"Gaussian with FWHM {fwhm_pixel:.1f} pixel failed"
        )
    return fit[0]


def symmetry_centre(
    image: Plane,
    valid: NDArray[np.bool_],
    fwhm_pixel: float,
    inner_radius_pixel: float,
    outer_radius_pixel: float,
) -> Centre:
    """Find the point about which a frame is most like itself turned by 180 degrees.

    That is half the place of the maximum of the convolution of the frame with itself. The frame
    is cut to a soft ring about the last estimate, and this is repeated until it stays.

    Parameters
    ----------
    image, valid
        Pixels, and which of them count; shape (rows, columns).
    fwhm_pixel
        Width of a speckle: the distance over which errors are correlated.
    inner_radius_pixel, outer_radius_pixel
        Ring about the star that is compared.

    Raises
    ------
    UnprocessableData
        If the point runs out of the frame or does not settle.
    """
    filled = np.where(valid, image, np.median(image[valid]) if valid.any() else 0.0)
    filled = gaussian_filter(filled, _SIGMA * fwhm_pixel)  # noise in a pixel is like nothing else
    first = _first_guess(filled)
    half = outer_radius_pixel + 4 * fwhm_pixel
    top, left = (max(int(where - half), 0) for where in first)
    filled = filled[top : int(first[0] + half) + 2, left : int(first[1] + half) + 2]
    place = (first[0] - top, first[1] - left)
    y, x = np.indices(filled.shape)
    for _ in range(_ITERATIONS):
        radius = np.hypot(y - place[0], x - place[1])
        if not _inside(place, filled.shape, fwhm_pixel):
            break
        ring = _soft(outer_radius_pixel - radius, fwhm_pixel)
        if inner_radius_pixel > 0:
            ring *= _soft(radius - inner_radius_pixel, fwhm_pixel)
        edge = ring * (1 - ring)  # at the level of the edge its noise and shape do not count
        level = float(np.sum(edge * filled) / np.sum(edge))
        before, place = place, _self_convolution_peak(ring * (filled - level))
        if np.hypot(place[0] - before[0], place[1] - before[1]) < _SETTLED_PIXEL:
            error = _symmetry_error(filled, ring, place, fwhm_pixel)
            return Centre(place[0] + top, place[1] + left, *error)
    raise UnprocessableData(
        "the star's centre does not settle: the frame has no point of symmetry (last tried "
        f"x = {place[1] + left + 1:.1f}, y = {place[0] + top + 1:.1f})"
    )


def spot_centre(
    image: Plane,
    valid: NDArray[np.bool_],
    fwhm_pixel: float,
    spot_radius_pixel: float,
    near: tuple[float, float],
) -> Centre:
    """Take the mean place of four satellite spots at right angles about the star.

    Spots drawn out along the radius by a broad filter do no harm: opposite ones shift alike.

    Parameters
    ----------
    image, valid
        Pixels, and which of them count; shape (rows, columns).
    fwhm_pixel
        Expected width of a spot.
    spot_radius_pixel
        Distance of the spots from the star, to a width or so.
    near
        Row and column of a first guess, good to a width or so.

    Raises
    ------
    UnprocessableData
        If a spot is missing.
    """
    size = 2 * int(2 * fwhm_pixel) + 1
    filled = np.where(valid, image, np.median(image[valid]) if valid.any() else 0.0)
    half = spot_radius_pixel + 4 * fwhm_pixel
    top, left = (max(int(where - half), 0) for where in near)
    sharp = filled[top : int(near[0] + half) + 2, left : int(near[1] + half) + 2]
    sharp = sharp - median_filter(sharp, size)
    within = (near[0] - top, near[1] - left)
    guesses = [
        (row + top, column + left)
        for row, column in _spot_guesses(sharp, spot_radius_pixel, fwhm_pixel, within)
    ]
    fits = [_fit_gaussian(image, valid, guess, fwhm_pixel) for guess in guesses]
    found = [fit[0] for fit in fits if fit is not None and fit[1] >= _LEAST_SPOT_RATIO]
    if len(found) < len(guesses):
        raise UnprocessableData(
            f"{len(found)} of 4 satellite spots were found at {spot_radius_pixel:.1f} pixels "
            f"around x = {near[1] + 1:.1f}, y = {near[0] + 1:.1f}"
        )
    values = np.array([[c.row, c.column, c.row_error, c.column_error] for c in found])
    errors = np.sqrt(np.sum(values[:, 2:] ** 2, axis=0)) / len(found)
    row, column = values[:, :2].mean(axis=0)
    return Centre(float(row), float(column), float(errors[0]), float(errors[1]))


def _soft(distance: Plane, width: float) -> Plane:
    """Return 0 outside of an edge and 1 inside, half at the edge."""
    return np.asarray(0.5 * (1 + np.tanh(2 * distance / width)))


def _inside(place: tuple[float, float], shape: tuple[int, ...], margin: float) -> bool:
    return all(
        margin <= where <= size - 1 - margin for where, size in zip(place, shape, strict=True)
    )


def _brightest(image: Plane, valid: NDArray[np.bool_], fwhm_pixel: float) -> tuple[float, float]:
    """Return the brightest pixel after a median over a width, which no single pixel survives."""
    if not valid.any():
        raise UnprocessableData("every pixel of the frame is flagged")
    filled = np.where(valid, image, np.median(image[valid]))
    smooth = median_filter(filled, 2 * max(int(fwhm_pixel / 3), 1) + 1)
    row, column = np.unravel_index(int(np.argmax(smooth)), smooth.shape)
    return float(row), float(column)


def _fit_gaussian(
    image: Plane, valid: NDArray[np.bool_], near: tuple[float, float], fwhm_pixel: float
) -> tuple[Centre, float] | None:
    """Return centre and amplitude over its error of a Gaussian, or None without a fit."""
    place = near
    for _ in range(3):  # the window follows the star
        fit = _fit_window(image, valid, place, fwhm_pixel)
        if fit is None:
            return None
        centre, ratio = fit
        moved = np.hypot(centre.row - place[0], centre.column - place[1])
        place = (centre.row, centre.column)
        if moved < 0.5:
            return centre, ratio
    return None


def _fit_window(
    image: Plane, valid: NDArray[np.bool_], near: tuple[float, float], fwhm_pixel: float
) -> tuple[Centre, float] | None:
    if not _inside(near, image.shape, fwhm_pixel):
        return None
    half = int(np.ceil(1.5 * fwhm_pixel))
    row, column = round(near[0]), round(near[1])
    rows = slice(max(row - half, 0), min(row + half + 1, image.shape[0]))
    columns = slice(max(column - half, 0), min(column + half + 1, image.shape[1]))
    y, x = np.mgrid[rows, columns]
    use = valid[rows, columns]
    if np.count_nonzero(use) < 12:
        return None
    y, x, values = (y[use] - near[0], x[use] - near[1], image[rows, columns][use])
    scale = float(np.ptp(values)) or 1.0
    curve = 1 / (2 * (_SIGMA * fwhm_pixel) ** 2)

    def residual(p: Plane) -> Plane:
        dy, dx = y - p[1], x - p[2]
        model = p[0] * np.exp(-(p[3] * dy**2 + p[4] * dx**2 + p[5] * dy * dx))
        return np.asarray(model + p[6] + p[7] * y + p[8] * x - values / scale)

    start = np.array([1.0, 0, 0, curve, curve, 0, float(values.min()) / scale, 0, 0])
    fit = least_squares(residual, start, method="lm", max_nfev=400)
    normal = fit.jac.T @ fit.jac
    if not fit.success or not np.isfinite(normal).all() or np.linalg.cond(normal) > 1e14:
        return None
    # errors from the residuals themselves, which are larger where there is more light
    inverse = np.linalg.inv(normal)
    spread = np.sqrt(len(values) / max(len(values) - len(start), 1))
    influence = inverse @ (fit.jac.T * fit.fun)
    error = spread * np.sqrt(np.sum(influence**2, axis=1))
    p = fit.x
    round_enough = p[3] > curve / 9 and p[4] > curve / 9 and 4 * p[3] * p[4] > p[5] ** 2
    if not round_enough or np.hypot(p[1], p[2]) > half:
        return None
    ratio = float(p[0] / error[0]) if error[0] > 0 else np.inf
    place = (float(near[0] + p[1]), float(near[1] + p[2]))
    return Centre(*place, float(error[1]), float(error[2])), ratio


def _spot_guesses(
    sharp: Plane, radius: float, fwhm_pixel: float, near: tuple[float, float]
) -> list[tuple[float, float]]:
    """Return where spots stand out most, of all angles, radii and centres around the guess."""
    quarter = np.arange(4) * np.pi / 2
    angles = np.arange(0, np.pi / 2, 0.3 * fwhm_pixel / radius)
    steps = np.arange(-1.5, 1.6, 0.5) * fwhm_pixel / 2
    dr, dy, dx, angle = (g.ravel() for g in np.meshgrid(steps, steps, steps, angles, indexing="ij"))
    phi = angle[:, np.newaxis] + quarter
    rows = near[0] + dy[:, np.newaxis] + (radius + dr[:, np.newaxis]) * np.sin(phi)
    columns = near[1] + dx[:, np.newaxis] + (radius + dr[:, np.newaxis]) * np.cos(phi)
    values = map_coordinates(sharp, [rows, columns], order=1, mode="nearest")
    best = int(np.argmax(np.min(values, axis=1)))
    return list(zip(rows[best].tolist(), columns[best].tolist(), strict=True))


def _first_guess(image: Plane) -> tuple[float, float]:
    """Return the point of symmetry of a whole frame, from blocks of pixels if it is large."""
    side = max(min(image.shape) // _COARSE_PIXELS, 1)
    rows, columns = (size // side for size in image.shape)
    blocks = image[: rows * side, : columns * side].reshape(rows, side, columns, side)
    coarse = blocks.mean(axis=(1, 3))
    row, column = _self_convolution_peak(coarse - float(np.median(coarse)))
    return (row + 0.5) * side - 0.5, (column + 0.5) * side - 0.5


def _self_convolution_peak(image: Plane) -> tuple[float, float]:
    """Return half the place of the maximum of the convolution of an image with itself."""
    likeness = fftconvolve(image, image)
    peak = np.unravel_index(int(np.argmax(likeness)), likeness.shape)
    row, column = np.clip(peak, 1, np.array(likeness.shape) - 2).tolist()
    y, x = np.mgrid[-1:2, -1:2].reshape(2, 9)
    terms = np.stack([np.ones(9), y, x, y * y, x * x, y * x], axis=1)
    values = likeness[row - 1 : row + 2, column - 1 : column + 2].ravel()
    c = np.linalg.lstsq(terms, values, rcond=None)[0]
    curvature = np.array([[2 * c[3], c[5]], [c[5], 2 * c[4]]])
    if np.linalg.det(curvature) <= 0:
        return row / 2, column / 2
    shift = np.clip(-np.linalg.solve(curvature, c[1:3]), -1, 1)
    return float((row + shift[0]) / 2), float((column + shift[1]) / 2)


def _symmetry_error(
    image: Plane, ring: Plane, place: tuple[float, float], fwhm_pixel: float
) -> tuple[float, float]:
    """Return the errors of a centre, from what is not symmetric about it.

    With gradients g and differences d between a pixel and its mirror image, the error along an
    axis is ``sqrt(sum g^2 d^2 / 2) / sum g^2`` for independent pixels, and larger by the root of
    the number of pixels over which what differs is correlated.
    """
    y, x = np.indices(image.shape)
    mirrored = map_coordinates(image, [2 * place[0] - y, 2 * place[1] - x], order=1)
    square = ring * (image - mirrored) ** 2 / 2
    correlated = 2 * np.pi * (np.sqrt(2) * _SIGMA * fwhm_pixel) ** 2
    errors = [
        float(np.sqrt(correlated * np.sum(square * g**2)) / max(np.sum(ring * g**2), 1e-300))
        for g in np.gradient(image)
    ]
    return errors[0], errors[1]
