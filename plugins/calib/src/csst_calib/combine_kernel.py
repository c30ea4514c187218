"""The inner loop of `combine`: median, MAD clipping and mean of many pixels at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from csstcore.api import compiled

CHUNK = 512
"""Pixels sorted at once: with 20 frames 40 kB, so that they stay in the CPU's cache."""

TINY = 1e-30
"""Least variance that a weight is made of."""


def sorting_network(size: int) -> NDArray[np.int64]:
    """Return the comparators of Batcher's odd-even merge sort, shape (comparators, 2).

    The network is that of the next power of two without the comparators that touch rows
    from `size` on (as if these held infinity). Every pixel goes through the same
    comparisons, so that they are done on vectors of pixels (Knuth, TAOCP 3, 5.2.2M).
    """
    pairs = []
    p = 1
    while p < size:
        k = p
        while k >= 1:
            for j in range(k % p, size - k, 2 * k):
                for i in range(min(k, size - j - k)):
                    if (i + j) // (2 * p) == (i + j + k) // (2 * p):
                        pairs.append((i + j, i + j + k))
            k //= 2
        p *= 2
    return np.array(pairs, np.int64).reshape(-1, 2)


@compiled
def load_usable(
    data: NDArray[np.float32],
    flags: NDArray[np.uint16],
    bits: np.uint16,
    values: NDArray[np.float32],
) -> None:
    """Copy one frame's `data` to `values`, infinite where flagged or not finite."""
    infinity = np.float32(np.inf)
    for q in range(len(data)):
        value = np.float32(data[q])
        usable = (flags[q] & bits) == 0 and abs(value) < infinity
        values[q] = value if usable else infinity


@compiled
def _exchange(low: NDArray[np.float32], high: NDArray[np.float32]) -> None:
    """Put the smaller of each pair in `low`, the larger in `high`, in place."""
    for q in range(low.size):
        a = low[q]
        b = high[q]
        low[q] = a if a < b else b
        high[q] = b if a < b else a


@compiled
def _sort(rows: NDArray[np.float32], network: NDArray[np.int64]) -> None:
    """Sort every column of `rows` ascending, in place."""
    for c in range(len(network)):
        _exchange(rows[network[c, 0]], rows[network[c, 1]])


@compiled
def _middle(
    ascending: NDArray[np.float32], count: NDArray[np.int32], median: NDArray[np.float32]
) -> None:
    """Write the median of the first `count` values of every sorted column (0 if none)."""
    for q in range(len(median)):
        if count[q] == 0:
            median[q] = 0
        else:
            low, high = ascending[(count[q] - 1) // 2, q], ascending[count[q] // 2, q]
            median[q] = np.float32(0.5) * (low + high)


@compiled
def _add_unclipped(
    values: NDArray[np.float32],
    variances: NDArray[np.float32],
    median: NDArray[np.float32],
    scale: NDArray[np.float32],
    clip: np.float32,
    weighted: bool,
    sums: NDArray[np.float64],
) -> None:
    """Add one frame's unclipped values to `sums`.

    These are the number, the deviation times its weight, the squared deviation, the
    variance, and the weight: 1, or the inverse variance if `weighted`. Without variances
    pass zeros: then the frame's own sigma plays no part in clipping.
    """
    for q in range(len(median)):
        deviation = values[q] - median[q]
        limit = max(scale[q] * scale[q], variances[q])
        used = deviation * deviation <= clip * clip * limit
        kept = float(deviation) if used else 0.0
        variance = float(variances[q])
        weight = 1.0 / max(variance, TINY) if weighted else 1.0
        sums[0, q] += 1.0 if used else 0.0
        sums[1, q] += weight * kept
        sums[2, q] += kept * kept
        sums[3, q] += variance if used else 0.0
        sums[4, q] += weight if used else 0.0


@compiled
def combine_pixels(
    values: NDArray[np.float32],
    variances: NDArray[np.float32],
    network: NDArray[np.int64],
    clip: np.float32,
    weighted: bool,
    mean: NDArray[np.float32],
    mean_variance: NDArray[np.float32],
    counts: NDArray[np.int32],
) -> None:
    """Combine `values`, shape (frames, pixels), into `mean`, `mean_variance` and `counts`.

    Values that take no part are infinite. `variances` has the shape of `values`, or is
    empty: then the variance of the mean comes from the scatter (0 for a single value).
    """
    frames, pixels = values.shape
    ascending = np.empty((frames, CHUNK), np.float32)
    valid = np.empty(CHUNK, np.int32)
    median = np.empty(CHUNK, np.float32)
    deviation = np.empty(CHUNK, np.float32)
    none = np.zeros(CHUNK, np.float32)
    sums = np.empty((5, CHUNK), np.float64)
    for start in range(0, pixels, CHUNK):
        size = min(CHUNK, pixels - start)
        valid[:] = 0
        for f in range(frames):
            for q in range(size):
                ascending[f, q] = values[f, start + q]
                valid[q] += 1 if values[f, start + q] < np.inf else 0
        _sort(ascending, network)
        _middle(ascending, valid[:size], median[:size])
        for f in range(frames):
            for q in range(size):
                ascending[f, q] = abs(ascending[f, q] - median[q])
        _sort(ascending, network)
        _middle(ascending, valid[:size], deviation[:size])
        deviation *= np.float32(1.4826)
        sums[:] = 0
        for f in range(frames):
            noise = variances[f, start : start + size] if variances.size else none[:size]
            frame = values[f, start : start + size]
            _add_unclipped(frame, noise, median[:size], deviation[:size], clip, weighted, sums)
        for q in range(size):
            used = max(sums[0, q], 1.0)
            counts[start + q] = int(sums[0, q])
            if sums[0, q] > 0:
                mean[start + q] = float(median[q]) + sums[1, q] / sums[4, q]
            else:
                mean[start + q] = 0.0
            if not variances.size:
                scatter = max(sums[2, q] - sums[1, q] * sums[1, q] / used, 0.0)
                mean_variance[start + q] = scatter / (max(used - 1.0, 1.0) * used)
            elif weighted:
                mean_variance[start + q] = 1.0 / sums[4, q] if sums[4, q] > 0 else 0.0
            else:
                mean_variance[start + q] = sums[3, q] / (used * used)
