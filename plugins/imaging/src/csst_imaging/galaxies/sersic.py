"""Sersic profiles as sums of Gaussians, continuous in the Sersic index."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.optimize import least_squares, nnls
from scipy.special import gammaincinv

Floats = NDArray[np.float64]

COMPONENTS = 6
LOWEST_INDEX, HIGHEST_INDEX = 0.5, 6.0
CUT_FROM, CUT_TO = 5.0, 8.0
"""Between these radii, in half-light radii, the profile falls to zero."""

ROWS = 500
"""Rows of the table; between them weights and widths are linear in ln n."""

_RADIUS = np.geomspace(0.01, CUT_TO, 120)
_FINE = np.concatenate([[0.0], np.geomspace(1e-6, CUT_TO, 4000)])
_LIGHT_WEIGHT, _TOTAL_WEIGHT, _SMOOTHNESS = 0.3, 30.0, 0.003
_FIRST = np.geomspace(0.024, 2.6, COMPONENTS)
_FIRST_INDEX = 4.0


def surface_brightness(index: float, radius: Floats) -> Floats:
    """Return ``exp(-b r^(1/n))``, cut smoothly: 1 - ((r - 5) / 3)^2 times this from 5 to 8.

    Sersic 1963, BAAA 6, 41; `b` makes 1 the half-light radius of the uncut profile (Ciotti
    1991, A&A 249, 99). A profile of high index has much of its light where none is ever seen
    (n = 4: 11 % beyond 5 half-light radii), so that totals are those of cut profiles, as in
    SDSS and in Hogg & Lang 2013, PASP 125, 719.

    Parameters
    ----------
    index
        Sersic index n.
    radius
        In half-light radii.
    """
    b = gammaincinv(2.0 * index, 0.5)
    outside = np.clip((radius - CUT_FROM) / (CUT_TO - CUT_FROM), 0.0, 1.0)
    return np.asarray(np.exp(-b * radius ** (1.0 / index)) * (1.0 - outside**2))


def growth_curve(index: float, radius: Floats) -> tuple[Floats, float]:
    """Return the light within radii, in parts of the total, and the total, by integration."""
    ring = 2.0 * np.pi * _FINE * surface_brightness(index, _FINE)
    inside = np.concatenate([[0.0], np.cumsum(0.5 * (ring[1:] + ring[:-1]) * np.diff(_FINE))])
    return np.interp(radius, _FINE, inside) / inside[-1], float(inside[-1])


def _solve(log_sigma: Floats, growth: Floats, light: Floats) -> tuple[Floats, Floats]:
    """Return the best non-negative weights of Gaussians of given widths, and the residuals.

    Fitted are the growth curve, the light per unit of ln r, and the total.
    """
    squared = (_RADIUS[:, None] / np.exp(log_sigma)) ** 2
    fall = np.exp(-0.5 * squared)
    matrix = np.vstack(
        [1.0 - fall, _LIGHT_WEIGHT * squared * fall, np.full((1, COMPONENTS), _TOTAL_WEIGHT)]
    )
    target = np.concatenate([growth, _LIGHT_WEIGHT * light, [_TOTAL_WEIGHT]])
    weight, _ = nnls(matrix, target)
    return weight, matrix @ weight - target


def _fit(index: float, start: Floats) -> tuple[Floats, Floats]:
    """Return log widths and weights for one index; the widths stay near `start`."""
    growth, total = growth_curve(index, _RADIUS)
    light = 2.0 * np.pi * _RADIUS**2 * surface_brightness(index, _RADIUS) / total

    def residual(log_sigma: Floats) -> Floats:
        _, difference = _solve(log_sigma, growth, light)
        return np.concatenate([difference, _SMOOTHNESS * (log_sigma - start)])

    log_sigma = np.asarray(least_squares(residual, start, x_scale=0.3, xtol=1e-5).x)
    return log_sigma, _solve(log_sigma, growth, light)[0]


@lru_cache
def sersic_table() -> Floats:
    """Return the Gaussians for indices from 0.5 to 6.

    Returns
    -------
    ndarray
        Shape (`ROWS`, 2, `COMPONENTS`), rows equally spaced in ln n: weights, of sum 1, and
        variances in units of the squared half-light radius.
    """
    lowest, first, highest = np.log([LOWEST_INDEX, _FIRST_INDEX, HIGHEST_INDEX])
    nodes = np.concatenate([np.linspace(first, lowest, 17), np.linspace(first, highest, 4)[1:]])
    widths, weights = np.empty((2, len(nodes), COMPONENTS))
    widths[0], weights[0] = _fit(_FIRST_INDEX, np.log(_FIRST))
    for k in range(1, len(nodes)):
        before = widths[k - 1] if k != 17 else widths[0]
        widths[k], weights[k] = _fit(float(np.exp(nodes[k])), before)
    order = np.argsort(nodes)
    rows = np.linspace(lowest, highest, ROWS)
    table = np.empty((ROWS, 2, COMPONENTS))
    table[:, 0] = CubicSpline(nodes[order], weights[order])(rows)
    table[:, 0] /= table[:, 0].sum(axis=1, keepdims=True)
    table[:, 1] = np.exp(2.0 * CubicSpline(nodes[order], widths[order])(rows))
    table.flags.writeable = False
    return table


def gaussians_of(index: float) -> tuple[Floats, Floats]:
    """Return weights (sum 1) and variances (squared half-light radii) for a Sersic index."""
    table = sersic_table()
    place = (np.log(index / LOWEST_INDEX)) / np.log(HIGHEST_INDEX / LOWEST_INDEX) * (ROWS - 1)
    row = min(int(place), ROWS - 2)
    part = place - row
    low, high = table[row], table[row + 1]
    mixed = low + part * (high - low)
    return mixed[0], mixed[1]
