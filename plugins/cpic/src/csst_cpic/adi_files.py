"""Read FITS cubes with parallactic angles, as any ground or space telescope delivers them.

The cube is in the first unit with three axes. Angles of its frames, in degrees, are in the
second unit (an image of one axis, or a table), or in the header (start and end), or in a file
of their own: FITS, or text with a number on each line, below a line of names or not.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.table import QTable
from numpy.typing import NDArray

from csstcore.api import FileError, Image, Meta, Table, caveat

ANGLE_NAMES: Final = ("position_angle", "parallactic_angle", "parang", "pa", "angle", "angles")
"""Names that the column of angles may have; case does not matter."""

START_AND_END: Final = (
    ("ESO TEL PARANG START", "ESO TEL PARANG END"),
    ("PARANG", "PARANG"),
)
"""Keywords with the angle at the first and the last frame."""

_EXPOSURE: Final = ("EXPTIME", "ESO DET DIT", "DIT", "TEXP")

Header = Mapping[str, Any]


def read_cube(path: Path, *, header_only: bool = False) -> tuple[Header, list[Image]]:
    """Read the frames of a cube, with the angles that are in the file.

    Returns
    -------
    header, frames
        Values of the first unit, and an image per frame: flags `bad` where a value is not
        finite; ``meta.position_angle`` as in the file, None if it gives none.
    """
    try:
        with fits.open(path) as units:
            header = _plain(units[0].header)
            if header_only:
                return header, []
            cube = next((unit.data for unit in units if _axes(unit) == 3), None)
            if cube is None:
                raise FileError(f"{path}: found no unit with three axes, expected frames, y, x")
            angles = _angles_in(units, header, len(cube))
    except OSError as error:
        raise FileError(f"{path}: not a FITS file: {error}") from error
    if angles is not None and len(angles) != len(cube):
        raise FileError(f"{path}: found {len(angles)} angles, expected {len(cube)}, one a frame")
    meta = _meta(header, path)
    frames = []
    for number, plane in enumerate(np.asarray(cube, np.float32)):
        angle = None if angles is None else float(angles[number]) * u.deg
        own = dataclasses.replace(meta, frame=number, position_angle=angle)
        frame = Image(np.ascontiguousarray(plane), u.adu, meta=own)
        frame.set_flag("bad", ~np.isfinite(frame.data))
        frames.append(frame)
    return header, frames


def read_angles(path: Path, *, header_only: bool = False) -> tuple[Header, list[Table]]:
    """Read the angles of the frames of a cube from a file of their own.

    Returns
    -------
    header, tables
        Values of the first unit (none of a text), and a table with the column
        ``position_angle``.
    """
    is_text = not path.read_bytes()[:9].startswith((b"SIMPLE", b"\x1f\x8b"))
    try:
        if is_text:
            header, angles = {}, None if header_only else _text_angles(path)
        else:
            with fits.open(path) as units:
                header = _plain(units[0].header)
                angles = None if header_only else _listed(units)
    except OSError as error:
        raise FileError(f"{path}: not a FITS file: {error}") from error
    if header_only:
        return header, []
    if angles is None or not len(angles):
        raise FileError(f"{path}: found no list of angles, expected one number a frame")
    return header, [Table(QTable({"position_angle": angles * u.deg}))]


def _text_angles(path: Path) -> NDArray[np.float64]:
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise FileError(f"{path}: neither FITS nor text: {error}") from error
    lines = [line.partition("#")[0].strip() for line in text.splitlines()]
    rows = [[cell.strip() for cell in line.split(",")] for line in lines if line]
    column = 0
    if rows and not any(_is_number(cell) for cell in rows[0]):
        column = _column_of(rows.pop(0), path)
    elif rows and len(rows[0]) > 1:
        raise FileError(f"{path}: not one number on each line, and no line of names above them")
    try:
        return np.array([float(row[column]) for row in rows])
    except (ValueError, IndexError) as error:
        raise FileError(f"{path}: not one number on each line: {error}") from error


def _column_of(names: list[str], path: Path) -> int:
    """Return which column of a text holds the angles; the only one, or one of a known name."""
    lower = [name.strip("\"'").lower() for name in names]
    found = [lower.index(name) for name in ANGLE_NAMES if name in lower]
    if not found and len(names) > 1:
        known = ", ".join(ANGLE_NAMES)
        raise FileError(f"{path}: found the columns {', '.join(names)}; expected one of {known}")
    return found[0] if found else 0


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _angles_in(units: fits.HDUList, header: Header, frames: int) -> NDArray[np.float64] | None:
    """Return the angles that a cube comes with: a list, or from the header; else None."""
    listed = _listed(units)
    if listed is not None:
        return listed
    for first, last in START_AND_END:
        if isinstance(header.get(first), (int, float)):
            start = float(header[first])
            turn = float(header.get(last, start)) - start
            short = (turn + 180.0) % 360.0 - 180.0
            if short != turn and abs(turn) > 180.0:
                caveat(
                    f"{first} to {last} turn by {turn:g} deg as they are written: taken for "
                    f"{short:+g} deg across 180 deg, the short way"
                )
                turn = short
            return start + turn * np.arange(frames) / max(frames - 1, 1)
    return None


def _listed(units: fits.HDUList) -> NDArray[np.float64] | None:
    """Return the first list of numbers: an image of one axis, or a column of a table."""
    for unit in units:
        if _axes(unit) == 1:
            return np.asarray(unit.data, np.float64)
        if isinstance(unit, fits.BinTableHDU):
            names = {name.lower(): name for name in unit.columns.names}
            name = next((names[each] for each in ANGLE_NAMES if each in names), None)
            if name is None and len(names) == 1:
                (name,) = names.values()
            if name is not None and unit.data[name].dtype.kind in "fiu":
                return np.asarray(unit.data[name], np.float64).ravel()
    return None


def _axes(unit: Any) -> int:
    is_image = isinstance(unit, (fits.PrimaryHDU, fits.ImageHDU, fits.CompImageHDU))
    return len(unit.shape) if is_image else 0


def _plain(header: fits.Header) -> dict[str, Any]:
    kinds = (bool, int, float, str)
    return {key: header[key] for key in header if key and isinstance(header[key], kinds)}


def _meta(header: Header, path: Path) -> Meta:
    """Return what the header says of every frame; the object is named by the file."""
    exposure = next((number for key in _EXPOSURE if (number := _positive(header, key))), None)
    scale = _positive(header, "PIXSCALE")
    return Meta(
        object=path.name.partition("_cube")[0],
        telescope=str(header["TELESCOP"]) if "TELESCOP" in header else None,
        instrument=str(header["INSTRUME"]) if "INSTRUME" in header else None,
        exposure_time=None if exposure is None else exposure * u.s,
        pixel_scale=None if scale is None else scale * u.arcsec,
    )


def _positive(header: Header, key: str) -> float | None:
    value = header.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if value > 0 else None
