"""`Reduction`: every setting of a subtraction of the star, as one row of a table."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Final, Literal, get_args

import astropy.units as u
from astropy.table import QTable

from csstcore.api import UnprocessableData

Method = Literal["klip", "nmf"]
Mode = Literal["adi", "rdi", "adi+rdi"]
Combination = Literal["mean", "median", "weighted"]

_UNITS: Final = {"pixel": u.pix, "arcsec": u.arcsec}
_CHOICES: Final = {
    "method": get_args(Method),
    "mode": get_args(Mode),
    "combination": get_args(Combination),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reduction:
    """Settings with which the star was subtracted.

    Contrast curves and companion fits repeat a reduction with exactly these; `to_table` and
    `from_table` lose nothing.
    """

    fwhm_pixel: float
    """Full width at half maximum of an unocculted star."""
    inner_radius_pixel: float
    outer_radius_pixel: float
    annulus_width_pixel: float
    """Annuli of this width fill the radii from inner to outer; the last may be narrower."""
    pixel_scale_arcsec: float
    """Angle of a pixel on the sky."""
    method: Method = "klip"
    mode: Mode = "adi"
    """Which frames model the star: the other frames of the series (adi), a library (rdi), both."""
    components: int = 8
    sectors: int = 1
    """Parts into which each annulus is cut."""
    exclusion_fwhm: float = 1.0
    """A frame models another one only if the sky turned by more than this between them, as an
    arc at the middle of the annulus, in units of `fwhm_pixel`."""
    most_correlated: int = 0
    """A frame is modelled by this many of those frames, the most similar ones; 0 is by all."""
    minimum_references: int = 2
    """A zone of a frame with fewer frames to model it is left out."""
    combination: Combination = "mean"
    """How derotated frames are combined; weighted is by 1 / variance of a pixel over them."""

    def __post_init__(self) -> None:
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                raise UnprocessableData(
                    f"{name} is {getattr(self, name)!r}; expected one of {', '.join(known)}"
                )
        for name, least in _LEAST.items():
            if not getattr(self, name) > least:
                raise UnprocessableData(f"{name} is {getattr(self, name)}; expected above {least}")
        if not self.outer_radius_pixel > self.inner_radius_pixel:
            raise UnprocessableData(
                f"outer_radius_pixel is {self.outer_radius_pixel}; expected above "
                f"inner_radius_pixel = {self.inner_radius_pixel}"
            )

    def to_table(self) -> QTable:
        """Return one row with a column for each setting; lengths are quantities."""
        table = QTable()
        for name in (field.name for field in fields(self)):
            unit = _UNITS.get(name.rpartition("_")[2])
            column = [getattr(self, name)]
            table[name] = column if unit is None else column * unit
        return table

    @classmethod
    def from_table(cls, table: QTable) -> Reduction:
        """Return the settings of the only row of a table made by `to_table`.

        Raises
        ------
        UnprocessableData
            If the table has not one row, or lacks a setting.
        """
        if len(table) != 1:
            raise UnprocessableData(f"a table of reduction settings has {len(table)} rows; not 1")
        missing = [field.name for field in fields(cls) if field.name not in table.colnames]
        if missing:
            raise UnprocessableData(f"the reduction settings lack {', '.join(missing)}")
        return cls(**{field.name: _plain(table[field.name][0], field) for field in fields(cls)})


_LEAST: Final = {
    "fwhm_pixel": 0.0,
    "inner_radius_pixel": -1e-9,
    "annulus_width_pixel": 0.0,
    "pixel_scale_arcsec": 0.0,
    "components": 0,
    "sectors": 0,
    "exclusion_fwhm": -1e-9,
    "most_correlated": -1,
    "minimum_references": 0,
}
"""Each setting is above this."""


def _plain(value: Any, field: Any) -> Any:
    unit = _UNITS.get(field.name.rpartition("_")[2])
    number = value.to_value(unit) if unit is not None and isinstance(value, u.Quantity) else value
    if field.type == "float":
        return float(number)
    return int(number) if field.type == "int" else str(number).strip()
