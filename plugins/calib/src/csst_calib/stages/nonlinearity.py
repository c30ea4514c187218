"""Correction of the amplifiers' non-linearity."""

from __future__ import annotations

import astropy.units as u
import numpy as np
from numpy.typing import NDArray

from csst_calib.agreement import require_readout, require_unit
from csst_calib.readout import Readout
from csst_calib.tiles import row_tiles
from csstcore.api import Image, InPlace, NotApplicable, Reference, Table, UnprocessableData


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
    for channel, row in zip(readout, coefficients, strict=True):
        data = image.data[channel.active]
        variance = None if image.variance is None else image.variance[channel.active]
        for rows in row_tiles(len(data)):
            _correct(data[rows], None if variance is None else variance[rows], row)
    return image


def _correct(
    data: NDArray[np.float32],
    variance: NDArray[np.float32] | None,
    coefficients: NDArray[np.float32],
) -> None:
    """Apply one channel's polynomial to a tile in place (Horner's scheme)."""
    factor = np.zeros_like(data)
    derivative = np.zeros_like(data)
    for power in range(len(coefficients), 0, -1):
        factor = factor * data + coefficients[power - 1]
        derivative = derivative * data + np.float32(power + 1) * coefficients[power - 1]
    if variance is not None:
        variance *= (1 + derivative * data) ** 2
    data *= 1 + factor * data
