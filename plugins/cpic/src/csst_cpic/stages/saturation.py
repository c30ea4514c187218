"""Flags of saturated pixels."""

from __future__ import annotations

from typing import Annotated

import astropy.units as u
import numpy as np
from pydantic import Field

from csst_cpic.agreement import em_gain_of, gain_electron_per_adu, require_shape, require_unit
from csst_cpic.detector import Detector
from csstcore.api import Image, Reference, metric, replace


def flag_saturation(
    image: Image,
    detector: Reference[Detector],
    *,
    full_fraction: Annotated[float, Field(gt=0, le=1)] = 0.95,
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
        Fraction of a full well from which a pixel is saturated: full wells differ from pixel to
        pixel, and what is full still has noise.

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
    metric("saturated_pixels", int(np.count_nonzero(saturated[detector.active])))
    return replace(image, flags=flags)
