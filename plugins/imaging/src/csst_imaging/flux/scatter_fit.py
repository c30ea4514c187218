"""Linear fits to values with known errors, an unknown scatter of their own, and outliers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

HUBER, REJECTED = 1.5, 4.0
"""Residuals in units of their expected size: from the first on they count less, from the second
on not at all."""

MEDIAN_CHI_SQUARE = 0.4549
"""Median of the square of a standard normal number."""

ITERATIONS = 50


@dataclass(frozen=True)
class ScatterFit:
    """A fit."""

    coefficients: Floats
    covariance: Floats
    scatter: float
    """Standard deviation of the values beyond their errors."""
    used: NDArray[np.bool_]
    """Which values were not rejected."""
    weight: Floats


def fit_with_scatter(
    design: Floats, target: Floats, variance: Floats, least_scatter: float = 0.0
) -> ScatterFit:
    """Fit ``design @ coefficients`` to values by iterated weighted least squares.

    It starts from the least sum of absolute residuals. Weights are those of Huber (1964, Ann.
    Math. Stat. 35, 73), with far outliers rejected. The scatter is what makes the median of the
    squared residuals, in units of their variance, that of normal numbers.

    Parameters
    ----------
    design
        Shape (values, coefficients).
    target
        Values, shape (values,).
    variance
        Their known variances.
    least_scatter
        Lower limit of the scatter.
    """
    number, parameters = design.shape
    freedom = max(number - parameters, 1) / number
    residual = target - design @ least_absolute_solution(design, target, np.sqrt(variance))
    coefficients = np.full(parameters, np.inf)
    for _ in range(ITERATIONS):
        scatter = max(least_scatter, fitted_scatter(residual**2 / freedom, variance))
        size = np.abs(residual) / np.sqrt(variance + scatter**2)
        keep = np.minimum(1.0, HUBER / np.maximum(size, 1e-9))
        keep[size > REJECTED] = 0.0
        previous = coefficients
        coefficients = weighted_solution(design, target, keep / (variance + scatter**2))
        residual = target - design @ coefficients
        if np.allclose(coefficients, previous, rtol=0.0, atol=1e-7):
            break
    weight = keep / (variance + scatter**2)
    normal = design.T @ (design * weight[:, None])
    covariance = np.asarray(np.linalg.pinv(normal), np.float64)
    return ScatterFit(coefficients, covariance, scatter, keep > 0.0, weight)


def least_absolute_solution(design: Floats, target: Floats, error: Floats) -> Floats:
    """Return the coefficients of the least sum of absolute residuals in units of the errors."""
    weight = 1.0 / error**2
    for _ in range(ITERATIONS):
        coefficients = weighted_solution(design, target, weight)
        size = np.abs(target - design @ coefficients) / error
        weight = 1.0 / (error**2 * np.maximum(size, 1e-3 * max(float(size.max()), 1e-9)))
    return coefficients


def weighted_solution(design: Floats, target: Floats, weight: Floats) -> Floats:
    """Return the coefficients of least weighted squares."""
    root = np.sqrt(weight)
    return np.asarray(np.linalg.lstsq(design * root[:, None], target * root, rcond=None)[0])


def fitted_scatter(square: Floats, variance: Floats) -> float:
    """Return the scatter by which squared residuals are as large as expected in the median."""

    def excess(scatter: float) -> float:
        return float(np.median(square / (variance + scatter**2))) - MEDIAN_CHI_SQUARE

    low, high = 0.0, float(np.sqrt(square.max())) * 2.0
    if excess(low) <= 0.0:
        return 0.0
    for _ in range(40):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if excess(middle) > 0.0 else (low, middle)
    return 0.5 * (low + high)


def shrink(measured: Floats, error: Floats) -> tuple[Floats, Floats]:
    """Return what measured values of a population most likely are, and their errors.

    The expectation of the true value given the measured one, for a normal population:
    ``mean + l (value - mean)`` with ``l = v / (v + error^2)`` and the variance v of the true
    values. With such values in place of the measured ones, noise in them does not flatten the
    slopes fitted against them (regression calibration; Carroll et al. 2006, Measurement Error in
    Nonlinear Models, chapter 4).

    Parameters
    ----------
    measured, error
        Finite values, and their errors.
    """
    if measured.size < 3:
        return measured, error
    weight = 1.0 / (np.median(error) ** 2 + error**2 + 1e-12)
    mean = float(np.average(measured, weights=weight))
    spread = float(np.average((measured - mean) ** 2 - error**2, weights=weight))
    spread = max(spread, 1e-8)
    part = spread / (spread + error**2)
    return mean + part * (measured - mean), np.sqrt(part) * error
