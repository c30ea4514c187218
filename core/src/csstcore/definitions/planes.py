"""Arrays from the data of image units: native-endian, C-contiguous, one pass, no copy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import IO, Any, Final

import numpy as np
from numpy.typing import NDArray

from csstcore.definitions.fitsfile import Hdu
from csstcore.definitions.model import Form, HduModel

CHUNK: Final = 1 << 18
"""Elements handled at a time: small enough to stay in the processor's cache."""

PLANE_TYPES: Final[dict[str, str]] = {"flags": "uint16", "variance": "float32", "mask": "bool"}
"""Types that planes have in memory, whatever the file holds."""

_OFFSETS: Final[dict[tuple[str, int], tuple[str, np.unsignedinteger[Any]]]] = {
    ("i2", 32768): ("uint16", np.uint16(0x8000)),
    ("i4", 2147483648): ("uint32", np.uint32(0x80000000)),
    ("u1", -128): ("int8", np.uint8(0x80)),
}
"""Stored type and BZERO that together mean an integer type FITS does not have."""


class WrongPlane(ValueError):
    """The data of a unit are not what is declared; the message says found and expected."""


def natural_type(unit: Hdu) -> np.dtype[Any]:
    """Return the type of the values that a unit stands for."""
    zero, scale = _scaling(unit)
    if scale == 1 and zero == 0:
        return np.dtype(unit.dtype)
    if scale == 1 and (unit.dtype, zero) in _OFFSETS:
        return np.dtype(_OFFSETS[unit.dtype, int(zero)][0])
    wide = unit.dtype in ("i4", "i8", "f8")
    return np.dtype("float64" if wide else "float32")


def memory_type(unit: Hdu, hdu: HduModel) -> np.dtype[Any]:
    """Return the type the plane has in memory.

    Raises
    ------
    WrongPlane
        If the file's type cannot become the declared one without loss of kind.
    """
    natural = natural_type(unit)
    fixed = PLANE_TYPES.get(hdu.plane or "")
    if fixed is not None:
        expected, lossless = np.dtype(fixed), (natural.kind in "iu") == (fixed != "float32")
    else:
        expected = np.dtype(hdu.dtype) if hdu.dtype is not None else natural
        lossless = np.can_cast(natural, expected, "same_kind")
    if not lossless:
        raise WrongPlane(f"found {natural.name}, expected {hdu.dtype or expected.name}")
    return expected


def read_plane(stream: IO[bytes], unit: Hdu, hdu: HduModel) -> NDArray[Any]:
    """Read the array of an image unit.

    Parameters
    ----------
    stream
        The open file.
    unit
        Where the data lie and how they are stored.
    hdu
        What they are declared to be.

    Returns
    -------
    array
        Shape as stored; inverse variances and standard deviations as variances.

    Raises
    ------
    WrongPlane
        If the type does not fit, or flags do not fit into 16 bits.
    """
    natural = natural_type(unit)
    out = np.empty(unit.shape, memory_type(unit, hdu))
    flat = out.reshape(-1)
    stored = np.dtype(unit.dtype)
    zero, scale = _scaling(unit)
    offset = _OFFSETS.get((unit.dtype, int(zero))) if scale == 1 else None
    in_place = natural == out.dtype and natural.itemsize == stored.itemsize
    buffer = np.empty(0 if in_place else min(CHUNK, flat.size), stored)
    finish = _FINISH[hdu.form] if hdu.plane == "variance" else None
    stream.seek(unit.offset)
    for part in _parts(flat.size):
        target = flat[part]
        raw = target.view(stored) if in_place else buffer[: target.size]
        _fill(stream, raw)
        if stored.itemsize > 1:
            raw.byteswap(inplace=True)
        if offset is not None:
            bits = raw.view(offset[1].dtype)
            np.bitwise_xor(bits, offset[1], out=bits)
        if not in_place:
            _convert(raw, target, natural, zero, scale, offset is not None)
        if finish is not None:
            finish(target)
    return out


def _scaling(unit: Hdu) -> tuple[float, float]:
    zero, scale = unit.values.get("BZERO", 0), unit.values.get("BSCALE", 1)
    for keyword, value in (("BZERO", zero), ("BSCALE", scale)):
        if type(value) not in (int, float) or not np.isfinite(value):
            raise WrongPlane(f"{keyword} is {value!r}, expected a number")
    return zero, scale


def _parts(size: int) -> Iterator[slice]:
    for start in range(0, size, CHUNK):
        yield slice(start, min(start + CHUNK, size))


def _fill(stream: IO[bytes], raw: NDArray[Any]) -> None:
    """Read exactly the bytes of `raw`."""
    view = raw.view(np.uint8).data
    read: Callable[[memoryview], int | None] = stream.readinto  # type: ignore[attr-defined]
    done = 0
    while done < len(view):
        count = read(view[done:])
        if not count:
            raise WrongPlane(f"the file ended {len(view) - done} bytes early")
        done += count


def _convert(
    raw: NDArray[Any],
    target: NDArray[Any],
    natural: np.dtype[Any],
    zero: float,
    scale: float,
    shifted: bool,
) -> None:
    """Put stored values into an array of another type."""
    if shifted:
        values = raw.view(natural)
    elif (zero, scale) == (0, 1):
        values = raw
    else:
        values = raw.astype(natural)
        values *= natural.type(scale)
        values += natural.type(zero)
    if target.dtype == np.uint16 and values.dtype != np.uint16:
        if values.dtype == np.int16:
            values = values.view(np.uint16)
        elif values.size and (values.min() < 0 or values.max() > 0xFFFF):
            raise WrongPlane("flags do not fit into 16 bits")
    np.copyto(target, values, casting="unsafe")


def _keep(values: NDArray[np.float32]) -> None:
    """Leave variances as they are."""


def _from_inverse(values: NDArray[np.float32]) -> None:
    """Make variances of inverse variances; no weight is infinite variance."""
    positive = values > 0
    np.divide(np.float32(1), values, out=values, where=positive)
    np.copyto(values, np.float32(np.inf), where=~positive)


def _from_deviation(values: NDArray[np.float32]) -> None:
    """Make variances of standard deviations."""
    np.multiply(values, values, out=values)


_FINISH: Final[dict[Form, Callable[[NDArray[np.float32]], None]]] = {
    "variance": _keep,
    "inverse_variance": _from_inverse,
    "standard_deviation": _from_deviation,
}
