"""The gain of every pixel as an image."""

from __future__ import annotations

from typing import Annotated

import numpy as np

from csst_calib.agreement import per_channel
from csst_calib.readout import Readout
from csst_calib.stages.gain import GAIN_UNIT
from csstcore.api import Image, Reference, Table, UnprocessableData


def draw_gain_image(gain: Table, readout: Reference[Readout]) -> Annotated[Image, "gain_image"]:
    """Spread the gains of the channels over the pixels of an image.

    Parameters
    ----------
    gain
        One row per channel in the order of the readout, with the columns ``gain`` and
        ``gain_error`` (electron / adu).
    readout
        Geometry of the channels.

    Returns
    -------
    gain_image
        Shape ``readout.shape``, electron / adu, with the variance of the gain.

    Raises
    ------
    UnprocessableData
        If there is not one positive gain per channel.
    """
    if len(gain) != readout.channels:
        raise UnprocessableData(
            f"the gain table has {len(gain)} rows; expected {readout.channels}, one a channel"
        )
    values = per_channel(gain.table["gain"], GAIN_UNIT, readout, "gain")
    errors = np.asarray(gain.table["gain_error"].to_value(GAIN_UNIT), np.float32)
    data, variance = (np.empty(readout.shape, np.float32) for _ in range(2))
    for channel, value, error in zip(readout, values, errors, strict=True):
        data[channel.active] = value
        variance[channel.active] = error**2
    return Image(data, GAIN_UNIT, variance, meta=gain.meta)
