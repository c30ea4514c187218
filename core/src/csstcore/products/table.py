"""`Table` and `TimeTable`: rows with units."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from astropy.table import QTable

from csstcore.products.meta import Meta

if TYPE_CHECKING:
    from astropy.wcs import WCS


@dataclass(slots=True, eq=False)
class Table:
    """A catalogue or any other table.

    `table` is an `astropy.table.QTable`: columns are quantities where they have a unit.
    """

    table: QTable
    meta: Meta = field(default_factory=Meta)
    wcs: WCS | None = None
    """World coordinates of the image that the rows were measured on."""

    def __len__(self) -> int:
        return len(self.table)


@dataclass(slots=True, eq=False)
class TimeTable(Table):
    """A table whose rows are ordered by its column ``time`` (`astropy.time.Time`)."""

    def __post_init__(self) -> None:
        if "time" not in self.table.colnames:
            found = ", ".join(self.table.colnames) or "no columns"
            raise ValueError(f"a TimeTable needs a column 'time'; found {found}")
        time = self.table["time"]
        days = getattr(time, "mjd", time)
        days = np.asarray(days.filled(np.nan) if hasattr(days, "filled") else days, dtype=float)
        if np.any(np.diff(days) < 0) or not np.all(np.isfinite(days)):
            raise ValueError("the column 'time' of a TimeTable must be finite and ascending")
