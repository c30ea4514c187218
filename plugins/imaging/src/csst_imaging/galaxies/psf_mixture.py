"""The PSF as a few Gaussians whose shapes follow the field."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from csst_imaging.galaxies.draw import FLUX, XX, XY, YY, X, Y, add_gaussians
from csst_imaging.psf.render import polynomial, psf_at
from csstcore.api import Psf, UnprocessableData

Floats = NDArray[np.float64]

COMPONENTS = 4
PARAMETERS = 6
"""Of a component: fraction, offsets x and y [pixel], covariances xx, xy, yy [pixel squared]."""

START_WIDTHS = (0.85, 1.2, 2.4, 5.5)
START_FRACTIONS = (0.55, 0.33, 0.09, 0.03)
"""Widths of the first guess in units of the width of a Gaussian of the core's size."""

ACCURACY = 0.002
"""Of the peak: differences from the samples of this size count as one standard deviation."""

RIDGE = (0.05, 0.1, 0.1, 0.15, 0.15, 0.15)
"""Standard deviations by which components may differ from those of the field's middle:
fraction, pixel, and parts of the component's mean variance."""

TOTAL_ACCURACY = 0.0005
"""The light in the samples is kept to this part: fluxes depend on it."""

STEPS = 60


@dataclass(frozen=True)
class PsfMixture:
    """Gaussians that approximate a `Psf`, polynomials of the position."""

    coefficients: Floats
    """Shape (terms, components, 6)."""
    degree: int
    zero: tuple[float, float]
    scale: tuple[float, float]
    error: float
    """Root of the summed squared difference from the samples, in parts of the root of the
    summed squared samples; the worst place."""

    def at(self, x: Floats, y: Floats) -> Floats:
        """Return the components at FITS pixel positions, shape (positions, components, 6)."""
        u = (x - self.zero[0]) / self.scale[0]
        v = (y - self.zero[1]) / self.scale[1]
        return np.asarray(np.tensordot(polynomial(u, v, self.degree), self.coefficients, axes=1))


def fit_psf_mixture(psf: Psf, shape: tuple[int, int]) -> PsfMixture:
    """Approximate a PSF over a detector by Gaussians.

    At the middle of the field the Gaussians are free; at the other places of a grid they stay
    near those, so that each keeps its part of the PSF and can be interpolated.

    Parameters
    ----------
    psf
        The model.
    shape
        Rows and columns of the detector.

    Raises
    ------
    UnprocessableData
        The samples are not finite, or not those of a point source.
    """
    degree = psf.degree + 1 if psf.degree else 0
    side = degree + 2 if degree else 1
    places = [(np.linspace(0.0, 1.0, side) if side > 1 else np.array([0.5])) * n for n in shape]
    y, x = (axis.ravel() + 0.5 for axis in np.meshgrid(*places, indexing="ij"))
    rows, columns = shape
    middle = psf_at(psf, np.array([0.5 * columns]), np.array([0.5 * rows]))[0].astype(float)
    first = _fit(middle, psf.step_pixel, _guess(middle, psf.step_pixel), None)
    samples = psf_at(psf, x, y).astype(np.float64)
    parts = np.stack([_fit(stamp, psf.step_pixel, first, first) for stamp in samples])
    u, v = 2.0 * x / columns - 1.0, 2.0 * y / rows - 1.0
    terms = polynomial(u, v, degree)
    solution = np.linalg.lstsq(terms, parts.reshape(len(x), -1), rcond=None)[0]
    coefficients = np.asarray(solution.reshape(-1, COMPONENTS, PARAMETERS), np.float64)
    smooth = np.tensordot(terms, coefficients, axes=1)
    error = max(
        _difference(stamp, psf.step_pixel, part)
        for stamp, part in zip(samples, smooth, strict=True)
    )
    zero, scale = (0.5 * columns, 0.5 * rows), (0.5 * columns, 0.5 * rows)
    return PsfMixture(coefficients, degree, zero, scale, error)


def _guess(stamp: Floats, step_pixel: float) -> Floats:
    """Return components whose widths follow the area above half of the peak."""
    peak = float(stamp.max())
    if not np.isfinite(stamp).all() or not peak > 0.0:
        raise UnprocessableData(
            "the PSF has samples that are not finite, or no positive one; expected those of a "
            "point source of flux 1"
        )
    area = np.count_nonzero(stamp > 0.5 * peak) * step_pixel**2
    sigma = np.sqrt(area / (2.0 * np.pi * np.log(2.0)))
    total = float(stamp.sum()) * step_pixel**2
    start = np.zeros((COMPONENTS, PARAMETERS))
    start[:, 0] = total * np.array(START_FRACTIONS)
    start[:, 3] = start[:, 5] = (sigma * np.array(START_WIDTHS)) ** 2
    return start


def _planes(part: Floats, step_pixel: float, side: tuple[int, int]) -> Floats:
    """Return one Gaussian of flux 1 on the grid of the samples, with derivatives.

    Everything is in units of the step here, so that the value is that of one square step.
    """
    planes = np.zeros((7, *side))
    point = np.zeros((1, PARAMETERS))
    point[0, 0] = 1.0
    shape = part[3:] / step_pixel**2
    center = part[1:3] / step_pixel + (np.array(side[::-1]) - 1) / 2.0
    mixture = np.array([[1.0], [1.0], [0.0], [0.0]])
    add_gaussians(planes, center[0], center[1], shape, mixture, point, np.empty(side[1]))
    return planes


def _model(parts: Floats, step_pixel: float, side: tuple[int, int]) -> tuple[Floats, Floats]:
    """Return the samples of a mixture and their derivatives, shape (parameters, samples)."""
    derivatives = np.empty((COMPONENTS, PARAMETERS, *side))
    total = np.zeros(side)
    area = step_pixel**2
    for part, slope in zip(parts, derivatives, strict=True):
        planes = _planes(part, step_pixel, side)
        slope[0] = planes[FLUX] / area
        slope[1:3] = part[0] / (area * step_pixel) * planes[[X, Y]]
        slope[3:] = part[0] / area**2 * planes[[XX, XY, YY]]
        total += part[0] * slope[0]
    return total, derivatives.reshape(COMPONENTS * PARAMETERS, -1)


def _fit(stamp: Floats, step_pixel: float, start: Floats, prior: Floats | None) -> Floats:
    """Return the Gaussians that fit samples best (Levenberg-Marquardt), near `prior` if given."""
    peak = float(stamp.max())
    noise = ACCURACY * np.sqrt(peak * (np.abs(stamp) + ACCURACY * peak) / (1.0 + ACCURACY))
    spread = np.tile(RIDGE, (COMPONENTS, 1))
    spread[:, 3:] *= 0.5 * (start[:, 3] + start[:, 5])[:, None]
    loose = 1.0 if prior is not None else 1e-4
    center = start if prior is None else prior
    parts, damping = start, 1e-3
    value, gradient, normal = _state(stamp, noise, step_pixel, parts, center, loose / spread)
    for _ in range(STEPS):
        step = np.linalg.solve(normal + damping * np.diag(np.diag(normal)), gradient)
        trial = parts + step.reshape(parts.shape)
        floor = 0.2 * start[:, 3]
        trial[:, 3], trial[:, 5] = np.maximum(trial[:, 3], floor), np.maximum(trial[:, 5], floor)
        limit = 0.9 * np.sqrt(trial[:, 3] * trial[:, 5])
        trial[:, 4] = np.clip(trial[:, 4], -limit, limit)
        new = _state(stamp, noise, step_pixel, trial, center, loose / spread)
        if new[0] < value:
            converged = value - new[0] < 1e-5 * value
            parts, damping = trial, 0.2 * damping
            value, gradient, normal = new
            if converged:
                break
        else:
            damping *= 10.0
    return parts


def _state(
    stamp: Floats, noise: Floats, step_pixel: float, parts: Floats, prior: Floats, ridge: Floats
) -> tuple[float, Floats, Floats]:
    """Return chi squared, half its negative gradient, and the normal matrix."""
    model, slopes = _model(parts, step_pixel, (stamp.shape[0], stamp.shape[1]))
    residual = ((stamp - model) / noise).ravel()
    scale = 1.0 / (TOTAL_ACCURACY * stamp.sum())
    residual = np.append(residual, scale * (stamp.sum() - model.sum()))
    slopes = np.column_stack([slopes / noise.ravel(), scale * slopes.sum(axis=1)])
    away = (ridge * (prior - parts)).ravel()
    gradient = slopes @ residual + ridge.ravel() * away
    normal = slopes @ slopes.T + np.diag(ridge.ravel() ** 2)
    return float(residual @ residual + away @ away), gradient, normal


def _difference(stamp: Floats, step_pixel: float, parts: Floats) -> float:
    """Return the relative root of the summed squared difference from samples."""
    model, _ = _model(parts, step_pixel, (stamp.shape[0], stamp.shape[1]))
    return float(np.sqrt(np.sum((stamp - model) ** 2) / np.sum(stamp**2)))
