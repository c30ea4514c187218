"""Planes from image units: native-endian, C-contiguous, in the declared type and form."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from csstcore.definitions.fitsfile import Hdu
from csstcore.definitions.hdu_model import Form, HduModel
from csstcore.definitions.pixels import native_pixels, natural_type

PLANE_TYPES: Final[dict[str, str]] = {"flags": "uint16", "variance": "float32", "mask": "bool"}
"""Types that planes have in memory, whatever the file holds."""


class WrongPlane(ValueError):
    """The data of a unit are not what is declared; the message says found and expected."""


def memory_type(unit: Hdu, hdu: HduModel) -> np.dtype[Any]:
    """Return the type the plane has in memory.

    Raises
    ------
    WrongPlane
        If the file's type cannot become the declared one without loss of kind.
    """
    natural = _natural_type(unit)
    fixed = PLANE_TYPES.get(hdu.plane or "")
    if fixed is not None:
        expected, lossless = np.dtype(fixed), (natural.kind in "iu") == (fixed != "float32")
    else:
        expected = np.dtype(hdu.dtype) if hdu.dtype is not None else natural
        lossless = np.can_cast(natural, expected, "same_kind")
    if not lossless:
        raise WrongPlane(f"found {natural.name}, expected {hdu.dtype or expected.name}")
    return expected


def _natural_type(unit: Hdu) -> np.dtype[Any]:
    """Return the type of the values that a unit stands for."""
    zero, scale = unit.values.get("BZERO", 0), unit.values.get("BSCALE", 1)
    for keyword, value in (("BZERO", zero), ("BSCALE", scale)):
        if type(value) not in (int, float) or not np.isfinite(value):
            raise WrongPlane(f"{keyword} is {value!r}, expected a number")
    return natural_type(unit.values)


def read_plane(image: fits.ImageHDU, unit: Hdu, hdu: HduModel) -> NDArray[Any]:
    """Read the array of an image unit.

    Parameters
    ----------
    image
        The unit as astropy opened it.
    unit
        What its header says.
    hdu
        What it is declared to be.

    Returns
    -------
    array
        Shape as stored; inverse variances and standard deviations as variances.

    Raises
    ------
    WrongPlane
        If the type does not fit, or flags do not fit into 16 bits.
    """
    return as_declared(native_pixels(image), hdu, memory_type(unit, hdu))


def read_layers(image: fits.ImageHDU, hdu: HduModel) -> dict[str, NDArray[Any]]:
    """Read the planes that lie along the first axis of an image unit, as `read_plane` does."""
    planes = {}
    for layer, values in zip(hdu.layers, native_pixels(image), strict=True):
        expected = np.dtype(PLANE_TYPES.get(layer.plane or "", layer.dtype or values.dtype))
        if expected.kind in "iub" and values.dtype.kind == "f":
            whole = np.nan_to_num(values, nan=0.5).astype(np.int64)
            if not np.array_equal(whole, values):
                raise WrongPlane(f"{layer.plane} holds values that are not whole numbers")
            values = whole
        planes[str(layer.plane)] = as_declared(values, layer, expected).copy()
    return planes


def as_declared(values: NDArray[Any], hdu: HduModel, expected: np.dtype[Any]) -> NDArray[Any]:
    """Return values of a file as the plane they are in memory; see `read_plane`."""
    if expected == np.uint16 and values.dtype == np.int16:
        values = values.view(np.uint16)
    elif expected == np.uint16 and values.size and (values.min() < 0 or values.max() > 0xFFFF):
        raise WrongPlane("flags do not fit into 16 bits")
    values = values.astype(expected, copy=False)
    if hdu.plane == "variance" and hdu.form != "variance":
        for row in np.atleast_2d(values):  # without memory for another plane
            _to_variance(row, hdu.form)
    return values


def _to_variance(values: NDArray[np.float32], form: Form) -> None:
    """Make variances of standard deviations or weights; no weight is infinite variance."""
    if form == "standard_deviation":
        np.multiply(values, values, out=values)
        return
    weighted = values > 0
    np.divide(np.float32(1), values, out=values, where=weighted)
    values[~weighted] = np.inf
