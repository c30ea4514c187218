"""Conversion from converter units to electrons."""

from __future__ import annotations

import astropy.units as u
import numpy as np

from csst_calib.agreement import per_channel, require_readout, require_unit
from csst_calib.readout import Readout
from csstcore.api import Image, InPlace, Meta, Reference, Table, UnprocessableData, replace

GAIN_UNIT = u.electron / u.adu


def apply_gain(
    image: InPlace[Image], readout: Reference[Readout], gain: Reference[Table] | None = None
) -> Image:
    """Convert an image from adu to electrons with the gain of each channel.

    The header's gain is nominal; a measured `gain` reference, where there is one, replaces
    it and the header's read noise in the image's meta.

    Parameters
    ----------
    image
        Overscan-corrected image in adu, changed in place; variance, if any, is scaled too.
    readout
        Geometry of the channels.
    gain
        One row per channel in the order of the readout, with the columns ``gain``
        (electron / adu) and ``read_noise`` (electron). Default: ``image.meta.gain``.

    Raises
    ------
    UnprocessableData
        If the image is not in adu, or there is no positive gain for every channel.
    """
    require_unit(image, u.adu)
    require_readout(image, readout)
    meta = image.meta if gain is None else _measured(image.meta, gain, readout)
    values = per_channel(meta.gain, GAIN_UNIT, readout, "gain")
    for channel, value in zip(readout, values, strict=True):
        image.data[channel.active] *= value
        if image.variance is not None:
            image.variance[channel.active] *= np.float32(value) ** 2
    return replace(image, unit=u.electron, meta=meta)


def _measured(meta: Meta, gain: Table, readout: Readout) -> Meta:
    if len(gain) != readout.channels:
        raise UnprocessableData(
            f"the gain reference has {len(gain)} rows; expected {readout.channels}, one a channel"
        )
    return replace(
        meta,
        gain=u.Quantity(gain.table["gain"], GAIN_UNIT),
        read_noise=u.Quantity(gain.table["read_noise"], u.electron),
    )
