"""Lines of any width in averages of dumps: the box of bins that explains most."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from csst_hstdm.bins import Level
from csstcore.api import compiled, each, pieces

_WIDTH_STEP = 1.3
_LEAST_FREE = 0.05
"""Of a box whose shape polynomials mimic but for less than this, nothing can be said."""
_COVERED = 0.7
"""Part of a box that counts, at least: the rest is masked already."""
_AROUND = 0.75
"""A window reaches this part of the box further to either side: a Gaussian is best seen in a box
of 1.2 of its width at half maximum, and vanishes at one and a half of them."""


@dataclass(frozen=True, slots=True, eq=False)
class BroadLines:
    """The strongest line of each average of dumps."""

    gain: float
    """Decrease of chi square."""
    windows: NDArray[np.bool_]
    """Bins of the lines with their surroundings, shape (dumps, bins)."""
    widest: bool
    """Whether the strongest in the average of all dumps is wider than is searched."""


def strongest_lines(
    levels: list[Level], polynomials: NDArray[np.float64], *, widest_bin: float, threshold: float
) -> BroadLines | None:
    """Return the lines of the averages that explain most of what is left; None without any.

    Each average may have its line at another place; of the averages over more and less dumps, the
    ones that explain most count.

    Parameters
    ----------
    levels
        Averages of residuals.
    polynomials
        That were fitted, over the bins: what they take of a box does not count.
    widest_bin
        Full width at half maximum of the widest line.
    threshold
        Lines stand out by this many times the noise.
    """
    bins = levels[0].total.shape[1]
    widths = _widths(min(1.2 * _WIDTH_STEP * widest_bin, bins / 2))
    free = _free(polynomials, widths)
    best: BroadLines | None = None
    for level in levels:
        found = np.zeros((len(level.total), 3))

        def search(part: slice, level: Level = level, found: NDArray[np.float64] = found) -> None:
            _best_boxes(level.total[part], level.weight[part], widths, free, found[part])

        each(search, pieces(len(found)))
        stands_out = found[:, 0] > threshold**2
        gain = float(found[stands_out, 0].sum())
        if gain > (best.gain if best else 0.0):
            windows = np.zeros((level.edges[-1], bins), bool)
            for group in np.flatnonzero(stands_out):
                low, high = found[group, 1:]
                around = max(_AROUND * (high - low), 1.0)
                columns = slice(max(int(low - around), 0), int(np.ceil(high + around)))
                windows[level.edges[group] : level.edges[group + 1], columns] = True
            best = BroadLines(gain, windows, False)
    of_all, first, end = found[0]
    too_wide = of_all > threshold**2 and end - first >= max(widths[-1], 2)
    return replace(best, widest=bool(too_wide)) if best else None


def _widths(widest: float) -> NDArray[np.intp]:
    count = int(np.ceil(np.log(max(widest, 1.0)) / np.log(_WIDTH_STEP)))
    return np.unique(np.round(widest * _WIDTH_STEP ** -np.arange(count + 1)).astype(np.intp))


def _free(polynomials: NDArray[np.float64], widths: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return which part of the square of each box polynomials leave, shape (widths, bins)."""
    orthogonal = np.linalg.qr(polynomials)[0]
    bins = len(orthogonal)
    total = np.concatenate([np.zeros((1, orthogonal.shape[1])), np.cumsum(orthogonal, axis=0)])
    out = np.zeros((len(widths), bins))
    for k, width in enumerate(widths):
        taken = np.sum((total[width:] - total[:-width]) ** 2, axis=1) / width
        out[k, : len(taken)] = np.where(1 - taken > _LEAST_FREE, 1 - taken, 0.0)
    return out


@compiled
def _best_boxes(
    total: NDArray[np.float64],
    weight: NDArray[np.float64],
    widths: NDArray[np.intp],
    free: NDArray[np.float64],
    found: NDArray[np.float64],
) -> None:
    """Set decrease of chi square, first bin and end of the best box of each average."""
    bins = total.shape[1]
    sums, norms = np.zeros(bins + 1), np.zeros(bins + 1)
    for row in range(len(total)):
        for b in range(bins):
            sums[b + 1] = sums[b] + total[row, b]
            norms[b + 1] = norms[b] + weight[row, b]
        used = 0
        for b in range(bins):
            used += weight[row, b] > 0
        enough = _COVERED * norms[bins] / max(used, 1)
        for k in range(len(widths)):
            width = widths[k]
            for b in range(bins - width + 1):
                norm = norms[b + width] - norms[b]
                if norm > enough * width and free[k, b] > 0:
                    value = sums[b + width] - sums[b]
                    gain = value * value / (norm * free[k, b])
                    if gain > found[row, 0]:
                        found[row, 0] = gain
                        found[row, 1] = b
                        found[row, 2] = b + width
