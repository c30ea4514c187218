"""Flat-field division."""

from __future__ import annotations

import numpy as np

from csst_calib.agreement import require_shape
from csst_calib.tiles import row_tiles
from csstcore.api import Image, InPlace, Reference, each, replace


def divide_flat(image: InPlace[Image], flat: Reference[Image]) -> Image:
    """Divide by the flat field.

    The variance becomes ``(variance + image^2 variance_flat) / flat^2`` with the divided
    image: the last term matters for bright pixels only, whose own noise is relatively
    small. Pixels with a flat of 0 or less are left as they are and flagged ``bad``.

    Parameters
    ----------
    image
        Dark-subtracted image, changed in place.
    flat
        Flat field with unit mean.

    Raises
    ------
    UnprocessableData
        If the flat has another shape.
    """
    require_shape(image, flat, "flat")
    flags = np.zeros(image.shape, np.uint16) if image.flags is None else image.flags
    bad = image.bit("bad")

    def divide(rows: slice) -> None:
        usable = flat.data[rows] > 0
        flags[rows][~usable] |= bad
        divisor = np.where(usable, flat.data[rows], np.float32(1))
        image.data[rows] /= divisor
        if image.variance is not None:
            if flat.variance is not None:
                image.variance[rows] += image.data[rows] ** 2 * flat.variance[rows]
            image.variance[rows] /= np.square(divisor, out=divisor)

    each(divide, row_tiles(image.shape[0]))
    return replace(image, flags=flags)
