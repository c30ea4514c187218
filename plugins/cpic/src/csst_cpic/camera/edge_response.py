"""Charge behind the last lit row and column of a frame: extended-pixel-edge response."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular, toeplitz
from scipy.optimize import least_squares

from csst_cpic.camera.transfer import Transfer, trailed
from csst_cpic.detector import Detector

Values = NDArray[np.float64]

LIT_PIXELS = 40
"""Last lit rows or columns, whose charge is pushed through the model; older charge is out."""
CHARGE_PIXELS = 8
CLIP_SIGMA = 5.0
RELEASE_RANGE_PIXEL = (0.1, 30.0)
LARGEST_INEFFICIENCY = 5e-3
SCALE = 1e-5
SEEN_SIGMA = 3.0


@dataclass(frozen=True, eq=False)
class Edge:
    """Mean charge of lines of pixels across an edge, in electrons."""

    lit: Values
    """The last lit pixels, the nearest to the edge last."""
    trail: Values
    """Behind the edge."""
    lines: int
    """Number of lines in the mean."""

    @property
    def charge(self) -> float:
        """Charge of the last lit pixels."""
        return float(self.lit[-CHARGE_PIXELS:].mean())


@dataclass(frozen=True, eq=False)
class EdgeFit:
    """Transfers in one direction, with errors."""

    transfer: Transfer
    inefficiency_error: float
    release_error: float
    chi_square: float
    """Per degree of freedom."""


def edges_of(electrons: Values, detector: Detector) -> tuple[Edge, Edge]:
    """Return the vertical and the horizontal edge of a frame.

    Parameters
    ----------
    electrons
        Frame in raw format, without bias structure and without the level of each row.
    detector
        Geometry.
    """
    rows, columns = detector.active
    vertical, horizontal = electrons[:, columns], electrons[rows].T
    return _edge(vertical, rows.stop), _edge(horizontal, columns.stop)


def _edge(packets: Values, end: int) -> Edge:
    lit = np.median(packets[max(end - LIT_PIXELS, 0) : end], axis=1)
    return Edge(lit, clipped_mean(packets[end:]), packets.shape[1])


def clipped_mean(pixels: Values) -> Values:
    """Return the mean of every row without cosmic rays."""
    middle = np.median(pixels, axis=1, keepdims=True)
    sigma = max(1.4826 * float(np.median(np.abs(pixels - middle))), 1e-6)
    kept = np.abs(pixels - middle) <= CLIP_SIGMA * sigma
    return np.asarray((kept * pixels).sum(axis=1) / np.maximum(kept.sum(axis=1), 1))


def noise_covariance(dark: Sequence[Values], pixels: int) -> Values:
    """Return the covariance of the pixels of a trail by frames without light.

    Neighbours in a mean over lines share what the level that was subtracted is off.

    Parameters
    ----------
    dark
        Means over lines of bias frames, of which the mean bias was subtracted; one value per
        packet.
    pixels
        Length of the trail.
    """
    series = np.array(dark)
    share = len(series) / (len(series) - 1)  # each frame is part of the mean bias
    lags = [float(np.mean(series[:, lag:] * series[:, : series.shape[1] - lag]))
            for lag in range(pixels)]  # fmt: skip
    return np.asarray(share * toeplitz(lags))


def model_of(edge: Edge, transfer: Transfer, first: int) -> Values:
    """Return the trail that a transfer leaves behind an edge.

    Parameters
    ----------
    edge
        Its lit pixels.
    transfer
        The model.
    first
        Packets read before the first of the lit pixels.
    """
    line = np.concatenate([edge.lit, np.zeros(len(edge.trail))])
    return trailed(line, transfer, first)[len(edge.lit) :]


def fit_edges(edges: Sequence[Edge], packets: int, covariance: Values, biases: int) -> EdgeFit:
    """Fit one transfer to the trails of all frames.

    Parameters
    ----------
    edges
        Of one direction.
    packets
        Packets read up to the last lit one.
    covariance
        Of the pixels of a trail, without the noise of the charge in it.
    biases
        Number of bias frames in the mean that was subtracted from all frames: its error is
        common to them.

    Raises
    ------
    ValueError
        If no trail stands out of the noise by 3 sigma.
    """
    trail = np.array([edge.trail for edge in edges])
    first = packets - len(edges[0].lit)
    light = np.maximum(trail.mean(axis=0), 0) / edges[0].lines
    along = np.linalg.cholesky(covariance + np.diag(light))
    across = np.linalg.cholesky(np.eye(len(edges)) + 1 / biases)

    def residual(values: Values) -> Values:
        transfer = Transfer(SCALE * float(values[0]), float(np.exp(values[1])))
        left = trail - np.array([model_of(edge, transfer, first) for edge in edges])
        by_frame = solve_triangular(across, left, lower=True)
        return np.asarray(solve_triangular(along, by_frame.T, lower=True).ravel())

    limits = np.array([(0.0, LARGEST_INEFFICIENCY / SCALE), np.log(RELEASE_RANGE_PIXEL)]).T
    found = least_squares(residual, [1.0, 0.0], bounds=tuple(limits))
    sigma = np.sqrt(np.maximum(np.diag(np.linalg.pinv(found.jac.T @ found.jac)), 0.0))
    if not found.x[0] > SEEN_SIGMA * sigma[0]:
        raise ValueError("no trail is seen")
    release = float(np.exp(found.x[1]))
    return EdgeFit(
        Transfer(SCALE * float(found.x[0]), release),
        SCALE * float(sigma[0]),
        release * float(sigma[1]),
        float(2 * found.cost) / max(trail.size - len(sigma), 1),
    )
