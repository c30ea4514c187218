"""Rate and true variability of every pixel of a series, whatever hit it in single frames."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from csst_cpic.cosmic_rays.drift import drifts
from csst_cpic.register.tail_table import TailTable, exceeded
from csstcore.api import compiled


@compiled
def trimmed(frames: int) -> int:
    """Return how many values of a pixel are left out at either end."""
    return 0 if frames < 2 else 1 + frames // 10


def order_widths(frames: int) -> NDArray[np.float64]:
    """Return the distance of the outermost values kept, in sigma of a Gaussian, by number.

    Blom's (1958) approximation of normal order statistics; 0 where fewer than two are kept.
    """
    number = np.arange(frames + 1)
    cut = np.array([trimmed(int(n)) for n in number])
    rank = np.maximum(number - cut, 1)
    width = 2 * ndtri((rank - 0.375) / (number + 0.25))
    return np.where(number - 2 * cut >= 2, width, 0.0)


@compiled
def _insert_highest(highest: NDArray[np.float32], value: float) -> None:
    """Keep the largest values, in falling order."""
    if value <= highest[-1]:
        return
    k = highest.size - 1
    while k > 0 and highest[k - 1] < value:
        highest[k] = highest[k - 1]
        k -= 1
    highest[k] = value


@compiled
def _insert_lowest(lowest: NDArray[np.float32], value: float) -> None:
    """Keep the smallest values, in rising order."""
    if value >= lowest[-1]:
        return
    k = lowest.size - 1
    while k > 0 and lowest[k - 1] > value:
        lowest[k] = lowest[k - 1]
        k -= 1
    lowest[k] = value


@compiled
def cautious(rate: float, variance: float, number: int) -> float:
    """Return a rate that the true one hardly exceeds, from the mean of so many values."""
    return float(max(rate, 0.0) + np.sqrt(variance / number) + 1.0 / number)


@compiled
def pixel_statistics(
    values: NDArray[np.float32],
    table: TailTable,
    widths: NDArray[np.float64],
    rate: NDArray[np.float32],
    variability: NDArray[np.float32],
    drifting: NDArray[np.bool_],
) -> None:
    """Write the mean of each pixel without outliers, and its variance beyond the model's.

    Parameters
    ----------
    values
        Shape (frames, pixels), electron; NaN takes no part.
    table
        Tail above which a value is an outlier of the mean.
    widths
        Of `order_widths`.
    rate, variability
        Results, electron and electron^2; NaN and 0 without a value. Variability is 0 unless the
        order statistics are wider than the model by more than chance.
    drifting
        Result: whether the rate changes through the series.
    """
    frames, pixels = values.shape
    size = trimmed(frames) + 1
    highest, lowest = np.empty(size, np.float32), np.empty(size, np.float32)
    for p in range(pixels):
        highest[:], lowest[:] = -np.inf, np.inf
        total, number = 0.0, 0
        for f in range(frames):
            value = values[f, p]
            if not np.isfinite(value):
                continue
            total += value
            number += 1
            _insert_highest(highest, value)
            _insert_lowest(lowest, value)
        variability[p], drifting[p] = 0.0, False
        if number == 0:
            rate[p] = np.nan
            continue
        cut = trimmed(number)
        for k in range(cut):
            total -= highest[k]
        kept = number - cut
        low = total / kept
        variance = table.excess_noise * max(low, 0.0) + table.noise_variance
        above = exceeded(table, cautious(low, variance, kept)) - low
        limit = low + above * np.sqrt(1.0 + 1.0 / kept)
        inside, count = 0.0, 0
        for f in range(frames):
            if values[f, p] <= limit:
                inside += values[f, p]
                count += 1
        mean = inside / count
        if widths[number] > 0.0:
            width = (highest[cut] - lowest[cut]) / widths[number]
            model = table.excess_noise * max(mean, 0.0) + table.noise_variance
            chance = 1.0 + 2.5 / np.sqrt(number)
            if width * width > model * chance * chance:
                for k in range(cut):
                    total -= lowest[k]
                mean = total / (kept - cut)
                model = table.excess_noise * max(mean, 0.0) + table.noise_variance
                variability[p] = max(width * width - model, 0.0)
        rate[p] = mean
        limit = max(limit, mean + above + 3.0 * np.sqrt(variability[p]))
        drifting[p] = drifts(values[:, p], mean, limit, table)
