"""Sources from bright pixels: islands, and blends parted where their branches meet.

An island is parted nearly as by SExtractor (Bertin & Arnouts 1996, A&AS 117, 393, section 5): two
branches that meet at a saddle are two sources if the flux of each above the saddle is more than
a part of that of both. There it is a part of the flux of the whole island, which in a cluster hides
all but its brightest stars, and the branches are looked for at 32 levels; here pixels are flooded
from the brightest down (component tree), so every saddle is seen, in a time that grows with the
number of pixels only, however crowded the field.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from csstcore.api import compiled


@compiled
def row_starts(row: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return where each row of a list of pixels begins, from the first row; one more at the end."""
    if row.size == 0:
        return np.zeros(1, np.int64)
    first = row[0]
    starts = np.zeros(row[-1] - first + 2, np.int64)
    for r in row:
        starts[r - first + 1] += 1
    return np.cumsum(starts)


@compiled
def first_neighbours(
    row: NDArray[np.int32], column: NDArray[np.int32], step: int
) -> NDArray[np.int32]:
    """Return for each pixel the first one in the row above or below that may touch it.

    Parameters
    ----------
    row, column
        Pixels ordered by row and column.
    step
        -1 for the row above, 1 for that below.
    """
    starts = row_starts(row)
    result = np.empty(row.size, np.int32)
    for r in range(starts.size - 1):
        other = r + step
        if not 0 <= other < starts.size - 1:
            result[starts[r] : starts[r + 1]] = row.size
            continue
        at = starts[other]
        for i in range(starts[r], starts[r + 1]):
            while at < starts[other + 1] and column[at] < column[i] - 1:
                at += 1
            result[i] = at
    return result


@compiled
def root(parent: NDArray[np.int32], i: int) -> int:
    """Return the root of a tree, and shorten the way to it."""
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@compiled
def find_islands(
    row: NDArray[np.int32], column: NDArray[np.int32], above: NDArray[np.int32]
) -> NDArray[np.int32]:
    """Return for each pixel the first pixel of its island (touching by side or corner)."""
    parent = np.arange(row.size).astype(np.int32)
    for i in range(row.size):
        if i > 0 and row[i - 1] == row[i] and column[i - 1] == column[i] - 1:
            parent[i] = parent[i - 1]
        at = above[i]
        while at < i and row[at] == row[i] - 1 and column[at] <= column[i] + 1:
            one, two = root(parent, at), root(parent, i)
            parent[max(one, two)] = min(one, two)
            at += 1
    for i in range(row.size):
        parent[i] = root(parent, i)
    return parent


@compiled
def neighbours(
    i: int,
    row: NDArray[np.int32],
    column: NDArray[np.int32],
    above: NDArray[np.int32],
    below: NDArray[np.int32],
    near: NDArray[np.int32],
) -> int:
    """Write the pixels that touch pixel `i` to `near` and return their number."""
    number = 0
    for at in (i - 1, i + 1):
        if 0 <= at < row.size and row[at] == row[i] and abs(column[at] - column[i]) == 1:
            near[number] = at
            number += 1
    for start, step in ((above[i], -1), (below[i], 1)):
        at = start
        while at < row.size and row[at] == row[i] + step and column[at] <= column[i] + 1:
            near[number] = at
            number += 1
            at += 1
    return number


@compiled
def is_strong(excess: float, count: int, limit: float, least: float, min_area: int) -> bool:
    """Return whether a branch can stay by itself; see `flood`."""
    return count >= min_area and excess > least and excess > limit * min_area


@compiled
def flood(
    i: int,
    value: NDArray[np.float32],
    limit: NDArray[np.float32],
    near: NDArray[np.int32],
    contrast: float,
    min_area: int,
    owner: NDArray[np.int32],
    component: NDArray[np.int32],
    branch: NDArray[np.int32],
    flux: NDArray[np.float64],
    count: NDArray[np.int32],
    composite: NDArray[np.bool_],
) -> None:
    """Add one pixel, fainter than all before it, to the branches that it touches.

    Branches are named by their brightest pixel. A weak branch becomes part of the one it meets.

    Parameters
    ----------
    i
        The pixel.
    value, limit
        Filtered values and their thresholds.
    near
        The pixels that touch it.
    contrast, min_area
        Part of the flux of both, and pixels, above the saddle that a branch needs to stay by
        itself; the flux must also be that of the faintest island, so many pixels at the threshold
        of the peak, or noise on the wings of bright sources would count.
    owner
        Branch of each pixel flooded so far, else -1.
    component, branch
        Trees of the branches that touch each other, and of those that became one source.
    flux, count
        Per root of `branch`: flux and pixels so far.
    composite
        Per root of `component`: whether it holds several sources.
    """
    best = -1
    for q in near:
        if owner[q] >= 0 and (best < 0 or value[q] > value[best]):
            best = q
    if best < 0:
        owner[i] = component[i] = i
        flux[i] = value[i]
        count[i] = 1
        return
    owner[i] = owner[best]
    mine = root(component, owner[best])
    for q in near:
        if owner[q] < 0 or root(component, owner[q]) == mine:
            continue
        other = root(component, owner[q])
        one, two = root(branch, owner[best]), root(branch, owner[q])
        excess = flux[one] - value[i] * count[one]
        other_excess = flux[two] - value[i] * count[two]
        least = contrast * (excess + other_excess)
        strong = composite[mine] or is_strong(excess, count[one], limit[one], least, min_area)
        other_strong = composite[other] or is_strong(
            other_excess, count[two], limit[two], least, min_area
        )
        if strong and other_strong:
            composite[mine] = True
        else:
            if strong or (not other_strong and excess > other_excess):
                kept, lost = one, two
            else:
                kept, lost = two, one
            branch[lost] = kept
            flux[kept] += flux[lost]
            count[kept] += count[lost]
        component[other] = mine
        composite[mine] |= composite[other]
    own = root(branch, owner[i])
    flux[own] += value[i]
    count[own] += 1


def part_islands(
    row: NDArray[np.int32],
    column: NDArray[np.int32],
    value: NDArray[np.float32],
    limit: NDArray[np.float32],
    min_area: int,
    contrast: float,
) -> tuple[NDArray[np.int32], NDArray[np.bool_], NDArray[np.float64]]:
    """Return the source of each pixel, whether each source shares its island, and its margin.

    Parameters
    ----------
    row, column, value, limit
        Pixels ordered by row and column, their positive filtered values and the thresholds that
        these exceed.
    min_area
        Fewest pixels of an island, and of a branch above its saddle.
    contrast
        Smallest part of the flux of two branches above their saddle that each has.

    Returns
    -------
    tuple
        Number of the source of each pixel, -1 for none; per source whether it shares its
        island, and by how much the threshold could be higher before fewer than `min_area` pixels
        were left.
    """
    above, below = first_neighbours(row, column, -1), first_neighbours(row, column, 1)
    island = find_islands(row, column, above)
    # Positive floats are ordered as their bits are: one sort by island, then from the brightest.
    key = (island.astype(np.int64) << 32) | (0x7FFFFFFF - value.view(np.int32))
    order = np.argsort(key)
    return flood_islands(
        row, column, value, limit, above, below, island, order, min_area, float(contrast)
    )


@compiled
def flood_islands(
    row: NDArray[np.int32],
    column: NDArray[np.int32],
    value: NDArray[np.float32],
    limit: NDArray[np.float32],
    above: NDArray[np.int32],
    below: NDArray[np.int32],
    island: NDArray[np.int32],
    order: NDArray[np.int64],
    min_area: int,
    contrast: float,
) -> tuple[NDArray[np.int32], NDArray[np.bool_], NDArray[np.float64]]:
    """Part islands, see `part_islands`; `order` lists their pixels from the brightest."""
    number = row.size
    owner = np.full(number, -1, np.int32)
    component, branch = np.full(number, -1, np.int32), np.arange(number).astype(np.int32)
    flux, count, composite = (
        np.zeros(number),
        np.zeros(number, np.int32),
        np.zeros(number, np.bool_),
    )
    source = np.full(number, -1, np.int32)
    blended = np.zeros(number, np.bool_)
    margin, rank = np.zeros(number), np.zeros(number, np.int32)
    near = np.empty(8, np.int32)
    sources = 0
    stop = 0
    while stop < number:
        start = stop
        while stop < number and island[order[stop]] == island[order[start]]:
            stop += 1
        if stop - start < min_area:
            continue
        for i in order[start:stop]:
            around = near[: neighbours(i, row, column, above, below, near)]
            flood(
                i, value, limit, around, contrast, min_area,
                owner, component, branch, flux, count, composite,
            )  # fmt: skip
        before = sources
        for i in order[start:stop]:
            peak = root(branch, owner[i])
            if source[peak] < 0:
                source[peak] = sources
                sources += 1
            rank[source[peak]] += 1
            if rank[source[peak]] == min_area:
                margin[source[peak]] = value[i] - limit[i]
        blended[before:sources] = sources - before > 1
    for i in range(number):
        if owner[i] >= 0:
            owner[i] = source[root(branch, owner[i])]
    return owner, blended[:sources].copy(), margin[:sources].copy()
