"""Fingerprints of products: equal exactly if everything in them is."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.table import Table
from astropy.time import TimeBase
from astropy.wcs import WCS

if TYPE_CHECKING:
    from hashlib import _Hash


def fingerprint(value: Any) -> str:
    """Return a sha256 over types, values, units and headers of a product and all it holds.

    Parameters
    ----------
    value
        A product, or anything it is made of.

    Raises
    ------
    TypeError
        If something of unknown type is found, which could change unnoticed.
    """
    digest = hashlib.sha256()
    _add(digest, value)
    return digest.hexdigest()


def _add(digest: _Hash, value: Any) -> None:
    """Add one value and all it holds."""
    digest.update(f"<{type(value).__module__}.{type(value).__qualname__}>".encode())
    for part in _parts(value):
        if isinstance(part, bytes):
            digest.update(part)
        else:
            _add(digest, part)


def _parts(value: Any) -> Sequence[Any]:
    """Return what a value is made of: bytes, or further values."""
    if isinstance(value, bytes):
        return [value]
    if value is None or isinstance(value, (bool, int, float, complex, str, Enum, Path, u.UnitBase)):
        return [repr(value).encode()]
    if isinstance(value, u.Quantity):
        return [value.unit, value.value]
    if isinstance(value, (np.ndarray, np.generic)):
        return _array(np.asarray(value), getattr(value, "mask", None))
    if isinstance(value, Table):
        columns = [(name, value[name]) for name in value.colnames]
        return [value.meta, *(part for pair in columns for part in pair)]
    if isinstance(value, TimeBase):
        return [value.scale, value.jd1, value.jd2]
    if isinstance(value, SkyCoord):
        return [value.frame.name, value.cartesian.xyz]
    if isinstance(value, WCS):
        return [value.to_header_string(relax=True).encode(), value.sip is None]
    if is_dataclass(value):
        return [getattr(value, field.name) for field in fields(value)]
    if isinstance(value, Mapping):
        return [part for pair in value.items() for part in pair]
    if isinstance(value, (Sequence, set, frozenset)):
        return sorted(value) if isinstance(value, (set, frozenset)) else list(value)
    raise TypeError(f"cannot fingerprint {type(value).__name__}: a product holds only data")


def _array(array: np.ndarray[Any, Any], mask: Any) -> list[Any]:
    """Return the parts of an array; one of objects counts element by element."""
    described = f"{array.dtype.str}{array.shape}".encode()
    values = list(array.flat) if array.dtype.hasobject else [np.ascontiguousarray(array).tobytes()]
    masked = [] if mask is None or mask is np.ma.nomask else [np.asarray(mask).tobytes()]
    return [described, *values, *masked]
