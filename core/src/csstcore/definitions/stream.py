"""FITS units to a stream, each plane converted and summed tile by tile.

astropy swaps the bytes of a whole plane, and back, once for the checksum and once for the data.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import chain
from typing import IO, Any, Final

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

TILE_VALUES: Final = 1 << 18
_BLOCK: Final = 2880
_ASCII_ZERO: Final = 0x30
_PUNCTUATION: Final = (*range(0x3A, 0x41), *range(0x5B, 0x61))


def write_units(
    units: fits.HDUList, stream: IO[bytes], frames: Iterable[fits.ImageHDU] = ()
) -> None:
    """Write units with their checksums to an empty stream; the arrays are not changed.

    Parameters
    ----------
    units
        Image units, whose headers get the cards CHECKSUM and DATASUM; with a table among them
        astropy writes the file.
    stream
        Opened for writing.
    frames
        More image units to follow, made one by one while they are written.
    """
    if not all(isinstance(unit, (fits.PrimaryHDU, fits.ImageHDU)) for unit in units):
        units.extend(frames)
        units.writeto(stream, checksum=True)
        return
    following = iter(frames)
    second = next(following, None)
    several = len(units) > 1 or second is not None
    more = () if second is None else (second,)
    for number, unit in enumerate(chain(units, more, following)):
        if number == 0 and several:
            unit.header.set("EXTEND", True, after=f"NAXIS{unit.header['NAXIS'] or ''}")
        size = _add_checksums(unit)
        stream.write(unit.header.tostring().encode("ascii"))
        for tile in _stored(unit):
            stream.write(tile.astype(tile.dtype.newbyteorder(">"), copy=False).data)
        stream.write(bytes(-size % _BLOCK))


def _stored(unit: fits.ImageHDU) -> Iterator[NDArray[Any]]:
    """Yield the values of a unit as they are stored, in native byte order, tile by tile."""
    if unit.data is None:
        return
    flat = np.ascontiguousarray(unit.data).reshape(-1)
    offset = unit.header.get("BZERO", 0) != 0  # an integer type that FITS does not have
    for start in range(0, flat.size, TILE_VALUES):
        tile = flat[start : start + TILE_VALUES]
        if offset:
            words = tile.view(f"u{tile.itemsize}")
            tile = words ^ words.dtype.type(1 << (8 * tile.itemsize - 1))
        yield tile


def _add_checksums(unit: fits.ImageHDU) -> int:
    """Set the cards DATASUM and CHECKSUM (FITS 4.0, 4.4.2.7); return the bytes of the data."""
    size = total = 0
    for tile in _stored(unit):
        size += tile.nbytes
        total += _sum_words(tile)
    today = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S")
    header = unit.header
    for keyword in ("CHECKSUM", "DATASUM"):
        header.remove(keyword, ignore_missing=True)
    header["CHECKSUM"] = "0" * 16, f"HDU checksum updated {today}"
    header["DATASUM"] = str(_folded(total)), f"data unit checksum updated {today}"
    text = np.frombuffer(header.tostring().encode("ascii"), ">u4")
    header["CHECKSUM"] = _encoded(~_folded(total + int(text.sum(dtype=np.uint64))) & 0xFFFFFFFF)
    return size


def _sum_words(tile: NDArray[Any]) -> int:
    """Return the sum of the 32-bit words that the values are in the file."""
    if tile.itemsize == 4:
        return int(tile.view(np.uint32).sum(dtype=np.uint64))
    content = tile.astype(tile.dtype.newbyteorder(">"), copy=False).tobytes()
    words = np.frombuffer(content + bytes(-len(content) % 4), ">u4")
    return int(words.sum(dtype=np.uint64))


def _folded(total: int) -> int:
    """Return a sum with its carries added at the low end (ones' complement)."""
    while total >> 32:
        total = (total & 0xFFFFFFFF) + (total >> 32)
    return total


def _encoded(value: int) -> str:
    """Return 32 bits as 16 letters and digits (FITS 4.0, appendix J)."""
    letters = np.empty((4, 4), np.int64)
    for place, byte in enumerate(value.to_bytes(4, "big")):
        quotient, rest = divmod(byte, 4)
        four = [quotient + _ASCII_ZERO + (rest if k == 0 else 0) for k in range(4)]
        while any(code in _PUNCTUATION for code in four):
            for first in (0, 2):  # moving one up and the other down keeps the sum
                if {four[first], four[first + 1]} & set(_PUNCTUATION):
                    four[first] += 1
                    four[first + 1] -= 1
        letters[:, place] = four
    return "".join(map(chr, np.roll(letters.reshape(-1), 1)))
