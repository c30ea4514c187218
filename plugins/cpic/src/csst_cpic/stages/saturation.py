"""Flags of saturated pixels."""

from __future__ import annotations

from typing import Annotated

import astropy.units as u
import numpy as np
from pydantic import Field

from csst_cpic.camera.agreement import (
    em_gain_of,
    gain_electron_per_adu,
    require_shape,
    require_unit,
)
from csst_cpic.detector import Detector
from csstcore.api import Image, InPlace, Reference, caveat, metric, replace

MOST_SATURATED = 0.5
"""Fraction of the data section from which a frame has a caveat."""


def flag_saturation(
    image: Image,
    detector: Reference[Detector],
    *,
    full_fraction: Annotated[float, Field(gt=0, le=1)] = 0.9,
) -> Annotated[Image, "image"]:
    """Flag as ``saturated`` the raw pixels at the limit of pixel, register or converter.

    Which limit is met first depends on the EM gain: a pixel of the active area holds less than
    the register at low gain; at high gain the register is full first.

    Parameters
    ----------
    image
        Raw frame in adu, shape ``detector.raw_shape``.
    detector
        Full wells and limit of the converter.
    full_fraction
        Fraction of a full well from which a pixel is saturated: full wells differ from detector
        to detector, and close to them the amplifier is not linear.

    Returns
    -------
    image
        The frame with flags. Metric: ``saturated_pixels``, in the data section.

    Raises
    ------
    UnprocessableData
        If the frame has another shape or unit, or no EM gain.
    """
    require_unit(image, u.adu)
    require_shape(image, detector.raw_shape, "the raw frame of the detector")
    full_electron = min(
        detector.pixel_full_well_electron * em_gain_of(image), detector.register_full_well_electron
    )
    full_adu = detector.bias_adu + (
        full_fraction * full_electron / gain_electron_per_adu(image, detector)
    )
    saturated = image.data >= min(full_adu, float(detector.converter_limit_adu))
    flags = np.where(saturated, image.bit("saturated"), np.uint16(0))
    if image.flags is not None:
        flags |= image.flags
    number = int(np.count_nonzero(saturated[detector.active]))
    if number > MOST_SATURATED * detector.active_rows * detector.active_columns:
        caveat(f"{number} pixels are saturated, more than half of the frame")
    metric("saturated_pixels", number)
    return replace(image, flags=flags)


def flag_blooming(image: InPlace[Image]) -> Image:
    """Flag as ``saturated`` the pixels that took the rest of what saturated ones spilled.

    A full pixel spills up and down its column; all that get full from it are saturated
    themselves, and the first that does not is flagged here. So is the pixel read after one
    that filled the register.

    Parameters
    ----------
    image
        Image of the data section whose flags are changed in place.

    Returns
    -------
    image
        Metric: ``bloomed_pixels``, those flagged here.
    """
    saturated = image.flagged("saturated")
    bloomed = saturated.copy()
    bloomed[1:] |= saturated[:-1]
    bloomed[:-1] |= saturated[1:]
    bloomed[:, 1:] |= saturated[:, :-1]
    result = replace(
        image, flags=np.zeros(image.shape, np.uint16) if image.flags is None else image.flags
    )
    result.set_flag("saturated", bloomed)
    metric("bloomed_pixels", int(np.count_nonzero(bloomed)) - int(np.count_nonzero(saturated)))
    return result
