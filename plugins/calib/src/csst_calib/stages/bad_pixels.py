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
from csst_calib.readout import Channel, Readout
from csst_calib.stages.dark import RATE_UNIT
from csst_calib.tiles import row_tiles
from csstcore.api import Image, InPlace, Reference, each, metric, replace

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

    def flag(rows: slice) -> int:
        good = (flat.data[rows] >= low * median) & (flat.data[rows] <= high * median)
        if bad_pixels is not None and bad_pixels.flags is not None:
            good &= (bad_pixels.flags[rows] & bad_pixels.bit("bad")) == 0
        flags[rows][~good] |= image.bit("bad")
        return int(good.size - good.sum())

    metric("bad_pixels", sum(each(flag, row_tiles(image.shape[0]))))
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

    def flag(part: tuple[Channel, np.float32]) -> tuple[int, int]:
        channel, sigma = part
        limit = np.float32(float(sigma) ** 2 / seconds)
        rate, own = dark.data[channel.active], flags[channel.active]
        counts = [
            _flag_rate(rate[rows], limit, own[rows], image.bit("hot"), image.bit("warm"))
            for rows in row_tiles(len(rate))
        ]
        return sum(hot for hot, _ in counts), sum(warm for _, warm in counts)

    counts = each(flag, zip(readout, noise, strict=True))
    metric("hot_pixels", sum(hot for hot, _ in counts))
    metric("warm_pixels", sum(warm for _, warm in counts))
    return replace(image, flags=flags)


def _flag_rate(
    rate: NDArray[np.float32],
    limit: np.float32,
    flags: NDArray[np.uint16],
    hot_bit: np.uint16,
    warm_bit: np.uint16,
) -> tuple[int, int]:
    """Flag a tile in place; return how many of its pixels have either flag then."""
    hot = rate >= limit
    flags[hot] |= hot_bit
    flags[(rate > limit / 2) & ~hot] |= warm_bit
    return int(np.count_nonzero(flags & hot_bit)), int(np.count_nonzero(flags & warm_bit))


def _flags(image: Image) -> NDArray[np.uint16]:
    return np.zeros(image.shape, np.uint16) if image.flags is None else image.flags
