"""Tables of binary-table units, column by column as declared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.table import QTable
from astropy.time import Time
from astropy.units import Quantity
from numpy.typing import NDArray

from csstcore.definitions.fitsfile import one_line
from csstcore.definitions.hdu_model import ColumnModel, HduModel
from csstcore.definitions.planes import PLANE_TYPES, as_declared
from csstcore.definitions.units import parse_unit
from csstcore.products.meta import undated_leap_seconds


def read_table_planes(unit: fits.BinTableHDU, hdu: HduModel) -> tuple[dict[str, Any], list[str]]:
    """Read the planes of a product that a table unit holds.

    Parameters
    ----------
    unit
        The unit as astropy opened it.
    hdu
        The declaration.

    Returns
    -------
    planes
        Its table, and the columns that are planes by themselves; ``unit`` if one has one.
    problems
        What is wrong with its columns.
    """
    columns = {name: _native(unit.data[name]) for name in unit.columns.names}
    units = {column.name: column.unit for column in unit.columns}
    planes: dict[str, Any] = {}
    problems: list[str] = []
    if hdu.single_row and len(unit.data) != 1:
        return {}, [f"found {len(unit.data)} rows, expected 1"]
    own = [model for model in hdu.column if model.plane is not None]
    for model, layer in zip(own, hdu.column_layers, strict=True):
        names, missing = _spelling(model, columns)
        if missing:
            problems += [f"column {missing[0]}: missing"] * model.required
            continue
        try:
            values = _column(model, columns.pop(names[0]), units[names[0]])
            planes |= _plane(values[0] if hdu.single_row else values, layer, units[names[0]])
        except ValueError as wrong:
            problems.append(f"column {names[0]}: {one_line(wrong)}")
    if hdu.plane is not None:
        rest = tuple(model for model in hdu.column if model.plane is None)
        declared = hdu.model_copy(update={"column": rest})
        planes[hdu.plane], more = declared_table(columns, units, declared)
        problems += more
    return planes, problems


def _plane(values: NDArray[Any], layer: HduModel, found: str | None) -> dict[str, Any]:
    """Return a column as a plane, with the unit of the product if it is the main one."""
    name = str(layer.plane)
    expected = np.dtype(PLANE_TYPES.get(name, layer.dtype or values.dtype))
    plane = as_declared(values, layer, expected)
    unit = parse_unit(layer.unit or found or "")
    if layer.quantity:
        return {name: Quantity(plane, unit, copy=False, dtype=plane.dtype)}
    main = name not in ("variance", "flags", "mask") and bool(layer.unit or found)
    return {name: plane, "unit": unit} if main else {name: plane}


def declared_table(
    columns: dict[str, NDArray[Any]], units: Mapping[str, str | None], hdu: HduModel
) -> tuple[QTable, list[str]]:
    """Return columns of a file as the table that a definition declares.

    Declared columns come under the product's names (repeated ones as one column with two
    axes) and in the declared unit; all others as they are in the file.

    Parameters
    ----------
    columns
        Arrays of the file, native and contiguous.
    units
        What the file says of each.
    hdu
        The declaration.

    Returns
    -------
    table
        The rows.
    problems
        What is wrong with its columns.
    """
    problems: list[str] = []
    result: dict[str, Any] = {}
    taken: set[str] = set()
    for model in hdu.column:
        names, missing = _spelling(model, columns)
        if missing:
            if model.required or len(missing) < len(model.names):
                problems.append(f"column {', '.join(missing)}: missing")
            continue
        taken.update(names)
        try:
            parts = [_column(model, columns[name], units[name]) for name in names]
        except ValueError as wrong:
            problems.append(f"column {names[0]}: {one_line(wrong)}")
            continue
        whole = parts[0] if model.repeat is None else np.stack(parts, axis=1)
        try:
            result[model.product_name] = _in_memory(model, whole)
        except ValueError as wrong:
            problems.append(f"column {names[0]}: {one_line(wrong)}")
    for name, values in columns.items():
        if name not in taken and name not in result:
            result[name] = _with_unit(values, units[name])
    return QTable(result, copy=False), problems


def _in_memory(model: ColumnModel, values: NDArray[Any]) -> Any:
    if model.time is not None:
        unknown = values.dtype.kind == "f" and not np.isfinite(values).all()
        known = np.ma.masked_invalid(values) if unknown else values
        with undated_leap_seconds():
            return Time(known, format=model.time, scale="utc")
    return values if model.unit is None else _with_unit(values, model.unit)


def _native(values: Any) -> NDArray[Any]:
    """Return a column as a plain, native, contiguous array; text as str without padding."""
    array = np.asarray(values)
    if array.dtype.kind in "SU":
        return np.char.rstrip(array.astype(str))
    return np.ascontiguousarray(array, array.dtype.newbyteorder("="))


def _spelling(
    model: ColumnModel, columns: dict[str, NDArray[Any]]
) -> tuple[tuple[str, ...], list[str]]:
    """Return the names a declared column has in this file, and those that are missing."""
    upper = {name.upper(): name for name in columns}
    missing: list[str] = []
    for template in (model.name, *model.synonyms):
        wanted = model.model_copy(update={"name": template}).names
        found = [upper.get(name.upper()) for name in wanted]
        names = tuple(name for name in found if name is not None)
        if len(names) == len(wanted):
            return names, []
        missing = missing or [n for n, f in zip(wanted, found, strict=True) if f is None]
    return (), missing


def _column(model: ColumnModel, values: NDArray[Any], unit: str | None) -> NDArray[Any]:
    expected = np.dtype(model.dtype)
    if expected.kind in "SU":
        if values.dtype.kind != "U":
            raise ValueError(f"found {values.dtype.name}, expected text")
        return values
    if values.dtype.kind == "U" or not np.can_cast(values.dtype, expected, "same_kind"):
        found = "text" if values.dtype.kind == "U" else values.dtype.name
        raise ValueError(f"found {found}, expected {expected.name}")
    values = values.astype(expected, copy=False)
    if unit and model.unit is not None:
        try:
            factor = parse_unit(unit).to(parse_unit(model.unit))
        except ValueError as cause:
            raise ValueError(f"found the unit {unit!r}, expected {model.unit!r}") from cause
        if factor != 1.0:
            values = values * expected.type(factor)
    return values


def _with_unit(values: NDArray[Any], unit: str | None) -> Any:
    """Return numbers as a quantity; whole numbers, text and unknown units stay as they are."""
    if not unit or values.dtype.kind != "f":
        return values
    try:
        return values << parse_unit(unit)
    except ValueError:
        return values
