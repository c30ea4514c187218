"""Row tiles, by which stages bound their memory, and evenly spread rows as a sample."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from numpy.typing import NDArray

from csst_calib.readout import Channel, Readout

Region = tuple[slice, slice]

ROWS = 64
"""Rows of a tile: 2.4 MB of a 9216-column float32 plane, small enough for a CPU cache."""


def row_tiles(rows: int, height: int = ROWS) -> Iterator[slice]:
    """Iterate over consecutive slices of at most `height` rows."""
    return (slice(start, min(start + height, rows)) for start in range(0, rows, height))


def channel_tiles(readout: Readout, height: int) -> Iterator[tuple[Channel, Region]]:
    """Iterate over the parts of channels, `height` rows at a time, from the first row on.

    In this order a frame in a memory map is read from disk once.
    """
    channels = list(readout)
    for rows in row_tiles(readout.shape[0], height):
        for channel in channels:
            own, columns = channel.active
            part = slice(max(rows.start, own.start), min(rows.stop, own.stop))
            if part.start < part.stop:
                yield channel, (part, columns)


SAMPLE_PIXELS = 1_000_000
"""Pixels that give a variance to 0.14 % (sqrt(2 / n))."""


def spread_rows(plane: NDArray[Any]) -> NDArray[Any]:
    """Return evenly spread rows of `plane`, a view of about `SAMPLE_PIXELS` pixels or all."""
    return plane[:: max(1, plane.size // SAMPLE_PIXELS)]
