"""Level of every row of a raw frame from its prescan, undisturbed by trails of cosmic rays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dct, idct
from scipy.ndimage import median_filter, uniform_filter1d

Array = NDArray[np.float64]

ROUGH_ROWS = 31
"""Rows of the running median by which outliers are told."""
CLIP_SIGMA = 3.0
CLIPPED_VARIANCE = 0.97334
"""Variance of a unit Gaussian within 3 sigma."""
TRAIL_SIGMA = 2.0
"""Excess of a row's last overscan pixels that says that a trail goes on in the next row."""
LEAST_NOISE = 0.3
"""Of whole numbers, in their unit."""
LAST_PIXELS = 8
"""Overscan pixels that are free of what charge transfer leaves behind."""
COMPONENTS = 15
"""Neighbouring cosine components whose mean power is compared with noise."""
SIGNIFICANT = 2.5
"""Mean power over noise from which components are kept: pure noise has that once in 900."""


@dataclass(frozen=True)
class RowLevels:
    """What the prescan says of each row, in the unit of the frame."""

    level: Array
    """Shape (rows,)."""
    noise: float
    """Of one pixel."""
    disturbed: NDArray[np.bool_]
    """Rows whose own prescan was not used, shape (rows,)."""


def measure_rows(prescan: NDArray[np.float32], overscan: NDArray[np.float32]) -> RowLevels:
    """Return the bias level of every row.

    After a large packet the register's output falls back slowly; the trail runs through the
    overscan into the prescan of the next row (corgidrp, issue 999). Clipping alone keeps what of
    it is below the limit. So where the overscan of the row before stands above the level, only
    the second half of the prescan counts, and a row is left out as a whole if clipped pixels of
    it touch: clock-induced charge comes one by one. The second half also sets the zero of the
    pattern of the columns.

    The rows' means are noisy, and no fixed window suits both drift and stripes: their cosine
    components are weighted by what their power is above noise (`significant_part`).

    Parameters
    ----------
    prescan
        Shape (rows, columns), at least two columns.
    overscan
        Shape (rows, columns); may have no columns.

    Raises
    ------
    ValueError
        If no row is undisturbed.
    """
    if not len(prescan):
        raise ValueError("no row of the prescan is undisturbed")
    half = prescan.shape[1] // 2
    medians = np.median(prescan[:, half:], axis=1).astype(np.float64)
    level = median_filter(medians, size=ROUGH_ROWS, mode="nearest")
    sigma = _noise_below(prescan - level[:, None])
    for _ in range(2):  # medians of whole numbers are too coarse to clip about
        deviation = prescan - level[:, None]
        kept, disturbed = _undisturbed(deviation, overscan - level[:, None], sigma)
        count = kept.sum(axis=1)
        if not count.any():
            raise ValueError("no row of the prescan is undisturbed")
        deviation -= _column_pattern(deviation, kept, half)
        mean = np.where(kept, deviation, 0.0).sum(axis=1) / np.maximum(count, 1)
        scatter = np.sum((deviation - mean[:, None])[kept] ** 2) / np.sum(np.maximum(count - 1, 1))
        sigma = max(float(np.sqrt(scatter / CLIPPED_VARIANCE)), LEAST_NOISE)
        weight = count / prescan.shape[1]
        level = significant_part(level + mean, weight, sigma**2 / prescan.shape[1])
    return RowLevels(level, sigma, disturbed)


def significant_part(values: Array, weight: Array, variance: float) -> Array:
    """Return what of a series of values is not white noise.

    The cosine transform is multiplied by ``1 - N / P``, Wiener's filter, with the noise N and
    the mean power P of `COMPONENTS` neighbours; by 0 where P is not significant. Values of
    weight below 1 take the rest from the result, by iteration.

    Parameters
    ----------
    values
        Shape (n,).
    weight
        Of each value, 0 to 1.
    variance
        Of a value of weight 1.
    """
    model = np.full(len(values), float(np.average(values, weights=weight)))
    for _ in range(8):
        components = dct(weight * values + (1 - weight) * model, norm="ortho")
        power = uniform_filter1d(components[1:] ** 2, min(COMPONENTS, len(values) - 1))
        kept = np.where(power > SIGNIFICANT * variance, 1 - variance / np.maximum(power, 1e-300), 0)
        components[1:] *= kept
        model = idct(components, norm="ortho")
    return np.asarray(model)


def _noise_below(deviation: Array) -> float:
    """Return the noise of a pixel from what lies below the level: trails are above it."""
    limit = 5 * max(1.4826 * float(np.median(np.abs(deviation))), 1.0)
    below = deviation[(deviation < 0) & (deviation > -limit)]
    return max(float(np.sqrt(np.mean(below**2))) if below.size else 0.0, LEAST_NOISE)


def _undisturbed(
    prescan: Array, overscan: Array, sigma: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which pixels of the prescan count, and which rows are left out as a whole."""
    kept = np.abs(prescan) <= CLIP_SIGMA * sigma
    candidate = np.ones(prescan.shape, np.bool_)
    last = overscan[:, -LAST_PIXELS:]
    if last.shape[1]:
        trailed = last.mean(axis=1) > TRAIL_SIGMA * sigma / np.sqrt(last.shape[1])
        candidate[1:][trailed[:-1], : prescan.shape[1] // 2] = False
    out = candidate & ~kept
    disturbed = np.any(out[:, :-1] & out[:, 1:], axis=1, keepdims=True)
    return kept & candidate & ~disturbed, disturbed[:, 0]


def _column_pattern(deviation: Array, kept: NDArray[np.bool_], half: int) -> Array:
    """Return how columns differ from the mean of the second half, 0 where none is kept."""
    count = kept.sum(axis=0)
    mean = np.where(kept, deviation, 0.0).sum(axis=0) / np.maximum(count, 1)
    zero = float(np.average(mean[half:], weights=np.maximum(count[half:], 1)))
    return np.where(count > 0, mean - zero, 0.0)
