"""`compiled`: numba with a cache on disk, typed for mypy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Compile a function at its first call; later processes take it from the cache.

    Floating-point semantics stay strict (no ``fastmath``), so that a plain numpy
    implementation gives the same answer: NaN stays NaN, and division by zero gives infinity.
    Other threads run meanwhile. A plugin that uses it depends on numba; the core does not.
    """
    import numba  # half a second that only modules with compiled functions pay

    return cast(F, numba.njit(cache=True, nogil=True, error_model="numpy")(function))
