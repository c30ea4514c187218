"""Windows of channels that hold lines: what stands out of the noise of smoothed spectra."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from csst_hstdm.bins import group_edges
from csst_hstdm.scatter import scatter_about_zero
from csstcore.api import compiled, each, pieces

THRESHOLD = 3.0
"""Lines of the average of all dumps stand out by this many times the noise."""
WIDEST_KM_S = 120.0
"""Full width at half maximum of the widest line, proposed: of galaxies, seen in a beam."""
WIDEST_BAND = 0.2
"""No line is taken to be wider than this part of the band."""
_NARROWEST_CHANNEL = 8
_WIDTH_STEP = 4
_MOST_COMMON = 0.6
"""Lines of the average that take more of the band than this are not those of every dump."""
_DILATE = 1.0
"""Windows reach this many widths of the running mean beyond where it stands out."""
_LEAST = 8
"""Fewer means over channels tell no noise."""


def widest_channel(velocity_km_s: NDArray[np.float64], widest_km_s: float = WIDEST_KM_S) -> float:
    """Return the width of the widest line in channels, at most a fifth of the band.

    Parameters
    ----------
    velocity_km_s
        Of the channels, evenly spaced.
    widest_km_s
        Full width at half maximum.
    """
    channels = len(velocity_km_s)
    step_km_s = abs(float(velocity_km_s[-1] - velocity_km_s[0])) / max(channels - 1, 1)
    return float(min(widest_km_s / step_km_s, WIDEST_BAND * channels))


def find_lines_in_dumps(
    residual: NDArray[np.float32],
    good: NDArray[np.bool_],
    *,
    widest_channel: float,
    threshold: float = THRESHOLD,
    known: NDArray[np.bool_] | None = None,
) -> NDArray[np.bool_]:
    """Return the channels with lines in dumps whose baseline is subtracted.

    The average of all dumps comes first; if its lines leave most of the band, they are masked in
    all dumps. Then each dump is searched by itself, and averages of 8, 64 and all consecutive
    dumps without what was found before; lines of an average are taken to be in every dump of it.
    A line is where a running mean over channels exceeds `threshold` times its noise (by the
    median absolute value, at least that of the narrower means), together with the channels around
    it; wider means leave out what narrower ones found.

    Parameters
    ----------
    residual
        Shape (dumps, channels).
    good
        Samples that count.
    widest_channel
        Of the running means; the narrowest takes 8 channels or a 32nd of the band.
    threshold
        In units of the noise, for the average of all dumps; one more for parts of them, of which
        there are many.
    known
        Lines found before, shape as `residual`.
    """
    dumps, channels = residual.shape
    narrowest = max(min(_NARROWEST_CHANNEL, channels // 32), 1)
    count = int(np.log(max(widest_channel / narrowest, 1.0)) / np.log(_WIDTH_STEP))
    widths = narrowest * _WIDTH_STEP ** np.arange(count + 1)
    masked = np.zeros_like(good) if known is None else known.copy()
    common = _common(residual, good & ~masked, widths, threshold)
    if common.mean() <= _MOST_COMMON:
        masked |= common
    for edges in group_edges(dumps):
        limit = threshold if len(edges) == 2 else threshold + 1

        def search(part: slice, edges: NDArray[np.intp] = edges, limit: float = limit) -> None:
            _search(residual, good, edges[part.start : part.stop + 1], widths, limit, masked)

        each(search, pieces(len(edges) - 1))
    return masked


def _common(
    residual: NDArray[np.float32],
    good: NDArray[np.bool_],
    widths: NDArray[np.intp],
    threshold: float,
) -> NDArray[np.bool_]:
    """Return the lines of the average of all dumps, shape (1, channels)."""
    count = good.sum(axis=0, dtype=np.float32)[None]
    total = np.where(good, residual, np.float32(0)).sum(axis=0)[None]
    mean = total / np.maximum(count, 1)
    masked = np.zeros(mean.shape, bool)
    _search(mean, count > len(good) / 2, np.array([0, 1]), widths, threshold, masked)
    return masked


@compiled
def _search(
    residual: NDArray[np.float32],
    good: NDArray[np.bool_],
    edges: NDArray[np.intp],
    widths: NDArray[np.intp],
    threshold: float,
    masked: NDArray[np.bool_],
) -> None:
    """Mask lines in the means of groups of dumps, in all dumps of each."""
    channels = residual.shape[1]
    mean, used = np.empty(channels, np.float32), np.empty(channels, np.float32)
    total, count = np.zeros(channels + 1), np.zeros(channels + 1)
    smooth, line = np.empty(channels), np.empty(channels, np.bool_)
    for group in range(len(edges) - 1):
        mean[:] = 0
        used[:] = 0
        for r in range(edges[group], edges[group + 1]):
            for c in range(channels):
                counts = good[r, c] & ~masked[r, c]
                mean[c] += residual[r, c] if counts else np.float32(0)
                used[c] += np.float32(1) if counts else np.float32(0)
        line[:] = False
        noise = 0.0
        for width in widths:
            for c in range(channels):
                total[c + 1] = total[c] + (np.float32(0) if line[c] else mean[c])
                count[c + 1] = count[c] + (np.float32(0) if line[c] else used[c])
            step = max(width // 4, 1)
            number = _smooth(total, count, width, step, smooth)
            known = smooth[:number][smooth[:number] != 0]
            if len(known) < _LEAST:
                continue
            noise = max(noise, scatter_about_zero(known))
            _mark(smooth[:number], step, threshold * noise, int(_DILATE * width), line)
        for r in range(edges[group], edges[group + 1]):
            for c in range(channels):
                if line[c]:
                    masked[r, c] = True


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
    smooth: NDArray[np.float64], step: int, limit: float, around: int, line: NDArray[np.bool_]
) -> None:
    """Mark where a running mean over channels stands out."""
    channels = len(line)
    last = -1
    for k in range(len(smooth)):
        if np.abs(smooth[k]) > limit:
            high = min(k * step + around, channels - 1)
            line[max(k * step - around, last + 1) : high + 1] = True
            last = high
