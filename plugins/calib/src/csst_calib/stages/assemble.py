"""Conversion between the raw frame of 16 channels and its active area."""

from __future__ import annotations

from typing import Annotated

import astropy.units as u
import numpy as np
from pydantic import Field

from csst_calib.agreement import require_readout, require_unit
from csst_calib.readout import Readout
from csst_calib.stages.overscan import subtract_overscan
from csstcore.api import Image, Reference, UnprocessableData, caveat, metric, replace

LARGEST_ADU = 65535


def assemble(
    image: Image, readout: Reference[Readout], *, subtract_level: bool = False
) -> Annotated[Image, "assembled"]:
    """Assemble the active pixels of all channels of a raw frame.

    Parameters
    ----------
    image
        Raw frame in adu, shape ``readout.raw_shape``.
    readout
        Geometry of the raw frame.
    subtract_level
        Subtract the overscan level as `subtract_overscan` does; otherwise values stay as
        they are, and `disassemble` gives them back exactly.

    Returns
    -------
    assembled
        Active area in adu, float32 (which holds every 16-bit value exactly), shape
        ``readout.shape``.

    Raises
    ------
    UnprocessableData
        If the frame has another shape than the geometry says.
    """
    if subtract_level:
        return replace(subtract_overscan(image, readout), flags=None)
    if image.shape != readout.raw_shape:
        raise UnprocessableData(
            f"the raw frame has shape {image.shape}; expected {readout.raw_shape} by the "
            "readout geometry"
        )
    data = np.empty(readout.shape, np.float32)
    for channel in readout:
        data[channel.active] = image.data[channel.raw]
    return replace(image, data=data, unit=u.adu, variance=None, flags=None)


def disassemble(
    image: Image,
    readout: Reference[Readout],
    *,
    overscan_level_adu: Annotated[int, Field(ge=0, le=LARGEST_ADU)] = 1000,
    added_level_adu: Annotated[float, Field(ge=0, le=LARGEST_ADU)] = 0.0,
) -> Annotated[Image, "raw"]:
    """Lay an assembled image out as a raw frame of 16 channels.

    Parameters
    ----------
    image
        Active area in adu, shape ``readout.shape``.
    readout
        Geometry of the raw frame.
    overscan_level_adu
        Value of all prescan and overscan pixels.
    added_level_adu
        Added to the active pixels: the level that was subtracted from them, if it was.

    Returns
    -------
    raw
        Raw frame, uint16 in adu, shape ``readout.raw_shape``; values are rounded, and cut at
        0 and 65535 with a caveat. Metric ``cut_pixels``: how many were cut.

    Raises
    ------
    UnprocessableData
        If the image is not in adu, does not fit the geometry, or has values that are not
        finite.
    """
    require_unit(image, u.adu)
    require_readout(image, readout)
    missing = image.data.size - int(np.count_nonzero(np.isfinite(image.data)))
    if missing:
        raise UnprocessableData(
            f"{missing} pixels are not finite; a raw frame has a number in every pixel"
        )
    data = np.full(readout.raw_shape, overscan_level_adu, np.uint16)
    cut = 0
    for channel in readout:
        values = np.rint(image.data[channel.active] + np.float32(added_level_adu))
        cut += int(np.count_nonzero((values < 0) | (values > LARGEST_ADU)))
        data[channel.raw] = np.clip(values, 0, LARGEST_ADU)
    metric("cut_pixels", cut)
    if cut:
        caveat(f"{cut} pixels were outside 0 to {LARGEST_ADU} adu and have been cut")
    return replace(image, data=data, variance=None, flags=None)
