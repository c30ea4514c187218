"""Square windows that overlap, for work whose result depends on a neighbourhood."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray

Unjudged = Callable[[slice, slice], NDArray[np.bool_]]
"""Says where in a window (rows, columns) pixels must be left out."""

ALIGNMENT_PIXEL = 4
"""Windows begin at multiples of this: the network halves its resolution twice."""


@dataclass(frozen=True, slots=True)
class Window:
    """A part of a frame to be judged, and what must be seen to judge it."""

    rows: slice
    columns: slice
    seen_rows: slice
    seen_columns: slice

    @property
    def inner(self) -> tuple[slice, slice]:
        """Where the judged part lies inside the part that is seen."""
        return (
            slice(self.rows.start - self.seen_rows.start, self.rows.stop - self.seen_rows.start),
            slice(
                self.columns.start - self.seen_columns.start,
                self.columns.stop - self.seen_columns.start,
            ),
        )


Part = tuple[Window, NDArray[np.bool_]]
"""A window and where its judged part is hit."""


def windows(shape: tuple[int, int], size: int, overlap: int) -> Iterator[Window]:
    """Cover a frame with windows of nearly equal size.

    Parameters
    ----------
    shape
        Shape (rows, columns) of the frame.
    size
        Largest side of the judged part in pixels.
    overlap
        How far a window sees beyond its judged part, where the frame does not end before;
        rounded up to a multiple of `ALIGNMENT_PIXEL`.
    """
    overlap = ceil(overlap / ALIGNMENT_PIXEL) * ALIGNMENT_PIXEL
    spans = [_spans(length, size) for length in shape]
    for rows in spans[0]:
        for columns in spans[1]:
            seen = [
                slice(max(0, span.start - overlap), min(length, span.stop + overlap))
                for span, length in zip((rows, columns), shape, strict=True)
            ]
            yield Window(rows, columns, *seen)


def _spans(length: int, size: int) -> list[slice]:
    number = ceil(length / size)
    step = ceil(length / number / ALIGNMENT_PIXEL) * ALIGNMENT_PIXEL
    return [slice(start, min(start + step, length)) for start in range(0, length, step)]
