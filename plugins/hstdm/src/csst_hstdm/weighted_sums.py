"""Compiled sums of weighted dumps into pixels: averages (one pixel) and maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from csst_hstdm.common_axis import variances
from csstcore.api import Spectra, compiled, each

BLOCK_CHANNELS = 256
"""Channels that a thread sums at a time: its sums of a map of 64 x 64 take 12 MB."""


@dataclass(frozen=True, slots=True)
class Contributions:
    """To which pixels the dumps of one file contribute, and with which kernel."""

    rows: NDArray[np.intp]
    """Dumps, by their row."""
    first: NDArray[np.intp]
    """Where the pixels of each dump begin in `pixel`; one entry more than dumps."""
    pixel: NDArray[np.intp]
    kernel: NDArray[np.float32]
    """Value of the kernel, at most 1, shape as `pixel`."""
    offset: NDArray[np.float32]
    """Where the dump lies from the pixel, in pixels x and y; shape (2, as `pixel`)."""

    @staticmethod
    def to_one(rows: NDArray[np.intp]) -> Contributions:
        """Return the contributions of dumps to a single average."""
        count = len(rows)
        zeros = np.zeros(count, np.intp)
        kernel, offset = np.ones(count, np.float32), np.zeros((2, count), np.float32)
        return Contributions(rows, np.arange(count + 1), zeros, kernel, offset)


@dataclass(frozen=True, slots=True)
class Border:
    """Which means are border: of little weight, or of dumps to one side."""

    fraction: float
    """Of the median weight of a channel."""
    offset_pixel: float
    """How far the mean place of the dumps may lie from the pixel."""
    flags: NDArray[np.bool_]
    """Filled; shape (channels, pixels)."""


def weighted_sums(
    series: Sequence[Spectra],
    contributions: Sequence[Contributions],
    weights: Sequence[NDArray[np.float64]],
    first_channels: Sequence[int],
    pixels: int,
    data: NDArray[np.float32],
    variance: NDArray[np.float32],
    border: Border | None = None,
) -> NDArray[np.float64]:
    """Fill in the weighted means of dumps in each pixel and channel, and their variances.

    ``T = sum(k w T_i) / sum(k w)`` with the weights w of the dumps and the kernel k, and
    ``sigma^2 = sum((k w sigma_i)^2) / sum(k w)^2``, the propagated variance of that. Samples
    that are flagged, not finite or without a positive variance do not count. NaN where nothing
    counts.

    Parameters
    ----------
    series
        Files of dumps.
    contributions, weights, first_channels
        Of each file: the pixels and the weights of its dumps, and its first channel in the result.
    pixels
        Number of pixels.
    data, variance
        Filled; shape (channels, pixels).
    border
        Filled too: channel by channel, as samples may be flagged.

    Returns
    -------
    NDArray
        Sum of ``k w`` in each pixel, mean of the channels; shape (pixels,).
    """
    channels = len(data)
    spectra = [
        (dumps, variances(dumps), _flags(dumps), part, start, weight.astype(np.float32))
        for dumps, part, start, weight in zip(
            series, contributions, first_channels, weights, strict=True
        )
    ]

    def work(low: int) -> NDArray[np.float64]:
        high = min(low + BLOCK_CHANNELS, channels)
        sums = np.zeros((pixels, 5, high - low), np.float32)
        for dumps, sigma2, flags, part, start, weight in spectra:
            first, last = max(low - start, 0), min(high - start, dumps.flux.shape[1])
            if first >= last:
                continue
            _add(
                dumps.flux[:, first:last],
                sigma2[:, first:last],
                flags[:, first:last],
                part.rows,
                weight,
                part.first,
                part.pixel,
                part.kernel,
                part.offset,
                sums[:, :, first + start - low : last + start - low],
            )
        if border is not None:
            border.flags[low:high] = _border(sums, border)
        _finish(sums, data[low:high], variance[low:high])
        return np.asarray(sums[:, 1].sum(axis=1, dtype=float))

    return np.asarray(sum(each(work, range(0, channels, BLOCK_CHANNELS)))) / channels


def _border(sums: NDArray[np.float32], border: Border) -> NDArray[np.bool_]:
    """Return which means of a block are border, shape (channels, pixels)."""
    norm = np.ascontiguousarray(sums[:, 1].T)
    covered = norm > 0
    middle = np.array(
        [
            np.median(row[good]) if good.any() else 0.0
            for row, good in zip(norm, covered, strict=True)
        ]
    )
    aside = np.hypot(sums[:, 3], sums[:, 4]).T
    far = aside > border.offset_pixel * norm
    return covered & (far | (norm < border.fraction * middle[:, None]))


def _flags(dumps: Spectra) -> NDArray[np.uint16]:
    if dumps.flags is not None:
        return dumps.flags
    return np.broadcast_to(np.zeros(1, np.uint16), dumps.flux.shape)


@compiled
def _add(
    flux: NDArray[np.float32],
    variance: NDArray[np.float32],
    flags: NDArray[np.uint16],
    rows: NDArray[np.intp],
    weights: NDArray[np.float32],
    first: NDArray[np.intp],
    pixel: NDArray[np.intp],
    kernel: NDArray[np.float32],
    offset: NDArray[np.float32],
    sums: NDArray[np.float32],
) -> None:
    """Add dumps to the sums of k w T, k w, (k w sigma)^2, k w x and k w y."""
    channels = flux.shape[1]
    weight = np.empty(channels, np.float32)
    value = np.empty(channels, np.float32)
    noise = np.empty(channels, np.float32)
    for k in range(len(rows)):
        row = rows[k]
        for c in range(channels):
            sigma2, sample = variance[row, c], flux[row, c]
            good = flags[row, c] == 0 and sigma2 > 0 and np.isfinite(sigma2 + sample)
            weight[c] = weights[k] if good else np.float32(0)
            value[c] = sample * weights[k] if good else np.float32(0)
            noise[c] = sigma2 * weights[k] * weights[k] if good else np.float32(0)
        for j in range(first[k], first[k + 1]):
            factor = kernel[j]
            square = factor * factor
            total, norm, norm2 = sums[pixel[j], 0], sums[pixel[j], 1], sums[pixel[j], 2]
            aside_x, aside_y = sums[pixel[j], 3], sums[pixel[j], 4]
            x, y = factor * offset[0, j], factor * offset[1, j]
            for c in range(channels):
                total[c] += factor * value[c]
                norm[c] += factor * weight[c]
                norm2[c] += square * noise[c]
                aside_x[c] += x * weight[c]
                aside_y[c] += y * weight[c]


@compiled
def _finish(
    sums: NDArray[np.float32], data: NDArray[np.float32], variance: NDArray[np.float32]
) -> None:
    """Set means and variances of a block from its sums."""
    for p in range(sums.shape[0]):
        for c in range(sums.shape[2]):
            norm = sums[p, 1, c]
            if norm > 0:
                data[c, p] = sums[p, 0, c] / norm
                variance[c, p] = sums[p, 2, c] / (norm * norm)
            else:
                data[c, p] = np.nan
                variance[c, p] = np.nan
