"""Aperture corrections measured on the frame's own stars."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

MIN_STARS = 5
MIN_STARS_FIELD = 60
"""From so many stars on the correction may vary over the field (second order)."""

MODEL_ERROR = 0.002
"""Relative scatter of annulus fluxes among stars beyond their noise."""

NEIGHBOUR_FRACTION = 0.005
CLIP_SIGMA = 3.0


@dataclass(frozen=True, slots=True)
class Growth:
    """Flux ratios of successive apertures."""

    steps: tuple[NDArray[np.float64], ...]
    """Per annulus between successive radii: polynomial coefficients of its flux in units of
    the reference aperture's (1, or 6 of second order in scaled x, y)."""
    errors: NDArray[np.float64]
    """Error of the mean of each step."""
    reference: int
    """Index of the reference aperture."""
    stars: int

    def correction(
        self, aperture: int, target: int, x: NDArray[np.float64], y: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return flux in aperture `target` over flux in `aperture` at positions.

        Parameters
        ----------
        aperture, target
            Indices of apertures.
        x, y
            Positions, scaled to -1 .. 1 over the field.
        """
        return self.fraction(target, x, y) / self.fraction(aperture, x, y)

    def fraction(
        self, aperture: int, x: NDArray[np.float64], y: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return flux in `aperture` over flux in the reference aperture at positions."""
        low, high = sorted((aperture, self.reference))
        sign = 1.0 if aperture > self.reference else -1.0
        total = np.ones_like(x)
        for step in self.steps[low:high]:
            total += sign * (design(x, y, len(step)) @ step)
        return total

    def error(self, aperture: int, target: int) -> float:
        """Return the error of a correction, relative."""
        low, high = sorted((aperture, target))
        return float(np.sqrt(np.sum(self.errors[low:high] ** 2)))


def design(x: NDArray[np.float64], y: NDArray[np.float64], terms: int) -> NDArray[np.float64]:
    """Return the terms 1, x, y, x², xy, y² (or only 1), shape (positions, terms)."""
    ones = np.ones_like(x)
    columns = [ones] if terms == 1 else [ones, x, y, x * x, x * y, y * y]
    return np.stack(columns, axis=-1)


def isolated(
    x: NDArray[np.float64], y: NDArray[np.float64], flux: NDArray[np.float64], radius: float
) -> NDArray[np.bool_]:
    """Return which sources have neighbours of little flux within a radius.

    Parameters
    ----------
    x, y
        Positions, pixel.
    flux
        Any flux of the sources.
    radius
        Radius, pixel; the neighbours inside may have `NEIGHBOUR_FRACTION` of the flux.
    """
    pairs = cKDTree(np.stack([x, y], axis=-1)).query_pairs(radius, output_type="ndarray")
    around = np.zeros(x.size)
    np.add.at(around, pairs[:, 0], np.maximum(flux[pairs[:, 1]], 0.0))
    np.add.at(around, pairs[:, 1], np.maximum(flux[pairs[:, 0]], 0.0))
    return np.asarray(around < NEIGHBOUR_FRACTION * flux, np.bool_)


def measure_growth(
    flux: NDArray[np.float64],
    error: NDArray[np.float64],
    area: NDArray[np.float64],
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    reference: int,
) -> Growth | None:
    """Measure how the flux of stars grows from aperture to aperture.

    The flux of each annulus is fitted over the stars by ``step(x, y) * F_reference + c *
    area``: the constant takes up what the background and faint neighbours add to every
    annulus alike, so that stars of different flux tell the wings of the PSF from the sky.

    Parameters
    ----------
    flux, error
        Aperture fluxes of the stars, shape (stars, apertures), growing radii.
    area
        Areas of the apertures, pixel.
    x, y
        Positions of the stars, scaled to -1 .. 1.
    reference
        Index of the reference aperture.

    Returns
    -------
    Growth or None
        None with fewer than `MIN_STARS` stars.
    """
    if len(flux) < MIN_STARS:
        return None
    base = flux[:, reference]
    steps, errors = [], []
    for k in range(flux.shape[1] - 1):
        ring = flux[:, k + 1] - flux[:, k]
        noise = np.sqrt(np.maximum(error[:, k + 1] ** 2 - error[:, k] ** 2, 1e-30))
        sigma = np.hypot(noise, MODEL_ERROR * base)
        terms = 6 if len(flux) >= MIN_STARS_FIELD else 1
        shape = design(x, y, terms) * base[:, None]
        matrix = np.column_stack([shape, np.full(len(flux), area[k + 1] - area[k])])
        step, step_error = clipped_fit(matrix, ring, sigma)
        steps.append(step[:terms])
        errors.append(step_error)
    return Growth(tuple(steps), np.array(errors), reference, len(flux))


def clipped_fit(
    matrix: NDArray[np.float64], value: NDArray[np.float64], sigma: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    """Solve weighted least squares with clipping; return coefficients and the first's error."""
    keep = np.ones(len(value), np.bool_)
    scale = np.linalg.norm(matrix / sigma[:, None], axis=0)
    scaled = matrix / sigma[:, None] / scale
    for _ in range(8):
        solution = np.linalg.lstsq(scaled[keep], (value / sigma)[keep], rcond=None)[0]
        pull = value / sigma - scaled @ solution
        spread = max(1.4826 * float(np.median(np.abs(pull[keep]))), 0.1)
        new = np.abs(pull) < CLIP_SIGMA * spread
        if np.array_equal(new, keep) or np.count_nonzero(new) < matrix.shape[1] + 2:
            break
        keep = new
    covariance = np.linalg.pinv(scaled[keep].T @ scaled[keep]) * max(spread, 1.0) ** 2
    return solution / scale, float(np.sqrt(covariance[0, 0]) / scale[0])
