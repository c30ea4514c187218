"""Models of the photon transfer curve of one channel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

Values = NDArray[np.float64]

CLIP_SIGMA = 5.0
ROUNDS = 2
MODEL_ERROR = 5e-4
"""Relative error of either model: a level is no outlier for being measured very well."""
SATURATED = 1e-3
"""Fraction of saturated pixels from which a level lies beyond the turn-off."""
LEVELS_FOR_SLOPE = 3
LEVEL_RATIO = 2.0
"""Ratio of the highest to the lowest level from which a slope can be told from a level."""


@dataclass(frozen=True)
class Curve:
    """Fit of one channel; errors are 1 sigma."""

    gain: float
    """electron / adu."""
    gain_error: float
    a00: float
    """Relative change of a pixel's area per electron in it (1 / electron)."""
    a00_error: float
    noise: float
    """Variance at level 0, adu^2."""
    quadratic_gain: float
    quadratic_gain_error: float
    chi_square: float
    """Reduced."""
    used: NDArray[np.bool_]
    model: Values
    """Variance of every level by the model, adu^2."""


def turn_off(
    mean: Values, variance: Values, error: Values, saturated: Values
) -> tuple[int, float, bool]:
    """Return the last level before the variance turns over, its error, and whether it was seen.

    The turn-off lies between that level and the first one at which more than a thousandth of
    the pixels is saturated, or after which the variance falls by more than 5 sigma. The error
    is half the distance to the next level; without one it is not a number.

    Parameters
    ----------
    mean, variance, error, saturated
        Of every level, in order of the mean.
    """
    beyond = (saturated > SATURATED) | ~np.isfinite(variance)
    falls = np.diff(variance) < -CLIP_SIGMA * np.hypot(error[1:], error[:-1])
    beyond[1:] |= falls
    if not beyond.any():
        return len(mean) - 1, float("nan"), False
    last = max(int(np.argmax(beyond)) - 1, 0)
    return last, float(mean[min(last + 1, len(mean) - 1)] - mean[last]) / 2, True


def fit_curve(
    mean: Values,
    variance: Values,
    pixels: Values,
    dark: tuple[float, float],
    usable: NDArray[np.bool_],
) -> Curve:
    """Fit the variance of flats by Astier et al. (2019, A&A 629, A36) eq. 16, and by a parabola.

    With the mean m and gain g, ``V = [exp(2 a00 g m) - 1] / (2 a00 g^2) + n``; the parabola
    is ``V = m / g + q m^2 + n``. The variance of bias frames takes part as a level of mean 0.
    Errors are those of the model's variance: an error taken from a variance that happens to
    be small would give it too much weight. Levels off by more than 5 sigma are left out, in
    at most 2 rounds. With fewer than 3 levels over a factor of 2, a00 and q are 0.

    Parameters
    ----------
    mean, variance, pixels
        Of every level: adu, adu^2, number of differences measured.
    dark
        Variance of bias frames (adu^2) and its error.
    usable
        Which levels lie below the turn-off.
    """
    used, pixels = usable, np.maximum(pixels, 1.0)
    model = np.where(used, variance, np.nan)
    for _ in range(ROUNDS + 1):
        sloped = can_slope(mean[used])
        sigma = model * np.sqrt(2 / pixels + MODEL_ERROR**2)
        parabola, normal = _parabola(mean[used], variance[used], sigma[used], dark, sloped)
        solution, covariance = _exponential(
            mean[used], variance[used], sigma[used], dark, parabola, sloped
        )
        model = _variance(solution, mean)
        pull = (variance - model) / (model * np.sqrt(2 / pixels + MODEL_ERROR**2))
        kept = usable & (np.abs(pull) <= CLIP_SIGMA)
        if np.count_nonzero(kept) < 2 or np.array_equal(kept, used):
            break
        used = kept
    inverse, slope, noise = solution
    gain = 1 / inverse
    freedom = max(int(np.count_nonzero(used)) + 1 - (3 if sloped else 2), 1)
    statistical = variance[used] - model[used]
    chi_square = np.sum(statistical**2 / (model[used] ** 2 * 2 / pixels[used])) / freedom
    # a00 = slope / (2 g) = slope inverse / 2
    toward = np.array([slope / 2, inverse / 2])
    return Curve(
        gain=gain,
        gain_error=gain**2 * float(np.sqrt(covariance[0, 0])),
        a00=slope * inverse / 2,
        a00_error=float(np.sqrt(toward @ covariance[:2, :2] @ toward)),
        noise=noise,
        quadratic_gain=1 / parabola[0],
        quadratic_gain_error=float(np.sqrt(normal[0, 0])) / parabola[0] ** 2,
        chi_square=float(chi_square),
        used=used,
        model=model,
    )


def can_slope(mean: Values) -> bool:
    """Return whether levels suffice to tell a slope of the variance per signal."""
    return len(mean) >= LEVELS_FOR_SLOPE and bool(mean.max() >= LEVEL_RATIO * mean.min())


def _variance(solution: Values, mean: Values) -> Values:
    """Return ``p m expm1(b m) / (b m) + n`` for (p, b, n): 1/g, 2 a00 g and the noise."""
    inverse, slope, noise = solution
    x = slope * mean
    with np.errstate(invalid="ignore", divide="ignore"):
        growth = np.where(np.abs(x) > 1e-8, np.expm1(x) / x, 1.0)
    return np.asarray(inverse * mean * growth + noise)


def _parabola(
    mean: Values, variance: Values, sigma: Values, dark: tuple[float, float], sloped: bool
) -> tuple[Values, Values]:
    """Return (1/g, q, n) and their covariance."""
    x, y = np.append(mean, 0.0), np.append(variance, dark[0])
    weight = 1 / np.append(sigma, dark[1])
    scale = mean.max()
    terms = [x, np.square(x) / scale, np.ones(len(x))]
    if not sloped:
        del terms[1]
    design = np.stack(terms, axis=1) * weight[:, None]
    normal = np.linalg.inv(design.T @ design)
    solution = normal @ (design.T @ (y * weight))
    if not sloped:
        return np.array([solution[0], 0.0, solution[1]]), np.asarray(normal)
    return np.array([solution[0], solution[1] / scale, solution[2]]), np.asarray(normal)


def _exponential(
    mean: Values,
    variance: Values,
    sigma: Values,
    dark: tuple[float, float],
    start: Values,
    sloped: bool,
) -> tuple[Values, Values]:
    """Return (1/g, 2 a00 g, n) and their covariance."""
    guess = np.array([start[0], 2 * start[1] / start[0], start[2]])
    free = np.array([0, 1, 2] if sloped else [0, 2])
    x, y = np.append(mean, 0.0), np.append(variance, dark[0])
    error = np.append(sigma, dark[1])
    scale = np.array([start[0], 0.1 / mean.max(), max(start[2], 1.0)])

    def pull(values: Values) -> Values:
        solution = guess.copy()
        solution[free] = values * scale[free]
        return np.asarray((_variance(solution, x) - y) / error)

    found = least_squares(pull, guess[free] / scale[free], method="lm")
    solution = guess.copy()
    solution[free] = found.x * scale[free]
    covariance = np.zeros((3, 3))
    covariance[np.ix_(free, free)] = np.linalg.inv(found.jac.T @ found.jac) * np.outer(
        scale[free], scale[free]
    )
    return solution, covariance


def area_changes(mean: Values, covariance: Values, error: Values) -> tuple[Values, Values]:
    """Return a_ij (1 / electron) and their errors from covariances.

    To first order ``C_ij = a_ij m^2 + n_ij`` (Astier et al. 2019 eq. 20 without the terms of
    the second order, which are smaller by about a00 g m); where levels do not suffice for
    both (`can_slope`), n_ij is 0.

    Parameters
    ----------
    mean
        Shape (levels,), adu.
    covariance, error
        Shape (levels, lags, lags), adu^2.
    """
    weight = 1 / np.square(error)
    x = np.square(mean / mean.max())[:, None, None]
    total, first, second = weight.sum(0), (weight * x).sum(0), (weight * x * x).sum(0)
    y, xy = (weight * covariance).sum(0), (weight * x * covariance).sum(0)
    scale = mean.max() ** 2
    if not can_slope(mean):
        return xy / second / scale, np.sqrt(1 / second) / scale
    determinant = total * second - first**2
    slope = (total * xy - first * y) / determinant / scale
    return slope, np.sqrt(total / determinant) / scale
