"""Mean, variance and covariances of a channel from the difference of two equal frames."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import astropy.units as u
import numpy as np
from numpy.typing import NDArray

from csst_calib.readout import Channel
from csstcore.api import Image

CLIP_SIGMA = 5.0
DEFECT = 0.25
"""Pixels of a flat farther than this fraction from the channel's median are defects."""
SAMPLED_PIXELS = 400_000
"""Pixels that suffice for a median: its error is then 0.2 % of the noise of one."""
CHUNK = 1 << 20
"""Products summed at once in float32; their sums are added in float64."""

Pair = tuple[Image, Image]


@dataclass(frozen=True)
class PairStatistics:
    """Noise of one frame of a pair, and how many pixels it comes from."""

    mean: float
    """adu."""
    variance: float
    """adu^2."""
    row_variance: float
    """The same about the mean of each row: free of what a whole row shares."""
    covariance: NDArray[np.float64]
    """Shape (lags, lags), adu^2; ``[i, j]`` is the mean of lags (i, j) and (i, -j)."""
    pixels: int
    saturated: float
    """Fraction of the pixels flagged as saturated in either frame."""


def pairs_by_exposure(images: Sequence[Image]) -> dict[float, list[Pair]]:
    """Return disjoint pairs of frames that follow each other, by exposure time in s."""
    waiting: dict[float, Image] = {}
    pairs: dict[float, list[Pair]] = {}
    for image in images:
        time = image.meta.exposure_time
        key = 0.0 if time is None else round(float(time.to_value(u.s)), 6)
        if key in waiting:
            pairs.setdefault(key, []).append((waiting.pop(key), image))
        else:
            waiting[key] = image
    return dict(sorted(pairs.items()))


def pair_statistics(
    pair: Pair, channel: Channel, *, max_lag: int = 0, lit: bool = True
) -> PairStatistics:
    """Measure a channel on the difference of two frames, which is free of fixed pattern.

    Pixels that are saturated, farther than 5 sigma (of the median absolute deviation) from
    the median difference, or defects, do not take part.

    Parameters
    ----------
    pair
        Overscan-corrected frames in adu.
    channel
        Where to measure.
    max_lag
        Covariances are measured up to this lag along rows and columns.
    lit
        Whether the frames are flats: the second is then scaled to the level of the first,
        for the lamp may drift, and defects are told by their level.
    """
    a, b = (image.data[channel.active] for image in pair)
    saturated = np.zeros(a.shape, np.bool_)
    for image in pair:
        if image.flags is not None:
            saturated |= (image.flags[channel.active] & image.bit("saturated")) != 0
    middle_a, middle_b = _median(a), _median(b)
    ratio = middle_a / middle_b if lit and middle_b else 1.0
    difference = a - np.float32(ratio) * b
    good = ~saturated & _near(difference)
    if lit:
        good &= np.abs(a - np.float32(middle_a)) <= DEFECT * abs(middle_a)
    pixels = int(np.count_nonzero(good))
    fraction = float(saturated.mean())
    empty = np.full((max_lag + 1, max_lag + 1), np.nan)
    if pixels < 2:
        return PairStatistics(middle_a, np.nan, np.nan, empty, 0, fraction)
    mean_a, mean_b = (float(p.mean(where=good, dtype=np.float64)) for p in (a, b))
    share = 1 + ratio**2
    difference -= np.float32(difference.mean(where=good, dtype=np.float64))
    difference[~good] = 0
    # With the variance p + q m of each frame, this is the mean at which a frame has `variance`.
    mean = (mean_a + ratio**2 * mean_b) / share if lit else (mean_a + mean_b) / 2
    return PairStatistics(
        mean=mean,
        variance=float(np.sum(np.square(difference, dtype=np.float64))) / (pixels - 1) / share,
        row_variance=_row_variance(difference, good) / share,
        covariance=_covariances(difference, good, max_lag) / share,
        pixels=pixels,
        saturated=fraction,
    )


def _near(values: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return where values are within 5 sigma of the median, sigma by the deviation's median."""
    deviation = np.abs(values - np.float32(_median(values)))
    # Raw values are whole numbers: the deviation's median can be 0 although there is noise.
    sigma = max(1.4826 * _median(deviation), 0.5)
    return np.asarray(deviation <= CLIP_SIGMA * sigma)


def _median(values: NDArray[np.float32]) -> float:
    """Return the median of a regular sample of the pixels."""
    step = max(1, math.isqrt(values.size // SAMPLED_PIXELS))
    return float(np.median(values[::step, ::step]))


def _row_variance(difference: NDArray[np.float32], good: NDArray[np.bool_]) -> float:
    """Return the variance about the mean of each row (`difference` is 0 where not good)."""
    count = good.sum(axis=1)
    total = difference.sum(axis=1, dtype=np.float64)
    square = np.einsum("ij,ij->i", difference, difference, dtype=np.float64)
    several = count > 1
    excess = square[several] - total[several] ** 2 / count[several]
    freedom = int((count[several] - 1).sum())
    return float(excess.sum()) / freedom if freedom else float("nan")


def _covariances(
    difference: NDArray[np.float32], good: NDArray[np.bool_], max_lag: int
) -> NDArray[np.float64]:
    """Return the mean products of pixels at every lag.

    With zeros beside every row, a lag in two dimensions is one along the flat array.
    """
    rows, columns = difference.shape
    width = columns + max_lag
    size = rows * width
    flat, mask = (np.zeros(size + max_lag * width + max_lag, np.float32) for _ in range(2))
    flat[:size].reshape(rows, width)[:, :columns] = difference
    mask[:size].reshape(rows, width)[:, :columns] = good
    result = np.empty((max_lag + 1, max_lag + 1))
    for i in range(max_lag + 1):
        for j in range(max_lag + 1):
            lags = {i * width + j, abs(i * width - j)}
            total = sum(_lagged_sum(flat, size, lag) for lag in lags)
            count = sum(_lagged_sum(mask, size, lag) for lag in lags)
            result[i, j] = total / count if count else np.nan
    return result


def _lagged_sum(flat: NDArray[np.float32], size: int, lag: int) -> float:
    """Return the sum over the first `size` values of each times the one `lag` after it."""
    return sum(
        float(np.dot(flat[start:stop], flat[start + lag : stop + lag]))
        for start, stop in ((s, min(s + CHUNK, size)) for s in range(0, size, CHUNK))
    )
