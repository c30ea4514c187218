"""Planes as a file holds them: declared type, unit, form and flag values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import repeat
from typing import Any

import astropy.units as u
import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from csstcore.definitions.hdu_model import HduModel
from csstcore.definitions.units import parse_unit

Plane = NDArray[Any]


def stored_plane(
    hdu: HduModel,
    plane: Plane,
    flags: NDArray[np.uint16] | None,
    factor: float,
    bits: NDArray[np.uint16] | None,
) -> Plane:
    """Return what the file holds of a plane; the plane itself where that is the same.

    Parameters
    ----------
    hdu
        The unit.
    plane
        The plane, which is not changed.
    flags
        Flags of the product, for ``zero_where_flagged``.
    factor
        Multiplies the values to get the declared unit.
    bits
        Flag values of the file by those of the product, shape (65536,); None if equal.

    Raises
    ------
    ValueError
        If the type or shape is not the declared one.
    """
    dtype = np.dtype(hdu.dtype) if hdu.dtype is not None else plane.dtype
    whole = hdu.plane == "flags" and dtype.kind in "iu" and plane.dtype.kind in "iu"
    if not whole and not np.can_cast(plane.dtype, dtype, "same_kind"):
        raise ValueError(f"found {plane.dtype.name}, expected {dtype.name}")
    if plane.shape != (hdu.shape or plane.shape):
        raise ValueError(f"found shape {plane.shape}, expected {hdu.shape}")
    if dtype.kind == "b":
        dtype = np.dtype(np.uint8)
    if dtype.name not in fits.DTYPE2BITPIX:
        raise ValueError(f"FITS cannot hold {dtype.name}")
    zeroed = flags if hdu.zero_where_flagged else None
    same = hdu.form == "variance" and factor == 1.0 and bits is None and zeroed is None
    if same and (plane.dtype == dtype or not whole):
        return plane.astype(dtype, copy=False)
    out = np.empty(plane.shape, dtype)
    masks = repeat(None) if zeroed is None else np.atleast_2d(zeroed)
    # row by row, because at once it takes memory for several planes
    for target, part, mask in zip(np.atleast_2d(out), np.atleast_2d(plane), masks, strict=False):
        values = _converted(hdu, part, factor, bits)
        if whole and values.size and int(values.max()) > np.iinfo(dtype).max:
            raise ValueError(f"flag {int(values.max())} does not fit into {dtype.name}")
        target[...] = values if mask is None else np.where(mask != 0, 0, values)
    return out


def _converted(hdu: HduModel, part: Plane, factor: float, bits: NDArray[np.uint16] | None) -> Plane:
    """Return a row in the unit, form or flag values of the file."""
    if hdu.plane == "flags":
        return part if bits is None else bits[part]
    if hdu.plane != "variance":
        return part if factor == 1.0 else np.asarray(part * part.dtype.type(factor))
    if hdu.form == "standard_deviation":
        return np.asarray(np.sqrt(part) * part.dtype.type(factor))
    if hdu.form == "inverse_variance":  # what has no positive variance has no weight
        with np.errstate(divide="ignore", invalid="ignore"):
            weight = part.dtype.type(factor**-2) / part
        return np.asarray(np.where(part > 0, weight, part.dtype.type(0)))
    return np.asarray(part * part.dtype.type(factor**2))


def flag_table(
    product: Mapping[str, int], file: Mapping[str, int], planes: Sequence[NDArray[np.uint16]]
) -> NDArray[np.uint16] | None:
    """Return the file's flag value for every value of the product; None if they agree.

    Raises
    ------
    ValueError
        If a flag is set that the file has no name for.
    """
    if not file:
        return None
    used = 0
    for plane in planes:
        used |= int(np.bitwise_or.reduce(plane, axis=None))
    names = {value: name for name, value in product.items()}
    for bit in (1 << n for n in range(16)):
        if used & bit and names.get(bit) not in file:
            called = repr(names[bit]) if bit in names else f"bit {bit}, which has no name,"
            raise ValueError(f"flag {called} is set, but the file has only {', '.join(file)}")
    if all(file.get(name, value) == value for name, value in product.items()):
        return None
    table = np.zeros(65536, np.uint16)
    values = np.arange(65536, dtype=np.uint32)
    for name in product.keys() & file.keys():
        table[values & product[name] != 0] |= np.uint16(file[name])
    return table


def unit_factor(found: u.UnitBase, declared: str | None) -> float:
    """Return what values must be multiplied with to be in the declared unit.

    Raises
    ------
    ValueError
        If the units do not convert into each other.
    """
    if declared is None:
        return 1.0
    try:
        return float(found.to(parse_unit(declared)))
    except u.UnitConversionError:
        raise ValueError(
            f"found the unit {found.to_string() or 'none'!r}, expected {declared!r}"
        ) from None
