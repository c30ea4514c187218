"""Flags of saturated pixels and of the charge that bled from them."""

from __future__ import annotations

from typing import Annotated

import astropy.units as u
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from csst_calib.agreement import require_unit
from csst_calib.tiles import row_tiles
from csstcore.api import Image, InPlace, compiled, each, metric, replace


def flag_saturation(
    image: InPlace[Image], *, bleed_fraction: Annotated[float, Field(gt=0, le=1)] = 0.9
) -> Image:
    """Flag as ``saturated`` full pixels and the columns of charge that bled from them.

    Pixels at or above ``meta.saturation`` join those already flagged at the converter's
    limit. From each saturated pixel the flag follows the column, up and down, as long as
    the next pixel holds at least `bleed_fraction` of the one before it; the next pixel
    after that is flagged too, for it is partly filled.

    Parameters
    ----------
    image
        Image in electrons; its flags are changed in place.
    bleed_fraction
        Smallest ratio of a bled pixel to the one before it in its column.

    Raises
    ------
    UnprocessableData
        If the image is not in electrons.
    """
    require_unit(image, u.electron)
    flags = np.zeros(image.shape, np.uint16) if image.flags is None else image.flags
    full = image.meta.saturation
    level = np.inf if full is None else float(np.min(full.to_value(u.electron)))
    bit = image.bit("saturated")

    def find(rows: slice) -> NDArray[np.int64]:
        return _flag_full(image.data[rows], flags[rows], np.float32(level), bit, rows.start)

    # All are found before any is followed, lest the end of one trail starts another.
    places = np.concatenate(each(find, row_tiles(image.shape[0])))
    count = _follow_columns(image.data, flags, places, np.float32(bleed_fraction), bit)
    metric("saturated_pixels", int(count))
    return replace(image, flags=flags)


@compiled
def _flag_full(
    data: NDArray[np.float32],
    flags: NDArray[np.uint16],
    level: np.float32,
    bit: np.uint16,
    first_row: int,
) -> NDArray[np.int64]:
    """Set `bit` of full pixels in place; return row and column of all that have it."""
    found = 0
    for y in range(data.shape[0]):
        for x in range(data.shape[1]):
            if data[y, x] >= level:
                flags[y, x] |= bit
            found += 1 if flags[y, x] & bit else 0
    places = np.empty((found, 2), np.int64)
    found = 0
    for y in range(data.shape[0] if len(places) else 0):
        for x in range(data.shape[1]):
            if flags[y, x] & bit:
                places[found] = (first_row + y, x)
                found += 1
    return places


@compiled
def _follow_columns(
    data: NDArray[np.float32],
    flags: NDArray[np.uint16],
    places: NDArray[np.int64],
    fraction: np.float32,
    bit: np.uint16,
) -> int:
    """Set `bit` in place, from every place up and down; return the number of pixels."""
    rows = data.shape[0]
    count = len(places)
    for seed in range(len(places)):
        x = places[seed, 1]
        for step in (-1, 1):
            y = places[seed, 0]
            bleeding = True
            while bleeding and 0 <= y + step < rows and not flags[y + step, x] & bit:
                bleeding = data[y + step, x] >= fraction * data[y, x]
                y += step
                flags[y, x] |= bit
                count += 1
    return count
