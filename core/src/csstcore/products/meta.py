"""`Meta`: the closed, instrument-neutral list of facts a product carries."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final

import astropy.units as u

if TYPE_CHECKING:
    from astropy.time import Time


@dataclass(frozen=True, slots=True, kw_only=True)
class Meta:
    """Facts about a product that stages, rules, grouping and checks may use.

    A definition maps its keywords to these fields; quantities arrive in the unit listed in
    `META_UNITS`. A field that the file does not give is None.
    """

    telescope: str | None = None
    instrument: str | None = None
    obs_id: str | None = None
    """Identifier of the exposure (digits, kept as text)."""
    project_id: str | None = None
    object: str | None = None
    """Name of what was observed."""
    target: str | None = None
    """Identifier of the observed target or sky area."""
    file_type: str | None = None
    """Kind of frame: BIAS, DARK, FLAT, SCIE, ON, OFF ..."""
    level: int | None = None
    version: str | None = None
    detector: int | str | None = None
    readout: str | None = None
    """Readout mode or format of the frame, e.g. ``"9560x9264"``."""
    filter: str | None = None
    """Filter, grating or receiver band."""
    frame: int | None = None
    """Index of this frame in its file, from 0."""
    brick: int | None = None
    """Sky cell the product belongs to."""
    time: Time | None = None
    """Start of the exposure (UTC)."""
    end_time: Time | None = None
    """End of the exposure (UTC)."""
    exposure_time: u.Quantity | None = None
    gain: u.Quantity | None = None
    """One value, or one per readout channel."""
    read_noise: u.Quantity | None = None
    """One value, or one per readout channel."""
    em_gain: u.Quantity | None = None
    """Gain of an electron-multiplying register."""
    saturation: u.Quantity | None = None
    """Full well or converter limit, in electrons."""
    temperature: u.Quantity | None = None
    pixel_scale: u.Quantity | None = None
    right_ascension: u.Quantity | None = None
    """Pointing, ICRS."""
    declination: u.Quantity | None = None
    """Pointing, ICRS."""
    position_angle: u.Quantity | None = None


META_FIELDS: Final = tuple(field.name for field in fields(Meta))

META_UNITS: Final[dict[str, u.UnitBase]] = {
    "exposure_time": u.s,
    "gain": u.electron / u.adu,
    "read_noise": u.electron,
    "em_gain": u.dimensionless_unscaled,
    "saturation": u.electron,
    "temperature": u.K,
    "pixel_scale": u.arcsec,
    "right_ascension": u.deg,
    "declination": u.deg,
    "position_angle": u.deg,
}
"""Unit of every field that is a quantity."""

META_TIMES: Final = frozenset({"time", "end_time"})
"""Fields that are `astropy.time.Time` on the UTC scale."""

META_INTEGERS: Final = frozenset({"level", "frame", "brick"})
"""Fields that are whole numbers."""


@contextmanager
def undated_leap_seconds() -> Iterator[None]:
    """Silence ERFA's remark that leap seconds are not yet announced for a future date."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*dubious year")
        yield


def plain_value(meta: Meta, name: str) -> Any:
    """Return a field of `meta` as str, int, float, list of float or None.

    Quantities are given in the unit of `META_UNITS`, times in ISO 8601 (UTC). Used wherever
    a value is compared with TOML or written to JSON.
    """
    value = getattr(meta, name)
    if value is None or isinstance(value, (str, int)):
        return value
    if name in META_TIMES:
        with undated_leap_seconds():
            return str(value.utc.isot)
    number = value.to_value(META_UNITS[name])
    return number.tolist() if hasattr(number, "tolist") else float(number)
