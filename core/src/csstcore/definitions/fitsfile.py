"""The header-data units of a FITS file, found without reading any data."""

from __future__ import annotations

import gzip
import io
import os
import warnings
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, Final, cast

from astropy.io import fits
from astropy.io.fits.card import Undefined

from csstcore.errors import FileError

BLOCK: Final = 2880
_TYPES: Final = {8: "u1", 16: "i2", 32: "i4", 64: "i8", -32: "f4", -64: "f8"}


class Unreadable:
    """Stands for the value of a card that cannot be parsed."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Hdu:
    """One header-data unit."""

    index: int
    name: str
    """EXTNAME in upper case; ``PRIMARY`` for the first unit."""
    header: fits.Header
    values: dict[str, Any]
    """Keyword to value; commentary and undefined cards are absent."""
    start: int
    """Offset of the header in bytes."""
    offset: int
    """Offset of the data in bytes."""
    size: int
    """Bytes of data, without padding."""
    shape: tuple[int, ...]
    """Shape in numpy order."""
    dtype: str
    """Type of the stored values, without byte order."""

    @property
    def is_table(self) -> bool:
        """Whether the unit is a binary table."""
        return str(self.values.get("XTENSION", "")).strip() == "BINTABLE"


def one_line(cause: BaseException) -> str:
    """Return the message of an error on one line."""
    return " ".join(str(cause).split())


def open_binary(path: Path) -> IO[bytes]:
    """Open a file for reading; a gzip file is expanded in memory."""
    try:
        stream = open(path, "rb", buffering=0)  # noqa: SIM115 - the caller closes it
        if stream.read(2) == b"\x1f\x8b":
            stream.close()
            return io.BytesIO(gzip.decompress(path.read_bytes()))
    except (OSError, EOFError, zlib.error) as cause:
        raise FileError(f"{path}: cannot be read: {cause}") from cause
    stream.seek(0)
    return cast(IO[bytes], stream)


def scan(path: Path) -> tuple[Hdu, ...]:
    """Return the units of a FITS file.

    Raises
    ------
    FileError
        If the file is absent, empty, not FITS, cut off, or its headers are damaged.
    """
    try:
        status = os.stat(path)
    except OSError as cause:
        raise FileError(f"{path}: cannot be read: {cause.strerror}") from cause
    return _scan(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=128)
def _scan(path: Path, size: int, modified: int) -> tuple[Hdu, ...]:
    """Scan; cached, because several definitions look at the same file."""
    with open_binary(path) as stream, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # astropy's remarks on damaged cards; reported below
        length = stream.seek(0, io.SEEK_END)
        stream.seek(0)
        start = stream.read(30)
        if not start.startswith(b"SIMPLE  ="):
            found = "an empty file" if not start else f"{start[:10]!r}"
            raise FileError(f"{path}: not a FITS file: begins with {found}, expected 'SIMPLE  ='")
        units: list[Hdu] = []
        position = 0
        while position < length:
            stream.seek(position)
            if units and not _begins_extension(stream, position):
                break
            unit = _read_unit(path, stream, len(units), position, length)
            units.append(unit)
            position = unit.offset + -(-unit.size // BLOCK) * BLOCK
        return tuple(units)


def _begins_extension(stream: IO[bytes], position: int) -> bool:
    """Return whether a header begins here; bytes after the last unit are allowed by FITS."""
    begins = stream.read(9) == b"XTENSION="
    stream.seek(position)
    return begins


def _read_unit(path: Path, stream: IO[bytes], index: int, position: int, length: int) -> Hdu:
    try:
        header = fits.Header.fromfile(stream, endcard=True, padding=True)
        values = _values(header)
        shape, dtype, size = _layout(values)
    except FileError:
        raise
    except Exception as cause:  # astropy raises nearly anything on damaged bytes
        raise FileError(f"{path}: header of HDU {index} is damaged: {one_line(cause)}") from cause
    offset = stream.tell()
    if offset + size > length:
        raise FileError(
            f"{path}: HDU {index} is cut off: found {max(0, length - offset)} bytes of data, "
            f"expected {size}"
        )
    name = "PRIMARY" if index == 0 else str(values.get("EXTNAME", "")).strip().upper()
    return Hdu(index, name, header, values, position, offset, size, shape, dtype)


def _values(header: fits.Header) -> dict[str, Any]:
    """Return keyword to value, the first card of a keyword counting."""
    values: dict[str, Any] = {}
    for card in header.cards:
        try:
            keyword, value = card.keyword, card.value
        except (fits.VerifyError, ValueError):
            keyword, value = card.image[:8].strip(), Unreadable(card.image[10:].strip("' "))
        if keyword in ("COMMENT", "HISTORY", "", "END") or isinstance(value, Undefined):
            continue
        values.setdefault(keyword, value)
    return values


def _layout(values: dict[str, Any]) -> tuple[tuple[int, ...], str, int]:
    """Return shape, stored type and bytes of the data."""
    bitpix = _whole(values, "BITPIX")
    if bitpix not in _TYPES:
        raise ValueError(f"BITPIX is {bitpix}, expected one of {', '.join(map(str, _TYPES))}")
    axes = _whole(values, "NAXIS")
    if not 0 <= axes <= 999:
        raise ValueError(f"NAXIS is {axes}, expected 0 to 999")
    lengths = [_whole(values, f"NAXIS{n}") for n in range(1, axes + 1)]
    if any(length < 0 for length in lengths):
        raise ValueError(f"an axis has a negative length: {lengths}")
    pixels = 1 if lengths else 0
    for length in lengths:
        pixels *= length
    extra = _whole(values, "PCOUNT", 0)
    groups = _whole(values, "GCOUNT", 1)
    if extra < 0 or groups < 1:
        raise ValueError(f"PCOUNT is {extra} and GCOUNT {groups}")
    size = abs(bitpix) // 8 * groups * (extra + pixels)
    return tuple(reversed(lengths)), _TYPES[bitpix], size


def _whole(values: dict[str, Any], keyword: str, default: int | None = None) -> int:
    value = values.get(keyword, default)
    if type(value) is not int:
        raise ValueError(f"{keyword} is {value!r}, expected a whole number")
    return value
