"""The arrays inside any product: which they are, and which are shared.

A product is any dataclass. Its planes are its arrays, wherever they sit: in a field, in a
column of a table, in a mapping, a sequence or another dataclass inside it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, TypeVar

import astropy.units as u
import numpy as np
from astropy.table import Table as AstropyTable
from numpy.lib.array_utils import byte_bounds
from numpy.typing import NDArray

from csstcore.products.meta import Meta

P = TypeVar("P")
Plane = NDArray[Any]

_IMMUTABLE = (str, bytes, int, float, complex, bool, type(None), u.UnitBase, Meta, np.generic)


def planes(product: Any) -> dict[str, Plane]:
    """Return every array of a product, by its dotted path (``data``, ``table.flux``)."""
    return dict(_walk(product, ""))


def nbytes(product: Any) -> int:
    """Return the memory that the planes of a product span, shared memory counted once."""
    spans = sorted({byte_bounds(plane) for plane in planes(product).values() if plane.size})
    total = end = 0
    for low, high in spans:
        total += max(0, high - max(low, end))
        end = max(end, high)
    return total


@dataclass(frozen=True, slots=True)
class Footprint:
    """What of memory a product holds on to, as long as it is there and not changed."""

    spans: tuple[tuple[int, int], ...]
    """Bounds of its planes in memory."""
    objects: frozenset[int]
    """Identities of its other mutable parts."""


def footprint(product: Any) -> Footprint:
    """Return what of memory a product holds on to."""
    spans = tuple(byte_bounds(plane) for plane in planes(product).values() if plane.size)
    return Footprint(spans, frozenset(id(thing) for thing in _mutable(product)))


def shared_planes(product: Any, others: Iterable[Any]) -> frozenset[str]:
    """Return the paths of the planes that lie in the same memory as a plane of `others`.

    Interleaved views of one buffer count as shared.

    Parameters
    ----------
    product
        A dataclass.
    others
        Products, or their footprints.
    """
    spans = [span for other in others for span in _footprint(other).spans]
    return frozenset(
        path
        for path, plane in planes(product).items()
        if plane.size and any(_overlap(byte_bounds(plane), span) for span in spans)
    )


def own(product: P, others: Iterable[Any]) -> P:
    """Return `product` such that changing it in place changes none of `others`.

    Parameters
    ----------
    product
        A dataclass; the result is a new object of the same type that keeps every plane it
        does not share.
    others
        Products that must stay as they are, or their footprints.
    """
    held = [_footprint(other) for other in others]
    shared = shared_planes(product, held)
    objects = frozenset().union(*(other.objects for other in held))
    owned: P = _rebuild(
        product, "", lambda path, plane: plane.copy() if path in shared else plane, objects
    )
    return owned


def _footprint(product: Any) -> Footprint:
    return product if isinstance(product, Footprint) else footprint(product)


def map_planes(product: P, change: Callable[[str, Plane], Plane]) -> P:
    """Return a new product whose planes are ``change(path, plane)``; all else is kept."""
    changed: P = _rebuild(product, "", change, frozenset())
    return changed


def _overlap(a: tuple[int, int], b: tuple[int, int]) -> bool:
    return a[0] < b[1] and b[0] < a[1]


def _children(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the parts of a container, or nothing if `value` is not one."""
    if isinstance(value, _IMMUTABLE):
        return
    if isinstance(value, AstropyTable):
        yield from ((name, value[name]) for name in value.colnames)
    elif is_dataclass(value) and not isinstance(value, type):
        yield from ((field.name, getattr(value, field.name)) for field in fields(value))
    elif isinstance(value, Mapping):
        yield from ((str(key), item) for key, item in value.items())
    elif isinstance(value, (list, tuple)):
        yield from ((str(index), item) for index, item in enumerate(value))


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _walk(value: Any, path: str) -> Iterator[tuple[str, Plane]]:
    if isinstance(value, np.ndarray):
        yield path, value
        mask = getattr(value, "mask", None)
        if isinstance(mask, np.ndarray) and mask.ndim:
            yield _join(path, "mask"), mask
        return
    for name, child in _children(value):
        yield from _walk(child, _join(path, name))


def _mutable(value: Any) -> Iterator[Any]:
    """Yield every mutable object of a product that is neither a plane nor a container."""
    if isinstance(value, (np.ndarray, *_IMMUTABLE)):
        return
    parts = list(_children(value))
    if not parts:
        yield value
    for _, child in parts:
        yield from _mutable(child)


def _rebuild(
    value: Any, path: str, change: Callable[[str, Plane], Plane], copied: Iterable[int]
) -> Any:
    """Rebuild the containers of `value`; objects whose id is in `copied` are copied deeply."""
    if isinstance(value, np.ndarray):
        return change(path, value)
    if isinstance(value, _IMMUTABLE):
        return value
    parts = {
        name: _rebuild(child, _join(path, name), change, copied) for name, child in _children(value)
    }
    if isinstance(value, AstropyTable):
        return _table_like(value, parts)
    if is_dataclass(value) and not isinstance(value, type):
        return _dataclass_like(value, parts)
    if isinstance(value, Mapping):
        items = dict(zip(value, parts.values(), strict=True))
        return items if type(value) is dict else value if not parts else _mapping_like(value, items)
    if isinstance(value, (list, tuple)):
        return list(parts.values()) if isinstance(value, list) else tuple(parts.values())
    return copy.deepcopy(value) if id(value) in copied else value


def _mapping_like(value: Mapping[Any, Any], items: dict[Any, Any]) -> Mapping[Any, Any]:
    same = all(items[key] is value[key] for key in items)
    return value if same else items


def _dataclass_like(value: Any, parts: dict[str, Any]) -> Any:
    settable = {field.name for field in fields(value) if field.init}
    return replace(value, **{name: part for name, part in parts.items() if name in settable})


def _table_like(table: AstropyTable, columns: dict[str, Any]) -> AstropyTable:
    """Return a table of the same kind over `columns`, not copied."""
    new = type(table)(columns, copy=False, meta=dict(table.meta))
    for name in new.colnames:
        old, column = table[name], new[name]
        if column is not old:
            column.info.description = old.info.description
            column.info.format = old.info.format
            column.info.meta = copy.copy(old.info.meta)
    return new
