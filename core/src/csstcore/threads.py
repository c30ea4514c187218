"""Work shared among the threads that this process may use."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def allowed_threads() -> int:
    """Return OMP_NUM_THREADS, or without it the number of cores this process may use."""
    return max(int(os.environ.get("OMP_NUM_THREADS", len(os.sched_getaffinity(0)))), 1)


def each(function: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """Return the results of a function for all items, in their order.

    Parameters
    ----------
    function
        Called once per item, in several threads; it changes nothing that belongs to another
        item. numpy and compiled loops without the interpreter's lock let the others run.
    items
        Its arguments, such as row tiles.
    """
    items = list(items)
    with ThreadPoolExecutor(min(allowed_threads(), max(len(items), 1))) as pool:
        return list(pool.map(function, items))


def pieces(number: int, least: int = 1) -> list[slice]:
    """Return equal runs of 0 .. `number`, four for each thread so that all end together.

    Parameters
    ----------
    number
        How many things there are.
    least
        A run is no shorter, unless there are fewer.
    """
    count = max(min(4 * allowed_threads(), number // least), 1)
    edges = [number * k // count for k in range(count + 1)]
    return [slice(start, stop) for start, stop in pairwise(edges)]
