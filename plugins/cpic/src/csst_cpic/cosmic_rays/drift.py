"""Rates that change slowly through a series: speckles that drift, a star that moves."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from csst_cpic.register.tail_table import TailTable, exceeded
from csstcore.api import compiled

BLOCK = 8
"""Frames that are averaged to tell a change from noise."""

FEWEST_BLOCKS = 3

WITHIN = 9
"""Frames before and after one in which the rate is taken for a line."""

FEWEST = 6
"""Frames from which a line is fitted."""

CHANGED = 2.0
"""Standard deviations of chi-square by which the means of blocks differ."""

CAUTION = 2.0
"""Standard deviations added to the scatter about the lines."""

ROBUST = 3.0
"""Of the scatter of a pixel within which its values count at first."""

MEDIAN_DEVIATION = 0.6745
"""Of the absolute value of a Gaussian, in sigma."""

POSSIBLE = 0.5
"""Part of a rate that may change."""


class Drift(NamedTuple):
    """Rates of the pixels that change through a series, in every frame."""

    place: NDArray[np.intp]
    """In the flat plane."""
    rate: NDArray[np.float32]
    """Shape (frames, pixels), electron."""
    variance: NDArray[np.float32]
    """Of what is expected of the frame, beside the noise of its charge; electron^2."""


@compiled
def drifts(values: NDArray[np.float32], mean: float, limit: float, table: TailTable) -> bool:
    """Return whether a pixel's rate changes through a series.

    Parameters
    ----------
    values
        Of the pixel, electron, one for each frame; NaN and what exceeds `limit` take no part.
    mean
        Rate of the pixel.
    limit
        Signal from which a value is an outlier.
    table
        Its excess noise and noise variance.
    """
    blocks = values.size // BLOCK
    variance = table.excess_noise * max(mean, 0.0) + table.noise_variance
    if blocks < FEWEST_BLOCKS or (POSSIBLE * mean) ** 2 < variance:
        return False
    chi_square, degrees = 0.0, -1.0
    for block in range(blocks):
        total, number = 0.0, 0
        for f in range(block * values.size // blocks, (block + 1) * values.size // blocks):
            if values[f] <= limit:
                total += values[f] - mean
                number += 1
        if number > 0:
            chi_square += total * total / (number * variance)
            degrees += 1.0
    return degrees > 0.0 and chi_square > degrees + CHANGED * np.sqrt(2.0 * degrees)


@compiled
def _line(
    values: NDArray[np.float32], used: NDArray[np.bool_], frame: int
) -> tuple[float, float, int]:
    """Return what the other frames around one say of it: rate, its variance in theirs, number."""
    first, last = max(frame - WITHIN, 0), min(frame + WITHIN + 1, values.size)
    number, s1, s2, sv, s1v = 0, 0.0, 0.0, 0.0, 0.0
    for f in range(first, last):
        if f != frame and used[f]:
            distance = float(f - frame)
            number += 1
            s1 += distance
            s2 += distance * distance
            sv += values[f]
            s1v += distance * values[f]
    if number < FEWEST:
        return 0.0, 0.0, number
    determinant = number * s2 - s1 * s1
    return (s2 * sv - s1 * s1v) / determinant, s2 / determinant, number


@compiled
def follow(
    values: NDArray[np.float32],
    rate: NDArray[np.float32],
    variability: NDArray[np.float32],
    table: TailTable,
    local: NDArray[np.float32],
    variance: NDArray[np.float32],
) -> None:
    """Write the rate of drifting pixels in every frame, by lines through the frames around it.

    Parameters
    ----------
    values
        Shape (frames, pixels), electron; NaN takes no part.
    rate, variability
        Of the whole series (`pixel_statistics`).
    table
        Tail above which a value is an outlier.
    local
        Result, shape of `values`, electron.
    variance
        Result: of `local`, with that of the pixel beyond the model's and the line; electron^2.
    """
    frames, pixels = values.shape
    own, used = np.empty(frames, np.float32), np.empty(frames, np.bool_)
    relative = np.empty(frames, np.float64)
    for p in range(pixels):
        own[:] = values[:, p]
        line, leverage = local[:, p], variance[:, p]
        limit = exceeded(table, rate[p]) + ROBUST * np.sqrt(variability[p])
        for f in range(frames):
            used[f] = own[f] <= limit
        _lines(own, used, rate[p], line, leverage)
        wider = _robust_width(own, line, leverage, table)
        for f in range(frames):
            above = exceeded(table, line[f]) - line[f]
            used[f] = own[f] <= line[f] + above * max(wider, 1.0)
        _lines(own, used, rate[p], line, leverage)
        part = _flicker(own, used, line, leverage, table, 0, frames, frames)
        for f in range(frames):
            first, last = max(f - WITHIN, 0), min(f + WITHIN + 1, frames)
            here = _flicker(own, used, line, leverage, table, first, last, f)
            relative[f] = max(part, here)
        for f in range(frames):
            flicker = relative[f] * line[f] * line[f]
            model = table.excess_noise * line[f] + table.noise_variance
            leverage[f] = leverage[f] * (model + flicker) + flicker


@compiled
def _lines(
    own: NDArray[np.float32],
    used: NDArray[np.bool_],
    rate: float,
    line: NDArray[np.float32],
    leverage: NDArray[np.float32],
) -> None:
    """Write what the others say of every frame, or the rate of the series where too few do."""
    for f in range(own.size):
        value, part, number = _line(own, used, f)
        if number < FEWEST:
            value, part = rate, 1.0
        line[f], leverage[f] = max(value, 0.0), part


@compiled
def _robust_width(
    own: NDArray[np.float32],
    line: NDArray[np.float32],
    leverage: NDArray[np.float32],
    table: TailTable,
) -> float:
    """Return the width of a pixel about its lines over that of the model, by its median."""
    away = np.empty(own.size, np.float64)
    number = 0
    for f in range(own.size):
        if np.isfinite(own[f]):
            model = table.excess_noise * line[f] + table.noise_variance
            away[number] = abs(own[f] - line[f]) / np.sqrt(model * (1.0 + leverage[f]))
            number += 1
    return float(np.median(away[:number]) / MEDIAN_DEVIATION) if number else 1.0


@compiled
def _flicker(
    own: NDArray[np.float32],
    used: NDArray[np.bool_],
    line: NDArray[np.float32],
    leverage: NDArray[np.float32],
    table: TailTable,
    first: int,
    last: int,
    without: int,
) -> float:
    """Return the relative variance about the lines beyond the model's, from other frames."""
    squares, expected, light, number = 0.0, 0.0, 0.0, 0
    for f in range(first, last):
        if used[f] and f != without:
            model = table.excess_noise * line[f] + table.noise_variance
            squares += (own[f] - line[f]) ** 2
            expected += model * (1.0 + leverage[f])
            light += line[f] * line[f] * (1.0 + leverage[f])
            number += 1
    if number < FEWEST or light <= 0.0:
        return 0.0
    return float(max(squares * (1.0 + CAUTION * np.sqrt(2.0 / number)) - expected, 0.0) / light)


@compiled
def drifting_levels(
    local: NDArray[np.float32],
    variance: NDArray[np.float32],
    table: TailTable,
    sigma: float,
    level: NDArray[np.float32],
) -> None:
    """Write the signal that pixels of a frame exceed by chance, with the probability of a table.

    Parameters
    ----------
    local, variance
        Of `follow`, in one frame.
    table, sigma
        As of `hit_levels`.
    level
        The result.
    """
    for p in range(local.size):
        above = exceeded(table, local[p]) - local[p]
        level[p] = local[p] + np.sqrt(above * above + sigma * sigma * variance[p])
