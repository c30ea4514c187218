"""Tables as binary-table units, column by column as declared."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from astropy.io import fits
from astropy.table import QTable, Table
from astropy.time import Time
from astropy.units import Quantity
from numpy.typing import NDArray

from csstcore.definitions.hdu_model import ColumnModel, HduModel
from csstcore.definitions.units import parse_unit
from csstcore.products.meta import Meta, plain_value, undated_leap_seconds

_PART: Final = re.compile(r"(\w+)\[(\d+)\]")


def table_unit(
    hdu: HduModel, table: QTable | None, meta: Meta, planes: Mapping[str, NDArray[Any]]
) -> fits.BinTableHDU:
    """Return a table as a unit.

    Declared columns are written in the declared order; the table's other columns are left
    out. A unit that declares no columns takes all of the table.

    Parameters
    ----------
    hdu
        The declared unit.
    table
        The rows; None if the unit holds planes only.
    meta
        Of the product.
    planes
        Columns that are planes by themselves, as the file has them.

    Raises
    ------
    ValueError
        If planes and rows differ in number, a required column is absent and has no fill, or
        a column is of another kind.
    """
    columns: dict[str, NDArray[Any]] = {}
    models: list[ColumnModel] = []
    if table is None:
        table = QTable()
    rows = {len(table)} if table.colnames else set()
    rows |= {len(plane) for plane in planes.values()}
    if len(rows) > 1:
        raise ValueError(f"the columns have different numbers of rows: {sorted(rows)}")
    number = max(rows, default=0)
    for model in hdu.column or [_undeclared(table, name) for name in table.colnames]:
        if model.plane is not None:
            values = planes.get(model.plane)
        else:
            values = _values(model, table, meta, number)
        if values is not None:
            parts = [values] if model.repeat is None else list(values.T)
            columns.update(zip(model.names, parts, strict=True))
            models += [model] * len(parts)
    unit = fits.BinTableHDU(Table(columns, copy=False), name=hdu.name)
    for index, model in enumerate(models, start=1):
        if model.unit:
            unit.columns[index - 1].unit = model.unit
        unit.header.comments[f"TTYPE{index}"] = model.comment[:47]
    return unit


def _undeclared(table: QTable, name: str) -> ColumnModel:
    column = table[name]
    unit = getattr(column, "unit", None)
    return ColumnModel.model_validate(
        {
            "name": name,
            "dtype": str(np.asarray(column).dtype),
            "unit": None if unit is None else unit.to_string(),
        }
    )


def _origin(model: ColumnModel, table: QTable, meta: Meta, number: int) -> Any:
    """Return what a column is made of, or None."""
    source = model.source or model.product_name
    part = _PART.fullmatch(source)
    if part is not None and part[1] in table.colnames:
        return table[part[1]][:, int(part[2])]
    if part is not None and model.name in table.colnames:  # as read from a file
        return table[model.name]
    if source.startswith("meta."):
        value = plain_value(meta, source.removeprefix("meta."))
        return None if value is None else np.full(number, value)
    if source == "row.number":
        return np.arange(1, number + 1)
    return table[source] if source in table.colnames else None


def _values(model: ColumnModel, table: QTable, meta: Meta, number: int) -> NDArray[Any] | None:
    """Return the values of a column in the file's type and unit; None to leave it out."""
    dtype = np.dtype(model.dtype)
    column = _origin(model, table, meta, number)
    if column is None:
        if not model.required:
            return None
        if model.fill is None:
            raise ValueError(
                f"column {model.name}: the table has no {model.source or model.product_name!r}, "
                "and the definition gives no fill"
            )
        shape = (number,) if model.repeat is None else (number, model.repeat)
        return np.full(shape, model.fill, _text_type(dtype, str(model.fill)))
    if model.time is not None and isinstance(column, Time):
        with undated_leap_seconds():
            times = column.utc.to_value(model.time)
        column = times.filled(np.nan) if column.masked and times.dtype.kind == "f" else times
    mask = getattr(column, "mask", None)
    if isinstance(column, Quantity) and model.unit is not None:
        try:
            column = column.to_value(parse_unit(model.unit))
        except ValueError as cause:
            raise ValueError(f"column {model.name}: {cause}") from cause
    values = np.asarray(getattr(column, "unmasked", column))
    if values.dtype.kind in "SUO" and dtype.kind in "SU":
        values = values.astype(bytes if dtype.itemsize == 0 else dtype.str.replace("U", "S"))
    elif not np.can_cast(values.dtype, dtype, "same_kind"):
        raise ValueError(f"column {model.name}: found {values.dtype.name}, expected {dtype.name}")
    else:
        values = values.astype(dtype, copy=False)
    if model.repeat is not None and values.shape[1:] != (model.repeat,):
        raise ValueError(
            f"column {model.name}: {model.product_name!r} has shape {values.shape}, expected "
            f"({number}, {model.repeat})"
        )
    return _filled(model, values, mask)


def _text_type(dtype: np.dtype[Any], text: str) -> str:
    return f"S{max(len(text), dtype.itemsize // 4)}" if dtype.kind in "SU" else dtype.str


def _filled(model: ColumnModel, values: NDArray[Any], mask: Any) -> NDArray[Any]:
    """Return the values with the fill where they are masked or not a number."""
    unknown = np.zeros(values.shape, bool) if mask is None else np.asarray(mask, bool)
    if values.dtype.kind == "f":
        unknown = unknown | np.isnan(values)
    if model.fill is None or not unknown.any():
        return values
    values = values.copy()
    values[unknown] = model.fill
    return values
