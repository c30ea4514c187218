"""Levels above which a pixel is hit, from its rate and how well that is known."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from csst_cpic.cosmic_rays.stack_statistics import cautious
from csst_cpic.register.tail_table import TailTable, exceeded
from csstcore.api import compiled

DIFFERENT = 3.0
"""Standard deviations by which a pixel is brighter than its surroundings."""


@compiled
def _surroundings(rate: NDArray[np.float32], row: int, column: int) -> tuple[float, int]:
    """Return the mean rate of a pixel and its neighbours, and their number."""
    rows, columns = rate.shape
    total, number = 0.0, 0
    for y in range(max(row - 1, 0), min(row + 2, rows)):
        for x in range(max(column - 1, 0), min(column + 2, columns)):
            if np.isfinite(rate[y, x]):
                total += rate[y, x]
                number += 1
    return total / number, number


@compiled
def hit_levels(
    rate: NDArray[np.float32],
    variability: NDArray[np.float32],
    frames: int,
    table: TailTable,
    sigma: float,
    level: NDArray[np.float32],
) -> None:
    """Write the signal that a pixel exceeds by chance with the probability of a table.

    Parameters
    ----------
    rate, variability
        Of `pixel_statistics`.
    frames
        Their number, which says how well the rate is known.
    table
        Its tail, for the rate that the true one hardly exceeds: that of the pixel where it is
        brighter than its surroundings, else theirs, which is known better.
    sigma
        Gaussian deviation of the same probability, by which the pixel's own variability counts.
    level
        The result; NaN where the rate is.
    """
    rows, columns = rate.shape
    for y in range(rows):
        for x in range(columns):
            own = rate[y, x]
            if not np.isfinite(own):
                level[y, x] = np.nan
                continue
            mean, number = _surroundings(rate, y, x)
            error = np.sqrt((table.excess_noise * max(mean, 0.0) + table.noise_variance) / frames)
            known = frames
            if own < mean + DIFFERENT * error:
                own, known = mean, frames * number
            variance = table.excess_noise * max(own, 0.0) + table.noise_variance
            above = exceeded(table, cautious(own, variance, known)) - own
            spread = above * above + sigma * sigma * (variance / known + variability[y, x])
            level[y, x] = own + np.sqrt(spread)
