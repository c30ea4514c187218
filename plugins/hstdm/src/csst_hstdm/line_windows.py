"""Windows of channels that hold lines: what stands out of the noise of smoothed spectra."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from csstcore.api import compiled, each, pieces

WIDEST = 0.4
"""Lines of the average that take more of the band than this are not those of every dump."""
LEAST = 8
"""Fewer means over channels tell no noise."""
GROUPS = (1, 8, 64)
"""Dumps averaged to find lines that a single dump does not show; besides, all of them."""


def find_lines_in_dumps(
    residual: NDArray[np.float32],
    good: NDArray[np.bool_],
    *,
    smooth_channels: Sequence[int],
    threshold: float,
    dilate: float,
) -> NDArray[np.bool_]:
    """Return the channels with lines in dumps whose baseline is subtracted.

    The average of all dumps comes first; if its lines leave most of the band, they are masked in
    all dumps. Then each dump is searched by itself, and averages of 8, 64 and all consecutive
    dumps without what was found before; lines of an average are taken to be in every dump of it.
    A line is where a running mean over channels exceeds `threshold` times its noise (by the
    median absolute value), together with the channels around it.

    Parameters
    ----------
    residual
        Shape (dumps, channels).
    good
        Samples that count.
    smooth_channels
        Widths of the running means, at most a 32nd of the band.
    threshold
        In units of the noise, for the average of all dumps; one more for parts of them, of which
        there are many.
    dilate
        Half width of the surroundings, in widths of the running mean.
    """
    dumps, channels = residual.shape
    widths = np.array(
        sorted({max(min(int(width), channels // 32), 1) for width in smooth_channels})
    )
    masked = np.zeros_like(good)
    common = _common(residual, good, widths, threshold, dilate)
    if common.mean() <= WIDEST:
        masked |= common
    for size in [*(group for group in GROUPS if group < dumps), dumps]:
        edges = np.unique(np.append(np.arange(0, dumps, size), dumps))
        limit = threshold if size == dumps else threshold + 1

        def search(part: slice, edges: NDArray[np.intp] = edges, limit: float = limit) -> None:
            _search(
                residual, good, edges[part.start : part.stop + 1], widths, limit, dilate, masked
            )

        each(search, pieces(len(edges) - 1))
    return masked


def _common(
    residual: NDArray[np.float32],
    good: NDArray[np.bool_],
    widths: NDArray[np.intp],
    threshold: float,
    dilate: float,
) -> NDArray[np.bool_]:
    """Return the lines of the average of all dumps, shape (1, channels)."""
    count = good.sum(axis=0, dtype=np.float32)[None]
    total = np.where(good, residual, np.float32(0)).sum(axis=0)[None]
    mean = total / np.maximum(count, 1)
    masked = np.zeros(mean.shape, bool)
    _search(mean, count > len(good) / 2, np.array([0, 1]), widths, threshold, dilate, masked)
    return masked


@compiled
def _search(
    residual: NDArray[np.float32],
    good: NDArray[np.bool_],
    edges: NDArray[np.intp],
    widths: NDArray[np.intp],
    threshold: float,
    dilate: float,
    masked: NDArray[np.bool_],
) -> None:
    """Mask lines in the means of groups of dumps, in all dumps of each."""
    channels = residual.shape[1]
    mean, used = np.empty(channels, np.float32), np.empty(channels, np.float32)
    total, count = np.zeros(channels + 1), np.zeros(channels + 1)
    smooth = np.empty(channels)
    for group in range(len(edges) - 1):
        mean[:] = 0
        used[:] = 0
        for r in range(edges[group], edges[group + 1]):
            for c in range(channels):
                counts = good[r, c] & ~masked[r, c]
                mean[c] += residual[r, c] if counts else np.float32(0)
                used[c] += np.float32(1) if counts else np.float32(0)
        for c in range(channels):
            total[c + 1] = total[c] + mean[c]
            count[c + 1] = count[c] + used[c]
        for width in widths:
            step = max(width // 4, 1)
            number = _smooth(total, count, width, step, smooth)
            rows = masked[edges[group] : edges[group + 1]]
            _mark(smooth[:number], step, threshold, int(dilate * width), rows)


@compiled
def _smooth(
    total: NDArray[np.float64],
    count: NDArray[np.float64],
    width: int,
    step: int,
    smooth: NDArray[np.float64],
) -> int:
    """Set sums over channels from cumulative ones, scaled so that their noise is alike."""
    channels = len(total) - 1
    number = 0
    for c in range(0, channels, step):
        low, high = max(c - width // 2, 0), min(c - width // 2 + width, channels)
        samples = count[high] - count[low]
        value = total[high] - total[low]
        smooth[number] = value / np.sqrt(samples) if samples > 0 else 0.0
        number += 1
    return number


@compiled
def _mark(
    smooth: NDArray[np.float64],
    step: int,
    threshold: float,
    around: int,
    masked: NDArray[np.bool_],
) -> None:
    """Mask where a running mean over channels stands out."""
    channels = masked.shape[1]
    known = smooth[smooth != 0]
    if len(known) < LEAST:
        return
    limit = threshold * 1.4826 * np.median(np.abs(known))
    last = -1
    for k in range(len(smooth)):
        if np.abs(smooth[k]) > limit:
            high = min(k * step + around, channels - 1)
            masked[:, max(k * step - around, last + 1) : high + 1] = True
            last = high
