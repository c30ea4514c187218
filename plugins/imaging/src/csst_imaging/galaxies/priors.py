"""What is known of galaxies before they are measured: weak, and bounds."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from csst_imaging.galaxies.model import (
    BULGE,
    BULGE_DISK,
    DISK,
    G1,
    G2,
    LN_INDEX,
    POINT,
    RADIUS,
    SERSIC,
)
from csstcore.api import compiled

Floats = NDArray[np.float64]

G_SPREAD = 0.8
"""Standard deviation of g1 and g2; |g| = 0.8 is the axis ratio 0.45."""

LN_INDEX_MEAN, LN_INDEX_SPREAD = math.log(1.5), 0.7
LN_RADIUS_RATIO, LN_RADIUS_RATIO_SPREAD = math.log(0.7), 1.0
"""Of the bulge to the disk."""

G_DIFFERENCE_SPREAD = 0.3
"""Of g1 and g2 of the bulge from those of the disk."""

SMALLEST_RADIUS_PIXEL = 0.1
LARGEST_G = 2.3
"""Axis ratio 0.1."""

LOWEST_LN_INDEX, HIGHEST_LN_INDEX = math.log(0.5), math.log(6.0)
REACH_PIXEL = 3.0
"""How far a position may be from that of the catalogue."""


@compiled
def add_priors(kind: int, parameters: Floats, gradient: Floats, normal: Floats) -> float:
    """Add the priors of one source to half the negative gradient and to the normal matrix.

    Parameters
    ----------
    kind
        Of the source.
    parameters
        Of the source.
    gradient, normal
        Its part of the gradient, and its block of the matrix.

    Returns
    -------
    float
        What the priors add to chi squared.
    """
    if kind == POINT:
        return 0.0
    total = 0.0
    for first in (DISK, BULGE):
        if first == BULGE and kind != BULGE_DISK:
            break
        for k in (first + G1, first + G2):
            total += _add_one(k, 0.0, G_SPREAD, parameters, gradient, normal)
    if kind == SERSIC:
        k = DISK + LN_INDEX
        return total + _add_one(k, LN_INDEX_MEAN, LN_INDEX_SPREAD, parameters, gradient, normal)
    for k in (RADIUS, G1, G2):
        mean = LN_RADIUS_RATIO if k == RADIUS else 0.0
        spread = LN_RADIUS_RATIO_SPREAD if k == RADIUS else G_DIFFERENCE_SPREAD
        weight = 1.0 / (spread * spread)
        i, j = BULGE + k, DISK + k
        away = parameters[i] - parameters[j] - mean
        total += weight * away * away
        gradient[i] -= weight * away
        gradient[j] += weight * away
        normal[i, i] += weight
        normal[j, j] += weight
        normal[i, j] -= weight
        normal[j, i] -= weight
    return total


@compiled
def _add_one(
    k: int, mean: float, spread: float, parameters: Floats, gradient: Floats, normal: Floats
) -> float:
    away = (parameters[k] - mean) / spread
    gradient[k] -= away / spread
    normal[k, k] += 1.0 / (spread * spread)
    total: float = away * away
    return total


@compiled
def set_bounds(
    kind: int, place: Floats, window: NDArray[np.int64], low: Floats, high: Floats
) -> None:
    """Write lowest and highest values of the parameters of one source.

    Parameters
    ----------
    kind
        Of the source.
    place
        Its x and y in the catalogue.
    window
        First row, end row, first column, end column.
    low, high
        Written, shape (parameters,).
    """
    low[:], high[:] = -np.inf, np.inf
    for k in range(2):
        low[k], high[k] = place[k] - REACH_PIXEL, place[k] + REACH_PIXEL
    if kind == POINT:
        return
    largest = math.log(max(0.5 * max(window[1] - window[0], window[3] - window[2]), 2.0))
    for first in (DISK, BULGE):
        if first == BULGE and kind != BULGE_DISK:
            break
        low[first + RADIUS], high[first + RADIUS] = math.log(SMALLEST_RADIUS_PIXEL), largest
        for k in (first + G1, first + G2):
            low[k], high[k] = -LARGEST_G, LARGEST_G
        low[first] = 0.0
    if kind == SERSIC:
        low[DISK + LN_INDEX], high[DISK + LN_INDEX] = LOWEST_LN_INDEX, HIGHEST_LN_INDEX
