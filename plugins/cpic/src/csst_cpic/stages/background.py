"""Subtraction of the background reference."""

from __future__ import annotations

import astropy.units as u
import numpy as np

from csst_cpic.camera.agreement import exposure_time_second, require_shape, require_unit
from csst_cpic.stages.dark import RATE_UNIT
from csstcore.api import (
    Image,
    InPlace,
    NotApplicable,
    Reference,
    caveat,
    each,
    metric,
    pieces,
    replace,
)


def subtract_background(image: InPlace[Image], background: Reference[Image] | None = None) -> Image:
    """Subtract the background of the sky and of scattered light.

    Parameters
    ----------
    image
        Electrons per frame before multiplication, changed in place; its variance gets that of
        the reference.
    background
        Rate in electron / s.

    Returns
    -------
    image
        Metric: ``background``, the mean subtracted in electron.

    Raises
    ------
    NotApplicable
        If there is no reference, with a caveat.
    UnprocessableData
        If shape or units do not fit, or there is no exposure time.
    """
    if background is None:
        caveat("the background is not subtracted: there is no reference")
        raise NotApplicable("there is no background reference")
    require_unit(image, u.electron)
    require_unit(background, RATE_UNIT, "background")
    require_shape(image, background.shape, "the background")
    seconds = np.float32(exposure_time_second(image))
    variance = image.variance
    if variance is None and background.variance is not None:
        variance = np.zeros(image.shape, np.float32)

    def subtract(rows: slice) -> None:
        image.data[rows] -= background.data[rows] * seconds
        if variance is not None and background.variance is not None:
            variance[rows] += background.variance[rows] * seconds**2

    each(subtract, pieces(image.shape[0]))
    metric("background", float(np.nanmean(background.data)) * float(seconds))
    return replace(image, variance=variance)
