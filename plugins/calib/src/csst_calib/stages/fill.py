"""Interpolation over flagged pixels."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from csst_calib.compiled import compiled
from csstcore.api import Image, metric, replace

LARGEST_RADIUS = 64
"""No gap that can be bridged sensibly is wider than this."""


def fill_flagged(
    image: Image,
    *,
    radius_pixel: Annotated[int, Field(ge=1, le=16)] = 2,
    flags: tuple[str, ...] = ("bad", "hot", "cosmic_ray"),
) -> Annotated[Image, "filled"]:
    """Replace flagged pixels by a smooth local interpolation, for detection and display.

    A flagged pixel gets the Gaussian-weighted mean (sigma half the radius) of the pixels
    without these flags in a square of `radius_pixel`; the square doubles until it holds at
    least three of them. No noise is added. Saturated pixels are kept by default: detection
    must see bright stars.

    Parameters
    ----------
    image
        Calibrated image; unchanged.
    radius_pixel
        Half width of the first square.
    flags
        Names of the flags to fill.

    Returns
    -------
    filled
        New data plane; variance, flags and wcs are shared with `image`. Pixels farther
        than 64 pixels from any usable one become 0.
    """
    data = image.data.copy()
    if image.flags is not None:
        bits = np.uint16(sum(int(image.bit(name)) for name in set(flags)))
        count = _fill(image.data, image.flags, bits, radius_pixel, data)
        metric("filled_pixels", int(count))
    return replace(image, data=data)


@compiled
def _fill(
    data: NDArray[np.float32],
    flags: NDArray[np.uint16],
    bits: np.uint16,
    first_radius: int,
    filled: NDArray[np.float32],
) -> int:
    rows, columns = data.shape
    count = 0
    for y in range(rows):
        for x in range(columns):
            if not (flags[y, x] & bits):
                continue
            count += 1
            filled[y, x] = 0
            radius = first_radius
            while radius <= LARGEST_RADIUS:
                total = 0.0
                weights = 0.0
                used = 0
                for j in range(max(0, y - radius), min(rows, y + radius + 1)):
                    for i in range(max(0, x - radius), min(columns, x + radius + 1)):
                        if flags[j, i] & bits or not np.isfinite(data[j, i]):
                            continue
                        square = (j - y) * (j - y) + (i - x) * (i - x)
                        weight = np.exp(-2.0 * square / (radius * radius))
                        total += weight * data[j, i]
                        weights += weight
                        used += 1
                if used >= 3:
                    filled[y, x] = total / weights
                    break
                radius *= 2
    return count
