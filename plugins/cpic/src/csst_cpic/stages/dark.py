"""Subtraction of dark current and clock-induced charge."""

from __future__ import annotations

import astropy.units as u
import numpy as np

from csst_cpic.camera.agreement import (
    em_gain_of,
    exposure_time_second,
    require_shape,
    require_unit,
)
from csstcore.api import Image, InPlace, Reference, caveat, each, pieces, replace

RATE_UNIT = u.electron / u.s

SAME_GAIN = 0.1
"""Logarithm of a ratio of EM gains: between a measured and a commanded one."""


def subtract_dark_and_cic(
    image: InPlace[Image], dark: Reference[Image], cic: Reference[Image]
) -> Image:
    """Subtract the dark current of the exposure and the clock-induced charge of a frame.

    The variances of both references are added, the dark's times the exposure time squared.
    The noise of the charge itself is in the variance already (`estimate_variance`). The part of
    clock-induced charge that arises in the register changes with the EM gain: where that of the
    reference is another one, it is subtracted all the same, with a caveat.

    Parameters
    ----------
    image
        Electrons per frame before multiplication, changed in place.
    dark
        Dark rate in electron / s.
    cic
        Clock-induced charge in electron per frame.

    Raises
    ------
    UnprocessableData
        If shape or units do not fit, or there is no exposure time.
    """
    require_unit(image, u.electron)
    require_unit(dark, RATE_UNIT, "dark")
    require_unit(cic, u.electron, "clock-induced charge")
    require_shape(image, dark.shape, "the dark")
    require_shape(image, cic.shape, "the clock-induced charge")
    _compare_gains(image, cic)
    seconds = np.float32(exposure_time_second(image))
    known = dark.variance is not None or cic.variance is not None
    variance = np.zeros(image.shape, np.float32) if known else None
    if image.variance is not None:
        variance = image.variance

    def subtract(rows: slice) -> None:
        image.data[rows] -= dark.data[rows] * seconds
        image.data[rows] -= cic.data[rows]
        if variance is None:
            return
        if dark.variance is not None:
            variance[rows] += dark.variance[rows] * seconds**2
        if cic.variance is not None:
            variance[rows] += cic.variance[rows]

    each(subtract, pieces(image.shape[0]))
    return replace(image, variance=variance)


def _compare_gains(image: Image, cic: Image) -> None:
    if image.meta.em_gain is None or cic.meta.em_gain is None:
        return
    own, other = em_gain_of(image), em_gain_of(cic)
    if abs(np.log(own / other)) > SAME_GAIN:
        caveat(f"the clock-induced charge of EM gain {other:g} is subtracted at {own:g}")
