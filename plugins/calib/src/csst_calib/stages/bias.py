"""Bias subtraction."""

from __future__ import annotations

import numpy as np

from csst_calib.agreement import require_shape, require_unit
from csst_calib.tiles import row_tiles
from csstcore.api import Image, InPlace, Reference, each, replace


def subtract_bias(image: InPlace[Image], bias: Reference[Image], *, scale: float = 1.0) -> Image:
    """Subtract the master bias from an overscan-corrected image.

    The bias's variance starts the image's variance (or is added to it); every later stage
    adds its own part.

    Parameters
    ----------
    image
        Overscan-corrected image, changed in place.
    bias
        Master bias in the unit of the image (adu before `apply_gain`, electrons after it).
    scale
        Factor on the bias.

    Raises
    ------
    UnprocessableData
        If shape or unit of the bias differ from the image's.
    """
    require_shape(image, bias, "bias")
    require_unit(bias, image.unit, "bias")
    variance = image.variance
    if variance is None and bias.variance is not None:
        variance = np.zeros(image.shape, np.float32)
    factor = np.float32(scale)

    def subtract(rows: slice) -> None:
        image.data[rows] -= bias.data[rows] * factor
        if variance is not None and bias.variance is not None:
            variance[rows] += bias.variance[rows] * factor**2

    each(subtract, row_tiles(image.shape[0]))
    return replace(image, variance=variance)
