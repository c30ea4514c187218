"""The inner loop of `measure_dark`: a line through the charges of every pixel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from csstcore.api import compiled

ROUNDS = 3
"""A cosmic ray that hides behind another is found in the second round."""
TINY = 1e-12


@compiled
def fit_rates(
    charges: NDArray[np.float32],
    seconds: NDArray[np.float64],
    read_variance: NDArray[np.float64],
    bias_variance: NDArray[np.float32],
    clip: float,
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int32]]:
    """Return rate, its variance and the number of values used, of shape (rows, columns).

    Parameters
    ----------
    charges
        Shape (frames, rows, columns); infinite values take no part.
    seconds, read_variance
        Of every frame.
    bias_variance
        Shape (rows, columns): how well the offset is known to be 0.
    clip
        In units of a value's sigma.
    """
    frames, rows, columns = charges.shape
    rate = np.zeros((rows, columns), np.float32)
    variance = np.zeros((rows, columns), np.float32)
    count = np.zeros((rows, columns), np.int32)
    rates = np.empty(frames, np.float64)
    for y in range(rows):
        for x in range(columns):
            n = 0
            for k in range(frames):
                if abs(charges[k, y, x]) < np.inf:
                    rates[n] = charges[k, y, x] / seconds[k]
                    n += 1
            if n == 0:
                continue
            slope, offset = float(np.median(rates[:n])), 0.0
            prior = 1.0 / max(float(bias_variance[y, x]), TINY)
            for _ in range(ROUNDS):
                tt, t1, one, ty, y1, kept = 0.0, 0.0, prior, 0.0, 0.0, 0
                for k in range(frames):
                    value, t = float(charges[k, y, x]), seconds[k]
                    sigma_square = read_variance[k] + max(slope * t, 0.0)
                    deviation = value - slope * t - offset
                    if deviation * deviation <= clip * clip * sigma_square:
                        weight = 1.0 / sigma_square
                        tt += weight * t * t
                        t1 += weight * t
                        one += weight
                        ty += weight * t * value
                        y1 += weight * value
                        kept += 1
                if kept == 0:
                    break
                determinant = tt * one - t1 * t1
                slope = (one * ty - t1 * y1) / determinant
                offset = (tt * y1 - t1 * ty) / determinant
                rate[y, x] = slope
                variance[y, x] = one / determinant
                count[y, x] = kept
    return rate, variance, count
