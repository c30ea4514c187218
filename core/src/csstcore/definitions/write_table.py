"""Tables as binary-table units, column by column as declared."""

from __future__ import annotations

import io
import re
import warnings
from typing import Any, Final

import numpy as np
from astropy.io import fits
from astropy.table import QTable
from astropy.units import Quantity
from numpy.typing import NDArray

from csstcore.definitions.fitsfile import BLOCK
from csstcore.definitions.model import ColumnModel, HduModel
from csstcore.definitions.units import parse_unit
from csstcore.products.meta import Meta, plain_value

_PART: Final = re.compile(r"(\w+)\[(\d+)\]")


def table_bytes(hdu: HduModel, table: QTable, meta: Meta, cards: fits.Header) -> bytes:
    """Return the complete unit: header with checksums, data and padding.

    Declared columns are written in the declared order; the table's other columns are left
    out. A unit that declares no columns takes all of the table.

    Parameters
    ----------
    hdu
        The declared unit.
    table
        The rows.
    meta
        Of the product.
    cards
        Keywords to add to the header.

    Raises
    ------
    ValueError
        If a required column is absent and has no fill, or a column is of another kind.
    """
    columns: list[fits.Column] = []
    comments: dict[str, str] = {}
    for model in hdu.column or [_undeclared(table, name) for name in table.colnames]:
        values = _values(model, table, meta)
        if values is None:
            continue
        for number, name in enumerate(model.names):
            part = values if model.repeat is None else values[:, number]
            columns.append(_column(model, name, part))
            comments[name] = model.comment
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # units in forms of the documented files
        unit = fits.BinTableHDU.from_columns(columns, nrows=len(table), name=hdu.name)
        for index, name in enumerate(unit.columns.names, start=1):
            if comments[name]:
                unit.header.comments[f"TTYPE{index}"] = comments[name][:47]
        unit.header.extend(cards, end=True)
        stream = io.BytesIO()
        fits.HDUList([fits.PrimaryHDU(), unit]).writeto(stream, checksum=True)
    return stream.getvalue()[BLOCK:]


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


def _origin(model: ColumnModel, table: QTable, meta: Meta) -> Any:
    """Return what a column is made of, or None."""
    source = model.source or model.product_name
    part = _PART.fullmatch(source)
    if part is not None and part[1] in table.colnames:
        return table[part[1]][:, int(part[2])]
    if source.startswith("meta."):
        value = plain_value(meta, source.removeprefix("meta."))
        return None if value is None else np.full(len(table), value)
    if source == "row.number":
        return np.arange(1, len(table) + 1)
    return table[source] if source in table.colnames else None


def _values(model: ColumnModel, table: QTable, meta: Meta) -> NDArray[Any] | None:
    """Return the values of a column in the file's type and unit; None to leave it out."""
    dtype = np.dtype(model.dtype)
    column = _origin(model, table, meta)
    if column is None:
        if not model.required:
            return None
        if model.fill is None:
            raise ValueError(
                f"column {model.name}: the table has no {model.source or model.product_name!r}, "
                "and the definition gives no fill"
            )
        shape = (len(table),) if model.repeat is None else (len(table), model.repeat)
        return np.full(shape, model.fill, _text_type(dtype, str(model.fill)))
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
            f"({len(table)}, {model.repeat})"
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


def _column(model: ColumnModel, name: str, values: NDArray[Any]) -> fits.Column:
    letters = {"b1": "L", "u1": "B", "i2": "I", "i4": "J", "i8": "K", "f4": "E", "f8": "D"}
    offsets = {"u2": ("I", 32768), "u4": ("J", 2147483648)}
    kind = values.dtype.str[1:]
    count = int(np.prod(values.shape[1:], dtype=int))
    if values.dtype.kind == "S":
        return fits.Column(name, f"{max(1, values.dtype.itemsize)}A", model.unit, array=values)
    letter, zero = offsets[kind] if kind in offsets else (letters[kind], None)
    shape = f"({','.join(str(n) for n in reversed(values.shape[1:]))})" if values.ndim > 2 else None
    return fits.Column(
        name,
        f"{count if count != 1 else ''}{letter}",
        model.unit,
        bzero=zero,
        dim=shape,
        array=values,
    )
