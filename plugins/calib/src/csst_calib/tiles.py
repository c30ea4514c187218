"""Row tiles, by which stages bound their memory, and evenly spread rows as a sample."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from numpy.typing import NDArray

ROWS = 64
"""Rows of a tile: 2.4 MB of a 9216-column float32 plane, small enough for a CPU cache."""


def row_tiles(rows: int, height: int = ROWS) -> Iterator[slice]:
    """Iterate over consecutive slices of at most `height` rows."""
    return (slice(start, min(start + height, rows)) for start in range(0, rows, height))


SAMPLE_PIXELS = 1_000_000
"""Pixels that give a variance to 0.14 % (sqrt(2 / n))."""


def spread_rows(plane: NDArray[Any]) -> NDArray[Any]:
    """Return evenly spread rows of `plane`, a view of about `SAMPLE_PIXELS` pixels or all."""
    return plane[:: max(1, plane.size // SAMPLE_PIXELS)]
