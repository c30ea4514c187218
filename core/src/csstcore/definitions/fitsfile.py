"""FITS files as astropy opens them, with every damage one `FileError`."""

from __future__ import annotations

import gzip
import io
import os
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

from astropy.io import fits
from astropy.io.fits.card import Undefined

from csstcore.errors import FileError


class Unreadable:
    """Stands for the value of a card that cannot be parsed."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Hdu:
    """What the header of one header-data unit says."""

    index: int
    name: str
    """EXTNAME in upper case; ``PRIMARY`` for the first unit."""
    values: dict[str, Any]
    """Keyword to value; commentary and undefined cards are absent."""
    shape: tuple[int, ...]
    """Shape in numpy order."""

    @property
    def is_table(self) -> bool:
        """Whether the unit is a binary table."""
        return str(self.values.get("XTENSION", "")).strip() == "BINTABLE"


def one_line(cause: BaseException) -> str:
    """Return the message of an error on one line."""
    return " ".join(str(cause).split())


@contextmanager
def open_units(path: Path) -> Iterator[fits.HDUList]:
    """Open a file that `scan` has found whole, to read its data.

    Not memory-mapped: the planes are kept as they are read. ``BLANK`` is passed over, because
    it would make integers floats.

    Raises
    ------
    FileError
        If astropy does not take the file for FITS.
    """
    with _stream(path) as stream, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # astropy's remarks on TDISP and the like
        try:
            units = fits.open(
                stream, memmap=False, ignore_blank=True, disable_image_compression=True
            )
        except Exception as cause:  # astropy raises nearly anything on damaged bytes
            raise FileError(f"{path}: header of HDU 0 is damaged: {one_line(cause)}") from cause
        with units:
            yield units


def _stream(path: Path) -> IO[bytes]:
    """Open a file for reading; a gzip file is expanded in memory."""
    try:
        stream = open(path, "rb")  # noqa: SIM115 - the caller closes it
        packed = stream.read(2) == b"\x1f\x8b"
        stream.seek(0)
        if packed:
            with stream:
                return io.BytesIO(gzip.decompress(stream.read()))
    except (OSError, EOFError, zlib.error) as cause:
        raise FileError(f"{path}: cannot be read: {cause}") from cause
    return stream


def scan(path: Path) -> tuple[Hdu, ...]:
    """Return the units of a FITS file without reading data.

    Raises
    ------
    FileError
        If the file is absent, empty, not FITS, cut off, or its headers are damaged. (To
        astropy damage after the first unit is the end of the file, and cut data a warning.)
    """
    try:
        status = os.stat(path)
    except OSError as cause:
        raise FileError(f"{path}: cannot be read: {cause.strerror}") from cause
    return _scan(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=128)
def _scan(path: Path, size: int, modified: int) -> tuple[Hdu, ...]:
    """Scan; cached, because several definitions look at the same file."""
    with _stream(path) as stream, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # astropy's remarks on damaged cards; reported below
        length = stream.seek(0, io.SEEK_END)
        stream.seek(0)
        start = stream.read(9)
        if start != b"SIMPLE  =":
            found = "an empty file" if not start else f"{start!r}"
            raise FileError(f"{path}: not a FITS file: begins with {found}, expected 'SIMPLE  ='")
        units: list[Hdu] = []
        position = 0
        while not units or start == b"XTENSION=":  # other bytes may follow the last unit
            stream.seek(position)
            unit, size = _read_unit(path, stream, len(units), length)
            units.append(unit)
            position = stream.seek(size, io.SEEK_CUR)
            start = stream.read(9)
        return tuple(units)


def _read_unit(path: Path, stream: IO[bytes], index: int, length: int) -> tuple[Hdu, int]:
    """Return a unit and how many bytes its data take, padding included."""
    try:
        header = fits.Header.fromfile(stream)
        values = _values(header)
        shape = _shape(values)
        size, padded = header.data_size, header.data_size_padded
    except Exception as cause:  # astropy raises nearly anything on damaged bytes
        raise FileError(f"{path}: header of HDU {index} is damaged: {one_line(cause)}") from cause
    found = length - stream.tell()
    if size > found:
        raise FileError(
            f"{path}: HDU {index} is cut off: found {max(0, found)} bytes of data, expected {size}"
        )
    name = "PRIMARY" if index == 0 else str(values.get("EXTNAME", "")).strip().upper()
    return Hdu(index, name, values, shape), padded


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


def _shape(values: dict[str, Any]) -> tuple[int, ...]:
    """Return the shape of the data, if the cards it follows from are what they may be."""
    bitpix = _whole(values, "BITPIX", -64)
    if bitpix not in fits.BITPIX2DTYPE:
        raise ValueError(f"BITPIX is {bitpix}")
    _whole(values, "PCOUNT", 0, 0)
    _whole(values, "GCOUNT", 1, 1)
    axes = _whole(values, "NAXIS", 0)
    return tuple(_whole(values, f"NAXIS{n}", 0) for n in range(axes, 0, -1))


def _whole(values: dict[str, Any], keyword: str, least: int, default: int | None = None) -> int:
    value = values.get(keyword, default)
    if type(value) is not int or value < least:
        raise ValueError(f"{keyword} is {value!r}, expected a whole number, at least {least}")
    return value
