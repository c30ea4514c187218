"""The values of an image unit, brought into memory in one pass over the file.

`fits.ImageHDU.data` would do, but it goes through memory several times: integers with an offset
by way of float64, and floats in the byte order of the file.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from csstcore.threads import allowed_threads, each

TILE_BYTES: Final = 1 << 20
"""Read and converted at a time: it stays in the cache of the processor."""

_OFFSETS: Final[dict[tuple[int, float], str]] = {
    (16, 2**15): "uint16",
    (32, 2**31): "uint32",
    (8, -128): "int8",
}
"""BITPIX and BZERO that together mean an integer type FITS does not have."""


def natural_type(header: Mapping[str, Any]) -> np.dtype[Any]:
    """Return the type of the values that a unit stands for, by BITPIX, BZERO and BSCALE."""
    zero, scale = header.get("BZERO", 0), header.get("BSCALE", 1)
    bitpix = header["BITPIX"]
    if (zero, scale) == (0, 1):
        name: str = fits.BITPIX2DTYPE[bitpix]
    elif scale == 1 and (bitpix, zero) in _OFFSETS:
        name = _OFFSETS[bitpix, zero]
    else:
        name = "float64" if bitpix in (32, 64, -64) else "float32"
    return np.dtype(name)


def native_pixels(image: fits.ImageHDU) -> NDArray[Any]:
    """Return the values of an image unit as a new native array of the natural type.

    Parameters
    ----------
    image
        A unit of an open file, whose ``data`` nobody has asked for yet.

    Raises
    ------
    EOFError
        If the file ends within the unit.
    """
    values = np.empty(image.shape, natural_type(image.header))
    flat = values.reshape(-1)
    stored = np.dtype(fits.BITPIX2DTYPE[image.header["BITPIX"]]).newbyteorder(">")
    info = image.fileinfo()
    header, first = dict(image.header), info["datLoc"]
    read, threads = _reader(info["file"], first)
    step = TILE_BYTES // stored.itemsize

    def bring(start: int) -> None:
        target = flat[start : start + step]
        content = read(first + start * stored.itemsize, target.size * stored.itemsize)
        if len(content) < target.size * stored.itemsize:
            raise EOFError("the file ends within the unit")
        _convert(np.frombuffer(content, stored), header, target)

    starts = range(0, flat.size, step)
    if threads == 1 or len(starts) < 2 * threads:
        for start in starts:
            bring(start)
    else:
        each(bring, starts)
    return values


def _reader(file: Any, first: int) -> tuple[Callable[[int, int], bytes], int]:
    """Return how to read bytes from a place, and in how many threads at once.

    A plain file is read from several; anything else, such as a compressed one, in order.
    """
    stream = getattr(file, "_file", None)
    if isinstance(stream, io.BufferedReader):
        descriptor = stream.fileno()
        return lambda place, size: os.pread(descriptor, size, place), allowed_threads()
    file.seek(first)
    return lambda _, size: file.read(size), 1


def _convert(raw: NDArray[Any], header: Mapping[str, Any], target: NDArray[Any]) -> None:
    if target.dtype.kind in "iu" and header.get("BZERO", 0) != 0:
        unsigned = np.dtype(f"u{target.dtype.itemsize}")
        sign = unsigned.type(1 << (8 * unsigned.itemsize - 1))  # an offset by half the range
        np.copyto(target.view(raw.dtype.newbyteorder("=")), raw)
        np.bitwise_xor(target.view(unsigned), sign, out=target.view(unsigned))
        return
    np.copyto(target, raw)
    if target.dtype.kind == "f":
        if header.get("BSCALE", 1) != 1:
            target *= header["BSCALE"]
        if header.get("BZERO", 0) != 0:
            target += header["BZERO"]
