"""Checks that an image and its references belong together, made before anything changes."""

from __future__ import annotations

import astropy.units as u
import numpy as np
from numpy.typing import NDArray

from csst_calib.readout import Readout
from csstcore.api import Image, UnprocessableData


def require_shape(image: Image, reference: Image, name: str) -> None:
    """Raise `UnprocessableData` unless the reference called `name` has the image's shape."""
    if reference.shape != image.shape:
        raise UnprocessableData(
            f"the {name} has shape {reference.shape}; expected {image.shape} as the image"
        )


def require_unit(image: Image, unit: u.UnitBase, name: str = "image") -> None:
    """Raise `UnprocessableData` unless the image is in `unit`."""
    if image.unit != unit:
        raise UnprocessableData(f"the {name} is in {image.unit or 'no unit'}; expected {unit}")


def require_readout(image: Image, readout: Readout) -> None:
    """Raise `UnprocessableData` unless the image has the active shape of the readout."""
    if image.shape != readout.shape:
        raise UnprocessableData(
            f"the image has shape {image.shape}; expected {readout.shape}, the active area of "
            "the readout geometry"
        )


def exposure_time_second(image: Image) -> float:
    """Return the exposure time in seconds; `UnprocessableData` unless it is positive."""
    if image.meta.exposure_time is None:
        raise UnprocessableData("the image has no exposure time")
    seconds = float(image.meta.exposure_time.to_value(u.s))
    if not (np.isfinite(seconds) and seconds > 0):
        raise UnprocessableData(f"the exposure time is {seconds} s; expected a positive number")
    return seconds


def per_channel(
    quantity: u.Quantity | None, unit: u.UnitBase, readout: Readout, name: str
) -> NDArray[np.float32]:
    """Return one positive float32 value per channel from a scalar or per-channel quantity.

    Raises
    ------
    UnprocessableData
        If the quantity is missing, has another length, or is not positive and finite.
    """
    if quantity is None:
        raise UnprocessableData(f"the image has no {name}")
    values = np.atleast_1d(np.asarray(quantity.to_value(unit), np.float32))
    if values.shape not in ((1,), (readout.channels,)):
        raise UnprocessableData(
            f"the {name} has {values.size} values; expected 1 or {readout.channels}, one a channel"
        )
    if not np.all(np.isfinite(values) & (values > 0)):
        raise UnprocessableData(f"the {name} is {values.tolist()} {unit}; expected positive values")
    return np.ascontiguousarray(np.broadcast_to(values, (readout.channels,)))
