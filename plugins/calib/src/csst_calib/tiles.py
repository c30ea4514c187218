"""Row tiles, by which stages bound their memory."""

from __future__ import annotations

from collections.abc import Iterator

ROWS = 64
"""Rows of a tile: 2.4 MB of a 9216-column float32 plane, small enough for a CPU cache."""


def row_tiles(rows: int, height: int = ROWS) -> Iterator[slice]:
    """Iterate over consecutive slices of at most `height` rows."""
    return (slice(start, min(start + height, rows)) for start in range(0, rows, height))
