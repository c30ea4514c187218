"""Parquet tables as references: the columns that a definition declares, with units."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from csstcore.errors import ConfigurationError, ReferenceFileError
from csstcore.products import Table

if TYPE_CHECKING:
    from csstcore.definitions.model import DefinitionModel


def read_parquet(path: Path, definition: DefinitionModel) -> Table:
    """Read a Parquet file as the table of a definition.

    A column has the unit of its Arrow field metadata (key ``unit``), or else the declared one.
    Missing floating-point numbers become NaN.

    Raises
    ------
    ReferenceFileError
        If pyarrow is not installed, or the file is damaged or not what the definition declares.
    """
    from csstcore.definitions.tables import declared_table

    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise ReferenceFileError(
            f"reference {path}: pyarrow is not installed; pip install 'csstcore[parquet]'"
        ) from error
    hdu = next((hdu for hdu in definition.hdu if hdu.plane == "table"), None)
    if hdu is None:
        raise ConfigurationError(f"{definition.full_name}: declares no table for a Parquet file")
    try:
        content = parquet.ParquetFile(path).read()
        columns = {name: _array(content.column(name)) for name in content.column_names}
    except (ArrowException, OSError, ValueError) as error:
        cause = str(error).strip().partition("\n")[0]
        raise ReferenceFileError(f"reference {path}: not a usable Parquet file: {cause}") from error
    units = {f.name: (f.metadata or {}).get(b"unit", b"").decode() for f in content.schema}
    table, problems = declared_table(columns, units, hdu)
    if problems:
        raise ReferenceFileError(f"reference {path}: {'; '.join(problems)}")
    return Table(table)


def _array(column: Any) -> NDArray[Any]:
    """Return a column as a native array."""
    array: NDArray[Any] = column.to_numpy()
    if array.dtype == object:
        if not all(isinstance(value, str) for value in array):
            raise ValueError(f"found {column.type}; columns are numbers or text without gaps")
        return array.astype(str)
    return np.ascontiguousarray(array)
