"""Aperture corrections measured on the frame's own stars."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

MIN_STARS = 5
MIN_STARS_FIELD = 60
"""From so many stars on the correction may vary over the field (second order)."""

VARYING_RADIUS_PIXEL = 8.0
"""Up to this radius; the far wings are the same everywhere, and too faint to tell."""

MODEL_ERROR = 0.002
"""Relative scatter of annulus fluxes among stars beyond their noise."""

NEIGHBOUR_FRACTION = 0.002
SKY_PRIOR = 0.03
"""Error of the background under stars, in units of the noise of a pixel."""

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
    clean: NDArray[np.bool_],
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    reference: int,
) -> Growth | None:
    """Measure how the flux of stars grows from aperture to aperture.

    The flux of each annulus is fitted over the stars by ``step(x, y) * F_reference + c *
    area``: the constant takes up what the background and faint neighbours add to every
    annulus alike, so that stars of different flux tell the wings of the PSF from the sky. It
    is held near zero by a prior of `SKY_PRIOR` of the noise of a pixel.

    Parameters
    ----------
    flux, error
        Aperture fluxes of the stars, shape (stars, apertures), growing radii.
    area
        Areas of the apertures, pixel.
    clean
        Whether no neighbour disturbs an aperture, shape (stars, apertures).
    x, y
        Positions of the stars, scaled to -1 .. 1.
    reference
        Index of the reference aperture.

    Returns
    -------
    Growth or None
        None if an annulus has fewer than `MIN_STARS` undisturbed stars.
    """
    steps, errors, fewest = [], [], len(flux)
    for k in range(flux.shape[1] - 1):
        use = clean[:, k + 1]
        number = int(np.count_nonzero(use))
        fewest = min(fewest, number)
        if number < MIN_STARS:
            return None
        base = flux[use, reference]
        ring = flux[use, k + 1] - flux[use, k]
        noise = np.sqrt(np.maximum(error[use, k + 1] ** 2 - error[use, k] ** 2, 1e-30))
        sigma = np.hypot(noise, MODEL_ERROR * base)
        varies = number >= MIN_STARS_FIELD and area[k + 1] <= np.pi * VARYING_RADIUS_PIXEL**2
        terms = 6 if varies else 1
        ring_area = area[k + 1] - area[k]
        matrix = np.column_stack(
            [design(x[use], y[use], terms) * base[:, None], np.full(number, ring_area)]
        )
        prior = SKY_PRIOR * float(np.min(noise)) / np.sqrt(ring_area)
        step, step_error = clipped_fit(matrix, ring, sigma, prior)
        steps.append(step[:terms])
        errors.append(step_error)
    return Growth(tuple(steps), np.array(errors), reference, fewest)


def clipped_fit(
    matrix: NDArray[np.float64],
    value: NDArray[np.float64],
    sigma: NDArray[np.float64],
    prior: float,
) -> tuple[NDArray[np.float64], float]:
    """Solve weighted least squares with clipping; return coefficients and the first's error.

    The last coefficient has a prior of mean zero and standard deviation `prior`.
    """
    scaled = np.vstack([matrix / sigma[:, None], np.zeros(matrix.shape[1])])
    scaled[-1, -1] = 1.0 / prior
    scale = np.linalg.norm(scaled, axis=0)
    scaled /= scale
    target = np.append(value / sigma, 0.0)
    keep = np.ones(target.size, np.bool_)
    for _ in range(8):
        solution = np.linalg.lstsq(scaled[keep], target[keep], rcond=None)[0]
        pull = target - scaled @ solution
        spread = max(1.4826 * float(np.median(np.abs(pull[keep]))), 0.1)
        new = np.abs(pull) < CLIP_SIGMA * spread
        new[-1] = True
        if np.array_equal(new, keep) or np.count_nonzero(new) < matrix.shape[1] + 2:
            break
        keep = new
    covariance = np.linalg.pinv(scaled[keep].T @ scaled[keep]) * max(spread, 1.0) ** 2
    return solution / scale, float(np.sqrt(covariance[0, 0]) / scale[0])
