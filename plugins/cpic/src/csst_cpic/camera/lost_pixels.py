"""Pixels of a raw frame that were lost on the way: what noise cannot give."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from csstcore.api import compiled

EQUAL = 16
"""Neighbours in a row with one value: noise of 2 adu gives that once in 10^13 pixels."""


def lost_pixels(data: NDArray[Any], converter_limit_adu: int) -> NDArray[np.bool_] | None:
    """Return which pixels of a raw frame hold no measurement, or None if all do.

    The recorder and the archive fill what did not arrive with one value: runs of `EQUAL` or more
    equal pixels in a row are no noise. Below the range of the converter it gives 0. Runs at the
    converter's limit are of bright light, unless the row, prescan and all, holds nothing else.

    Parameters
    ----------
    data
        Raw frame in adu, shape (rows, columns).
    converter_limit_adu
        Value from which pixels are saturated.
    """
    lost = np.zeros(data.shape, np.bool_)
    return lost if _mark(data, converter_limit_adu, EQUAL, lost) else None


@compiled
def _mark(data: NDArray[Any], limit: int, least: int, lost: NDArray[np.bool_]) -> int:
    """Mark lost pixels and return their number."""
    height, width = data.shape
    number = 0
    for y in range(height):
        start = 0
        for x in range(1, width + 1):
            if x < width and data[y, x] == data[y, start]:
                continue
            value, length = data[y, start], x - start
            filled = length >= least and (value < limit or length == width)
            if value == 0 or filled:
                lost[y, start:x] = True
                number += length
            start = x
    return number
