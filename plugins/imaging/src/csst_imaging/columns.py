"""Plain arrays from the columns of a table, whether or not they carry units."""

from __future__ import annotations

import astropy.units as u
import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from csstcore.api import UnprocessableData


def values(table: QTable, name: str, unit: u.UnitBase | None = None) -> NDArray[np.float64]:
    """Return a column as contiguous float64 numbers in `unit`; masked entries become NaN.

    Parameters
    ----------
    table
        Any table.
    name
        Column; a column without unit is taken to be in `unit`.
    unit
        Unit of the numbers returned.

    Raises
    ------
    UnprocessableData
        The column is missing, or its unit cannot be converted.
    """
    if name not in table.colnames:
        found = ", ".join(table.colnames) or "none"
        raise UnprocessableData(f"the table has no column {name!r}; its columns are: {found}")
    column = table[name]
    mask = getattr(column, "mask", None)
    if unit is not None and getattr(column, "unit", None) is not None:
        try:
            column = u.Quantity(column).to(unit) if mask is None else column.to(unit)
        except u.UnitConversionError as error:
            raise UnprocessableData(f"column {name!r}: {error}") from None
    numbers = np.array(getattr(column, "unmasked", column), dtype=np.float64)
    if mask is not None:
        numbers[np.broadcast_to(np.asarray(mask), numbers.shape)] = np.nan
    return np.ascontiguousarray(numbers)
