"""`Detector`: geometry and numbers of the camera (reference type ``cpic.detector``)."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

Count: TypeAlias = Annotated[int, Field(ge=0)]
Size: TypeAlias = Annotated[int, Field(ge=1)]
Positive: TypeAlias = Annotated[float, Field(gt=0)]

Region: TypeAlias = tuple[slice, slice]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Detector:
    """A frame of an electron-multiplying CCD with one amplifier, and what it stands.

    Row 0 and column 0 are read first. A row of the raw frame is prescan, active and overscan
    columns; below the active rows lie dark reference rows (under a shield), above them
    overscan rows. Charge is given at the input of the register (what pixels collect) or at
    its output (after multiplication), as the names say.
    """

    active_columns: Size
    active_rows: Size
    prescan_columns: Count
    """Register elements read before the first active column; they hold no light, no dark."""
    overscan_columns: Count
    """Columns read after the last active one; trails of charge and cosmic rays end here."""
    dark_rows: Count
    """Rows before the active ones under a shield: dark current, no light."""
    overscan_rows: Count
    """Rows read after the last active one."""
    gain_electron_per_adu: Positive
    """Output electrons of one adu, where the frame does not say."""
    bias_adu: Positive
    """Level of an empty pixel, about."""
    read_noise_electron: Positive
    """At the output, where the frame does not say."""
    register_stages: Size
    """Stages of the multiplying register."""
    pixel_full_well_electron: Positive
    """Charge that a pixel holds, at the input."""
    register_full_well_electron: Positive
    """Charge that the register holds, at the output."""
    register_tail_electron: Positive
    """Charge at the output from which the register leaves a tail behind it."""
    register_tail_pixel: Positive
    """Exponential length of this tail, at most."""
    converter_limit_adu: Size
    """Raw values from this on are saturated."""
    frame_transfer_s: Annotated[float, Field(ge=0)]
    """Between two exposures of a series."""
    warm_electron_per_s: Positive
    """Dark rate from which a pixel is warm."""
    hot_electron_per_s: Positive
    """Dark rate from which a pixel is hot, and not warm any more."""

    @property
    def raw_shape(self) -> tuple[int, int]:
        """Shape (rows, columns) of a raw frame."""
        return (
            self.dark_rows + self.active_rows + self.overscan_rows,
            self.prescan_columns + self.active_columns + self.overscan_columns,
        )

    @property
    def shape(self) -> tuple[int, int]:
        """Shape (rows, columns) of the active area."""
        return self.active_rows, self.active_columns

    @property
    def active(self) -> Region:
        """The active area (rows, columns) in the raw frame."""
        return (
            slice(self.dark_rows, self.dark_rows + self.active_rows),
            slice(self.prescan_columns, self.prescan_columns + self.active_columns),
        )

    @property
    def prescan(self) -> Region:
        """Prescan columns of all rows in the raw frame."""
        return slice(None), slice(0, self.prescan_columns)

    @property
    def overscan(self) -> Region:
        """Overscan columns of all rows in the raw frame."""
        return slice(None), slice(self.prescan_columns + self.active_columns, None)

    @property
    def shielded(self) -> Region:
        """Dark reference rows, at the active columns, in the raw frame."""
        return slice(0, self.dark_rows), self.active[1]

    @property
    def empty_rows(self) -> Region:
        """Overscan rows, at the active columns, in the raw frame."""
        return slice(self.dark_rows + self.active_rows, None), self.active[1]
