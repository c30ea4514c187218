"""Division by the exposure time."""

from __future__ import annotations

import astropy.units as u
import numpy as np

from csst_calib.agreement import exposure_time_second, require_unit
from csstcore.api import Image, InPlace, replace


def to_rate(image: InPlace[Image]) -> Image:
    """Convert an image from electrons to electrons per second.

    Parameters
    ----------
    image
        Image in electrons, changed in place; its variance is scaled too.

    Raises
    ------
    UnprocessableData
        If the image is not in electrons or the exposure time is missing or not positive.
    """
    require_unit(image, u.electron)
    seconds = np.float32(exposure_time_second(image))
    image.data /= seconds
    if image.variance is not None:
        image.variance /= seconds**2
    return replace(image, unit=u.electron / u.s)
