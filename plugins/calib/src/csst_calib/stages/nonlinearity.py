"""Correction of the amplifiers' non-linearity."""

from __future__ import annotations

import astropy.units as u
import numpy as np
from numpy.typing import NDArray

from csst_calib.agreement import require_readout, require_unit
from csst_calib.readout import Channel, Readout
from csstcore.api import (
    Image,
    InPlace,
    NotApplicable,
    Reference,
    Table,
    UnprocessableData,
    compiled,
    each,
)


def correct_nonlinearity(
    image: InPlace[Image],
    readout: Reference[Readout],
    nonlinearity: Reference[Table] | None = None,
) -> Image:
    """Correct the non-linear response of every channel.

    The true signal is ``m (1 + c1 m + c2 m^2 + ...)`` of the measured signal ``m``; the
    variance is scaled by the squared derivative.

    Parameters
    ----------
    image
        Bias-subtracted image in electrons, changed in place.
    readout
        Geometry of the channels.
    nonlinearity
        One row per channel in the order of the readout; column ``coefficient`` of shape
        (channels, order), c1, c2, ... in electron^-1, electron^-2, ...

    Raises
    ------
    NotApplicable
        If there is no reference.
    UnprocessableData
        If the image is not in electrons or the table has another number of channels.
    """
    if nonlinearity is None:
        raise NotApplicable("there is no non-linearity reference")
    require_unit(image, u.electron)
    require_readout(image, readout)
    coefficients = np.asarray(nonlinearity.table["coefficient"], np.float32)
    if coefficients.ndim == 1:
        coefficients = coefficients[:, None]
    if len(coefficients) != readout.channels:
        raise UnprocessableData(
            f"the non-linearity reference has {len(coefficients)} rows; expected "
            f"{readout.channels}, one a channel"
        )
    variance = np.empty((0, 0), np.float32) if image.variance is None else image.variance

    def correct(part: tuple[Channel, NDArray[np.float32]]) -> None:
        channel, row = part
        _correct(image.data[channel.active], variance[channel.active], row)

    each(correct, zip(readout, coefficients, strict=True))
    return image


@compiled
def _correct(
    data: NDArray[np.float32],
    variance: NDArray[np.float32],
    coefficients: NDArray[np.float32],
) -> None:
    """Apply one channel's polynomial in place (Horner's scheme); the variance may be empty."""
    slopes = coefficients * np.arange(2, len(coefficients) + 2).astype(np.float32)
    one = np.float32(1)
    for y in range(data.shape[0]):
        for x in range(data.shape[1]):
            value = data[y, x]
            factor = np.float32(0)
            derivative = np.float32(0)
            for power in range(len(coefficients) - 1, -1, -1):
                factor = factor * value + coefficients[power]
                derivative = derivative * value + slopes[power]
            if variance.size:
                scale = one + derivative * value
                variance[y, x] *= scale * scale
            data[y, x] = value * (one + factor * value)
