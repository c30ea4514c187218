"""Dark subtraction and the rate that it needs."""

from __future__ import annotations

import astropy.units as u
import numpy as np

from csst_calib.agreement import exposure_time_second, require_shape, require_unit
from csst_calib.tiles import row_tiles
from csstcore.api import Image, InPlace, Reference, replace

RATE_UNIT = u.electron / u.s


def subtract_dark(image: InPlace[Image], dark: Reference[Image]) -> Image:
    """Subtract the dark current accumulated during the exposure.

    To the variance are added the photon noise of the dark current, pixel by pixel from the
    reference (so that warm pixels get their own), and the reference's variance. Run
    `estimate_variance` after this stage: its smooth model holds light only.

    Parameters
    ----------
    image
        Bias-subtracted image in electrons, changed in place.
    dark
        Dark rate in electron / s.

    Raises
    ------
    UnprocessableData
        If shape or units do not fit, or the exposure time is missing or not positive.
    """
    require_unit(image, u.electron)
    require_unit(dark, RATE_UNIT, "dark")
    require_shape(image, dark, "dark")
    seconds = np.float32(exposure_time_second(image))
    variance = np.zeros(image.shape, np.float32) if image.variance is None else image.variance
    for rows in row_tiles(image.shape[0]):
        charge = dark.data[rows] * seconds
        image.data[rows] -= charge
        variance[rows] += np.maximum(charge, 0, out=charge)
        if dark.variance is not None:
            variance[rows] += dark.variance[rows] * seconds**2
    return replace(image, variance=variance)
