"""Checks that frames and their references belong together, made before anything changes."""

from __future__ import annotations

import astropy.units as u
import numpy as np

from csst_cpic.detector import Detector
from csstcore.api import Image, UnprocessableData


def require_shape(image: Image, shape: tuple[int, int], of: str) -> None:
    """Raise `UnprocessableData` unless the image has a shape, that of what `of` names."""
    if image.shape != shape:
        raise UnprocessableData(f"the frame has shape {image.shape}; expected {shape} as {of}")


def require_unit(image: Image, unit: u.UnitBase, name: str = "frame") -> None:
    """Raise `UnprocessableData` unless the image is in `unit`."""
    if image.unit != unit:
        raise UnprocessableData(f"the {name} is in {image.unit or 'no unit'}; expected {unit}")


def em_gain_of(image: Image) -> float:
    """Return the EM gain of a frame.

    Raises
    ------
    UnprocessableData
        If there is none, or it is not a number of at least 1.
    """
    return _number(image.meta.em_gain, u.dimensionless_unscaled, "EM gain", 1.0)


def exposure_time_second(image: Image) -> float:
    """Return the exposure time in seconds, 0 or more; `UnprocessableData` without one."""
    return _number(image.meta.exposure_time, u.s, "exposure time", 0.0)


def gain_electron_per_adu(image: Image, detector: Detector) -> float:
    """Return the output electrons of one adu, by the frame or else by the detector."""
    if image.meta.gain is None:
        return detector.gain_electron_per_adu
    return _number(image.meta.gain, u.electron / u.adu, "gain", np.nextafter(0.0, 1.0))


def read_noise_electron(image: Image, detector: Detector) -> float:
    """Return the read noise at the output, by the frame or else by the detector."""
    if image.meta.read_noise is None:
        return detector.read_noise_electron
    return _number(image.meta.read_noise, u.electron, "read noise", np.nextafter(0.0, 1.0))


def _number(quantity: u.Quantity | None, unit: u.UnitBase, name: str, least: float) -> float:
    if quantity is None:
        raise UnprocessableData(f"the frame has no {name}")
    values = np.ravel(quantity.to_value(unit))
    if values.size != 1 or not np.isfinite(values[0]) or values[0] < least:
        wanted = "a positive number" if 0 < least < 1 else f"one number of at least {least:g}"
        raise UnprocessableData(f"the {name} is {values.tolist()} {unit}; expected {wanted}")
    return float(values[0])
