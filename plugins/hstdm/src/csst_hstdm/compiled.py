"""`compiled`: numba with a cache on disk, typed for mypy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Compile `function` at its first call; later processes take it from the cache.

    Floating-point semantics stay strict (no ``fastmath``): NaN stays NaN, and division by
    zero gives infinity, as in numpy.
    """
    return cast(F, numba.njit(cache=True, nogil=True, error_model="numpy")(function))
