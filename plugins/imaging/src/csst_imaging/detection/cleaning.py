"""Detections that are no more than the wings of a brighter source."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from csstcore.api import compiled

INDEX = 4.0
"""Of the Moffat profile; SExtractor's default, 1, also drops real faint stars near bright ones."""

REACH = 4.0
"""Wings are followed to so many radii of the isophote."""


@compiled
def wing_detections(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    a: NDArray[np.float64],
    b: NDArray[np.float64],
    theta: NDArray[np.float64],
    flux: NDArray[np.float64],
    area: NDArray[np.float64],
    threshold: NDArray[np.float64],
    margin: NDArray[np.float64],
) -> NDArray[np.bool_]:
    """Return which sources would not have been found without the wings of a brighter one.

    As SExtractor's CLEAN (Bertin & Arnouts 1996, A&AS 117, 393, section 6): the wings are those
    of a Moffat profile with the flux and the moments of the brighter source that falls to the
    threshold at the area of its isophote.

    Parameters
    ----------
    x, y
        Positions, pixel, in the order of growing `y`.
    a, b, theta
        Axes of the second moments [pixel] and their angle from +x to +y [rad].
    flux, area
        Filtered flux and number of pixels of the isophote.
    threshold
        Threshold at the source.
    margin
        By how much it could be higher; see `part_islands`.
    """
    wing = np.zeros(x.size, np.bool_)
    for i in range(x.size):
        peak = flux[i] / (2.0 * math.pi * a[i] * b[i])
        if not peak > threshold[i]:
            continue
        fall = ((peak / threshold[i]) ** (1.0 / INDEX) - 1.0) * math.pi * a[i] * b[i] / area[i]
        cos, sin = math.cos(theta[i]), math.sin(theta[i])
        reach = REACH * math.sqrt(area[i] * a[i] / (math.pi * b[i]))
        for j in range(np.searchsorted(y, y[i] - reach), np.searchsorted(y, y[i] + reach)):
            if flux[j] >= flux[i] or abs(x[j] - x[i]) > reach:
                continue
            dx, dy = x[j] - x[i], y[j] - y[i]
            along, across = (dx * cos + dy * sin) / a[i], (dy * cos - dx * sin) / b[i]
            if peak * (1.0 + fall * (along * along + across * across)) ** -INDEX > margin[j]:
                wing[j] = True
    return wing
