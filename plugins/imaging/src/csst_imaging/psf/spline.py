"""Quintic B-splines through samples on a regular grid.

A point-spread function sampled at a quarter of its width holds nothing near the Nyquist
frequency of its samples; there quintic splines are the sinc interpolation to 1e-5, without its
long reach, and their derivatives are smooth (Unser 1999, IEEE Signal Process. Mag. 16(6), 22).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_banded

from csstcore.api import compiled

TAPS = 6
"""Coefficients that a value depends on."""

MARGIN = 3
"""Zero coefficients kept on each side, so that every place in the grid has all its taps."""

NODE_WEIGHTS = np.array([1.0, 26.0, 66.0, 26.0, 1.0]) / 120.0
"""Values of the spline at the nodes."""


def coefficients(samples: NDArray[Any]) -> NDArray[np.float32]:
    """Return the spline coefficients of planes of samples; beyond the planes they are zero.

    Parameters
    ----------
    samples
        Shape (..., rows, columns).

    Returns
    -------
    ndarray
        Shape (..., rows + 2 `MARGIN`, columns + 2 `MARGIN`).
    """
    result = np.asarray(samples, np.float64)
    for axis in (-1, -2):
        moved = np.moveaxis(result, axis, 0)
        bands = np.repeat(NODE_WEIGHTS[:, None], len(moved), axis=1)
        solved = solve_banded((2, 2), bands, moved.reshape(len(moved), -1))
        result = np.moveaxis(solved.reshape(moved.shape), 0, axis)
    edges = [(0, 0)] * (result.ndim - 2) + [(MARGIN, MARGIN)] * 2
    return np.ascontiguousarray(np.pad(result, edges), np.float32)


def node_values(planes: NDArray[Any]) -> NDArray[np.float64]:
    """Return the samples that planes of spline coefficients (with margin) stand for."""
    result = np.asarray(planes, np.float64)
    for axis in (-1, -2):
        moved = np.moveaxis(result, axis, 0)
        nodes = len(moved) - 2 * MARGIN
        total = np.zeros((nodes, *moved.shape[1:]))
        for tap, weight in enumerate(NODE_WEIGHTS, start=MARGIN - 2):
            total += weight * moved[tap : tap + nodes]
        result = np.moveaxis(total, 0, axis)
    return result


@compiled
def spline_weights(t: float, weights: NDArray[np.float32], slopes: NDArray[np.float32]) -> None:
    """Write the six weights and their derivatives at a place between two nodes.

    Parameters
    ----------
    t
        Distance from the node to the left, 0 to 1; the weights are of the nodes -2 to 3.
    weights, slopes
        Written, length 6.
    """
    t2 = t * t
    t3 = t2 * t
    t4 = t3 * t
    t5 = t4 * t
    s = 1.0 - t
    s2 = s * s
    s4 = s2 * s2
    weights[0] = s4 * s / 120.0
    weights[1] = (26.0 - 50.0 * t + 20.0 * t2 + 20.0 * t3 - 20.0 * t4 + 5.0 * t5) / 120.0
    weights[2] = (66.0 - 60.0 * t2 + 30.0 * t4 - 10.0 * t5) / 120.0
    weights[3] = (26.0 + 50.0 * t + 20.0 * t2 - 20.0 * t3 - 20.0 * t4 + 10.0 * t5) / 120.0
    weights[4] = (1.0 + 5.0 * t + 10.0 * t2 + 10.0 * t3 + 5.0 * t4 - 5.0 * t5) / 120.0
    weights[5] = t5 / 120.0
    slopes[0] = -s4 / 24.0
    slopes[1] = (-50.0 + 40.0 * t + 60.0 * t2 - 80.0 * t3 + 25.0 * t4) / 120.0
    slopes[2] = (-120.0 * t + 120.0 * t3 - 50.0 * t4) / 120.0
    slopes[3] = (50.0 + 40.0 * t - 60.0 * t2 - 80.0 * t3 + 50.0 * t4) / 120.0
    slopes[4] = (5.0 + 20.0 * t + 30.0 * t2 + 20.0 * t3 - 25.0 * t4) / 120.0
    slopes[5] = t4 / 24.0
