"""`assert_products_equal`: compare two products field by field."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.table import Table
from astropy.time import Time
from astropy.wcs import WCS


def assert_products_equal(a: Any, b: Any, rtol: float = 0, atol: float = 0) -> None:
    """Fail unless two products are equal, and name every field that differs.

    Types, shapes, dtypes, units, column names and all that is not a floating-point number are
    compared exactly; NaN equals NaN.

    Parameters
    ----------
    a, b
        Two products, or two series.
    rtol, atol
        Tolerances of floating-point values: ``|a - b| <= atol + rtol |b|``.

    Raises
    ------
    AssertionError
        With one line per difference.
    """
    differences = list(_differences("product", a, b, rtol, atol))
    if differences:
        raise AssertionError("products differ:\n" + "\n".join(f"  {each}" for each in differences))


def _differences(where: str, a: Any, b: Any, rtol: float, atol: float) -> Iterator[str]:
    """Yield one line per difference between two values."""
    if type(a) is not type(b):
        yield f"{where}: {type(a).__name__} and {type(b).__name__}"
        return
    if isinstance(a, u.Quantity) and a.unit != b.unit:
        yield f"{where}: unit {a.unit} and {b.unit}"
        return
    pairs = _children(a, b)
    if pairs is None:
        yield from _unequal(where, a, b, rtol, atol)
    elif isinstance(pairs, str):
        yield f"{where}: {pairs}"
    else:
        for name, left, right in pairs:
            yield from _differences(f"{where}{name}", left, right, rtol, atol)


def _children(a: Any, b: Any) -> list[tuple[str, Any, Any]] | str | None:
    """Return the parts of two values by name, why they do not match, or None for leaves."""
    if isinstance(a, Table):
        if a.colnames != b.colnames:
            return f"columns {a.colnames} and {b.colnames}"
        return [(f"[{name!r}]", a[name], b[name]) for name in a.colnames]
    if isinstance(a, SkyCoord):
        if a.frame.name != b.frame.name:
            return f"frames {a.frame.name} and {b.frame.name}"
        return [(".xyz", a.cartesian.xyz, b.cartesian.xyz)]
    if is_dataclass(a):
        return [
            (f".{each.name}", getattr(a, each.name), getattr(b, each.name)) for each in fields(a)
        ]
    if isinstance(a, Mapping):
        if set(a) != set(b):
            return f"keys {sorted(a)} and {sorted(b)}"
        return [(f"[{key!r}]", a[key], b[key]) for key in a]
    if isinstance(a, Sequence) and not isinstance(a, (str, bytes)):
        if len(a) != len(b):
            return f"{len(a)} and {len(b)} elements"
        return [(f"[{index}]", *pair) for index, pair in enumerate(zip(a, b, strict=True))]
    return None


def _unequal(where: str, a: Any, b: Any, rtol: float, atol: float) -> Iterator[str]:
    """Yield how two leaves differ."""
    if isinstance(a, WCS):
        if a.to_header_string(relax=True) != b.to_header_string(relax=True):
            yield f"{where}: different headers"
    elif isinstance(a, Time):
        if (a.scale, a.shape) != (b.scale, b.shape) or np.any(a != b):
            yield f"{where}: {a.isot} {a.scale} and {b.isot} {b.scale}"
    elif isinstance(a, (np.ndarray, np.generic, float, complex)):
        yield from _unequal_arrays(where, np.asanyarray(a), np.asanyarray(b), rtol, atol)
    elif a != b:
        yield f"{where}: {a!r} and {b!r}"


def _unequal_arrays(where: str, a: Any, b: Any, rtol: float, atol: float) -> Iterator[str]:
    """Yield how two arrays differ."""
    if a.dtype != b.dtype or a.shape != b.shape:
        yield f"{where}: {a.dtype}{a.shape} and {b.dtype}{b.shape}"
        return
    masks = [np.asarray(getattr(each, "mask", False)) for each in (a, b)]
    if np.any(masks[0] != masks[1]):
        yield f"{where}: different masks"
        return
    left, right = (
        np.asarray(each.value if isinstance(each, u.Quantity) else each) for each in (a, b)
    )
    if left.dtype.kind in "fc":
        close = np.isclose(left, right, rtol=rtol, atol=atol, equal_nan=True)
    else:
        close = left == right
    wrong = ~(close | masks[0])
    if np.any(wrong):
        first = tuple(int(index[0]) for index in np.nonzero(np.atleast_1d(wrong)))
        values = np.atleast_1d(left)[first], np.atleast_1d(right)[first]
        yield (
            f"{where}: {np.count_nonzero(wrong)} of {wrong.size} values differ, "
            f"first at {first}: {values[0]!r} and {values[1]!r}"
        )
