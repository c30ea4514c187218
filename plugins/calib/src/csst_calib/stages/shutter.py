"""Correction of the shutter's travel."""

from __future__ import annotations

import astropy.units as u
import numpy as np

from csst_calib.agreement import exposure_time_second, require_shape, require_unit
from csst_calib.tiles import row_tiles
from csstcore.api import Image, InPlace, NotApplicable, Reference, UnprocessableData, each


def correct_shutter(image: InPlace[Image], shutter: Reference[Image] | None = None) -> Image:
    """Scale every pixel to the nominal exposure time.

    Parameters
    ----------
    image
        Dark-subtracted image, changed in place; its variance is scaled too.
    shutter
        Exposure-time offset of every pixel in s: true minus nominal exposure time.

    Raises
    ------
    NotApplicable
        If there is no reference.
    UnprocessableData
        If shape or unit do not fit, or an offset makes an exposure time 0 or negative.
    """
    if shutter is None:
        raise NotApplicable("there is no shutter reference")
    require_unit(shutter, u.s, "shutter map")
    require_shape(image, shutter, "shutter map")
    seconds = np.float32(exposure_time_second(image))
    shortest = seconds + float(shutter.data.min())
    if not shortest > 0:
        raise UnprocessableData(
            f"the shutter map makes the shortest exposure {shortest} s; expected more than 0"
        )

    def scale(rows: slice) -> None:
        factor = seconds / (seconds + shutter.data[rows])
        image.data[rows] *= factor
        if image.variance is not None:
            image.variance[rows] *= np.square(factor, out=factor)

    each(scale, row_tiles(image.shape[0]))
    return image
