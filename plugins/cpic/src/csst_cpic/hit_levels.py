"""Levels above which a pixel is hit, from its rate and how well that is known."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from csst_cpic.stack_statistics import cautious
from csst_cpic.tail_table import TailTable, exceeded
from csstcore.api import compiled

FEW_FRAMES = 8
"""Below this number a pixel's own mean is too uncertain: its neighbours count too."""


@compiled
def _with_neighbours(rate: NDArray[np.float32], row: int, column: int) -> float:
    """Return the rate of a pixel, or the mean of it and its neighbours if that is more."""
    rows, columns = rate.shape
    total, number = 0.0, 0
    for y in range(max(row - 1, 0), min(row + 2, rows)):
        for x in range(max(column - 1, 0), min(column + 2, columns)):
            if np.isfinite(rate[y, x]):
                total += rate[y, x]
                number += 1
    return max(rate[row, column], total / number) if number else np.nan


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
        Its tail, for the rate that the true one hardly exceeds.
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
            if frames < FEW_FRAMES:
                likely = cautious(_with_neighbours(rate, y, x), 9 * frames, table.excess_noise)
            else:
                likely = cautious(own, frames, table.excess_noise)
            above = exceeded(table, likely) - own
            uncertain = (table.excess_noise * max(own, 0.0) + table.noise_variance) / frames
            spread = above * above + sigma * sigma * (uncertain + variability[y, x])
            level[y, x] = own + np.sqrt(spread)
