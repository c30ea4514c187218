"""Which sources are fitted together, and whose light is only subtracted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from csst_imaging.galaxies.sources import Sources

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Group:
    """Sources that are fitted together."""

    members: Integers
    outsiders: Integers
    """Others whose windows overlap those of the members: their light is subtracted."""
    split: bool
    """It was cut from a group that was too large."""


def make_groups(sources: Sources, largest: int) -> list[Group]:
    """Return the groups that hold at least one extended source.

    Two sources are linked where the sum of their reaches exceeds their distance. A chain of
    links longer than `largest` is cut: its brightest source and the nearest others make a
    group, then the brightest of the rest.

    Parameters
    ----------
    sources
        All sources.
    largest
        Most members of a group.
    """
    usable = np.flatnonzero(sources.usable)
    if not sources.extended[usable].any():
        return []
    place = sources.parameters[usable, :2]
    reach = sources.reach[usable]
    pairs = _close_pairs(place, reach)
    number, label = connected_components(
        coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), (len(usable),) * 2),
        directed=False,
    )
    order = np.argsort(label, kind="stable")
    chains = np.split(order, np.searchsorted(label[order], np.arange(1, number)))
    overlaps = _overlaps(sources, usable)
    groups = []
    for chain in chains:
        parts = _cut(chain, place, sources.parameters[usable, 2], largest)
        for part in parts:
            members = usable[part]
            if not sources.extended[members].any():
                continue
            near = np.unique(np.concatenate([overlaps.get(int(m), _NONE) for m in members]))
            outsiders = np.setdiff1d(near, members)
            groups.append(Group(members, outsiders, len(parts) > 1))
    return groups


_NONE = np.empty(0, np.int64)


def _close_pairs(place: NDArray[np.float64], reach: NDArray[np.float64]) -> Integers:
    """Return pairs whose distance is below the sum of their reaches.

    Few sources reach far: they are looked up with a radius of their own.
    """
    tree = cKDTree(place)
    common = float(np.quantile(reach, 0.9))
    pairs = tree.query_pairs(2.0 * common, output_type="ndarray")
    far = np.flatnonzero(reach > common)
    found = tree.query_ball_point(place[far], reach[far] + float(reach.max()))
    more = [np.column_stack([np.full(len(f), i), f]) for i, f in zip(far, found, strict=True)]
    pairs = np.concatenate([pairs, *more]).astype(np.int64)
    distance = np.hypot(*(place[pairs[:, 0]] - place[pairs[:, 1]]).T)
    linked = distance < reach[pairs[:, 0]] + reach[pairs[:, 1]]
    return np.asarray(pairs[linked & (pairs[:, 0] != pairs[:, 1])])


def _cut(
    chain: Integers, place: NDArray[np.float64], flux: NDArray[np.float64], largest: int
) -> list[Integers]:
    """Cut a chain of linked sources into groups of at most `largest`."""
    parts = []
    while len(chain) > largest:
        brightest = chain[np.argmax(flux[chain])]
        distance = np.hypot(*(place[chain] - place[brightest]).T)
        order = np.argsort(distance, kind="stable")
        parts.append(np.sort(chain[order[:largest]]))
        chain = chain[np.sort(order[largest:])]
    return [*parts, chain]


def _overlaps(sources: Sources, usable: Integers) -> dict[int, Integers]:
    """Return, for each source with any, the others whose windows overlap its own."""
    windows = sources.windows[usable]
    middle = np.asarray(0.5 * (windows[:, [0, 2]] + windows[:, [1, 3]]), np.float64)
    half = 0.5 * np.maximum(windows[:, 1] - windows[:, 0], windows[:, 3] - windows[:, 2])
    pairs = _close_pairs(middle, np.asarray(np.sqrt(2.0) * half, np.float64))
    i, j = windows[pairs[:, 0]], windows[pairs[:, 1]]
    meet = (i[:, 0] < j[:, 1]) & (j[:, 0] < i[:, 1]) & (i[:, 2] < j[:, 3]) & (j[:, 2] < i[:, 3])
    pairs = usable[pairs[meet]]
    both = np.unique(np.concatenate([pairs, pairs[:, ::-1]]), axis=0)
    if not len(both):
        return {}
    first, start = np.unique(both[:, 0], return_index=True)
    parts = np.split(both[:, 1], start[1:])
    return {int(source): part for source, part in zip(first, parts, strict=True)}
