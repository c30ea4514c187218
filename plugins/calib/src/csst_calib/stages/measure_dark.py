"""Dark current of every pixel from frames of one or several exposure times."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import astropy.units as u
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from csst_calib.agreement import (
    exposure_time_second,
    per_channel,
    require_readout,
    require_shape,
    require_unit,
)
from csst_calib.dark_kernel import fit_rates
from csst_calib.readout import Readout
from csst_calib.stages.combine import MASKING_FLAGS
from csst_calib.stages.dark import RATE_UNIT
from csst_calib.tiles import Region, channel_tiles
from csstcore.api import Image, Reference, UnprocessableData, common_meta, metric, note_frames

TILE_BYTES = 64 * 1024**2


def measure_dark(
    images: Sequence[Image],
    bias: Reference[Image],
    readout: Reference[Readout],
    *,
    clip_sigma: Annotated[float, Field(gt=0)] = 5.0,
) -> Annotated[Image, "dark"]:
    """Measure the dark current of every pixel from frames of one or several exposure times.

    Per pixel a line ``d t + c`` is fitted to the charge less the master bias, with weights
    from read noise and the photon noise of d itself, so that a hot pixel gets its own. The
    offset c is 0 within the error of the bias, which takes part as a measurement of it: with
    one exposure time d is the mean charge over t and its variance holds that of the bias;
    with several the slope needs less and less of the bias. Values flagged bad, saturated,
    cosmic_ray or trail do not take part, nor those farther than `clip_sigma` from the line;
    the first line goes through the median rate.

    Memory: 64 MB beside the result; every plane is read once, by tiles of rows.

    Parameters
    ----------
    images
        Overscan-corrected dark frames in electrons; their meta gives exposure time and read
        noise.
    bias
        Master bias in electrons.
    readout
        Geometry of the channels.
    clip_sigma
        Clipping limit in units of a value's own sigma.

    Returns
    -------
    dark
        electron / s, with variance; ``bad`` (rate and variance 0) where no value was left.
        Metrics: ``combined_frames``, ``clipped_fraction`` (of the values that take part),
        ``exposure_times`` (their number).

    Raises
    ------
    UnprocessableData
        If shapes or units do not fit, or exposure time or read noise are missing.
    """
    if not images:
        raise UnprocessableData("there is no dark frame")
    for image in images:
        require_unit(image, u.electron)
        require_readout(image, readout)
    require_unit(bias, u.electron, "bias")
    require_shape(images[0], bias, "bias")
    seconds = np.array([exposure_time_second(image) for image in images])
    noise = np.stack(
        [per_channel(image.meta.read_noise, u.electron, readout, "read noise") for image in images]
    )
    rows, columns = readout.shape
    data, variance = np.empty((rows, columns), np.float32), np.empty((rows, columns), np.float32)
    flags = np.zeros((rows, columns), np.uint16)
    bits = [
        np.uint16(sum(int(image.flag_bits.get(name, 0)) for name in MASKING_FLAGS))
        for image in images
    ]
    usable = used = 0
    height = max(1, TILE_BYTES // (4 * columns * len(images)))
    for channel, region in channel_tiles(readout, height):
        charges = _charges(images, bias, region, bits)
        usable += int(np.count_nonzero(np.isfinite(charges)))
        data[region], variance[region], count = fit_rates(
            charges,
            seconds,
            np.square(noise[:, channel.index].astype(np.float64)),
            _bias_variance(bias, region),
            clip_sigma,
        )
        flags[region][count == 0] |= images[0].bit("bad")
        used += int(count.sum())
    metric("clipped_fraction", 1 - used / max(usable, 1))
    metric("exposure_times", len(np.unique(seconds)))
    note_frames(images)
    return Image(
        data,
        RATE_UNIT,
        variance,
        flags,
        meta=common_meta([image.meta for image in images]),
        flag_bits=images[0].flag_bits,
    )


def _charges(
    images: Sequence[Image],
    bias: Image,
    region: Region,
    bits: Sequence[np.uint16],
) -> NDArray[np.float32]:
    """Return the charge of a region in every frame, infinite where a value takes no part."""
    level = bias.data[region]
    charges = np.empty((len(images), *level.shape), np.float32)
    for charge, image, bit in zip(charges, images, bits, strict=True):
        np.subtract(image.data[region], level, out=charge)
        if image.flags is not None:
            charge[(image.flags[region] & bit) != 0] = np.inf
    return charges


def _bias_variance(bias: Image, region: Region) -> NDArray[np.float32]:
    if bias.variance is None:
        return np.zeros_like(bias.data[region])
    return bias.variance[region]
