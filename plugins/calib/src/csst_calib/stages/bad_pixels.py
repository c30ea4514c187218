"""Flags of pixels that are bad in every exposure."""

from __future__ import annotations

import astropy.units as u
import numpy as np
from numpy.typing import NDArray

from csst_calib.agreement import (
    exposure_time_second,
    per_channel,
    require_readout,
    require_shape,
    require_unit,
)
from csst_calib.readout import Readout
from csst_calib.stages.dark import RATE_UNIT
from csst_calib.tiles import row_tiles
from csstcore.api import Image, InPlace, Reference, metric, replace

SAMPLE_STEP = 7
"""Every seventh pixel in both directions gives a detector's median to better than 1e-4."""


def flag_bad_pixels(
    image: InPlace[Image],
    flat: Reference[Image],
    bad_pixels: Reference[Image] | None = None,
    *,
    low: float = 0.5,
    high: float = 1.5,
) -> Image:
    """Flag as ``bad`` the pixels whose response is far from the detector's.

    The documented rule of the survey camera: flat below 0.5 or above 1.5 of its median.
    A mask, where there is one, adds its own ``bad`` pixels: unstable ones and columns.

    Parameters
    ----------
    image
        Image whose flags are changed in place.
    flat
        Flat field.
    bad_pixels
        Mask whose flag ``bad`` is taken over.
    low, high
        Limits in units of the flat's median.

    Raises
    ------
    UnprocessableData
        If the flat or the mask has another shape.
    """
    require_shape(image, flat, "flat")
    if bad_pixels is not None:
        require_shape(image, bad_pixels, "mask of bad pixels")
    median = np.median(flat.data[::SAMPLE_STEP, ::SAMPLE_STEP])
    flags = _flags(image)
    count = 0
    for rows in row_tiles(image.shape[0]):
        good = (flat.data[rows] >= low * median) & (flat.data[rows] <= high * median)
        if bad_pixels is not None and bad_pixels.flags is not None:
            good &= (bad_pixels.flags[rows] & bad_pixels.bit("bad")) == 0
        flags[rows][~good] |= image.bit("bad")
        count += good.size - int(good.sum())
    metric("bad_pixels", count)
    return replace(image, flags=flags)


def flag_hot_pixels(
    image: InPlace[Image], dark: Reference[Image], readout: Reference[Readout]
) -> Image:
    """Flag pixels as ``hot`` or ``warm`` by the dark charge of this exposure.

    The documented rules of the survey camera, with the read noise RN of the channel:
    hot if dark x exposure time >= RN^2, warm if it lies between 0.5 RN^2 and RN^2.

    Parameters
    ----------
    image
        Image whose flags are changed in place; its meta gives exposure time and read noise.
    dark
        Dark rate in electron / s.
    readout
        Geometry of the channels.

    Raises
    ------
    UnprocessableData
        If shape or unit do not fit, or exposure time or read noise are missing.
    """
    require_unit(dark, RATE_UNIT, "dark")
    require_shape(image, dark, "dark")
    require_readout(image, readout)
    seconds = exposure_time_second(image)
    noise = per_channel(image.meta.read_noise, u.electron, readout, "read noise")
    flags = _flags(image)
    for channel, sigma in zip(readout, noise, strict=True):
        limit = np.float32(float(sigma) ** 2 / seconds)
        rate, flag = dark.data[channel.active], flags[channel.active]
        for rows in row_tiles(len(rate)):
            hot = rate[rows] >= limit
            flag[rows][hot] |= image.bit("hot")
            flag[rows][(rate[rows] > limit / 2) & ~hot] |= image.bit("warm")
    image = replace(image, flags=flags)
    metric("hot_pixels", _count(flags, image.bit("hot")))
    metric("warm_pixels", _count(flags, image.bit("warm")))
    return image


def _flags(image: Image) -> NDArray[np.uint16]:
    return np.zeros(image.shape, np.uint16) if image.flags is None else image.flags


def _count(flags: NDArray[np.uint16], bit: np.uint16) -> int:
    return sum(int(np.count_nonzero(flags[rows] & bit)) for rows in row_tiles(len(flags)))
