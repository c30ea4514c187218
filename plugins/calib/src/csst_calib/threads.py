"""The threads that a stage may use."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def allowed_threads() -> int:
    """Return how many threads this process may use."""
    return int(os.environ.get("OMP_NUM_THREADS", len(os.sched_getaffinity(0))))


def in_threads(function: Callable[[T], R], parts: Iterable[T]) -> list[R]:
    """Return the function's results for all parts, in their order.

    Parameters
    ----------
    function
        Works on one part, such as a row tile, and changes nothing that belongs to another.
        numpy and `compiled` loops let the other threads run.
    parts
        Its arguments.
    """
    with ThreadPoolExecutor(max(1, allowed_threads())) as pool:
        return list(pool.map(function, parts))
