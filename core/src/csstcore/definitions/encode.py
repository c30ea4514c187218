"""Planes as the bytes of image units, block by block: a plane is never copied whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import astropy.units as u
import numpy as np
from numpy.typing import NDArray

from csstcore.definitions.model import Form, HduModel
from csstcore.definitions.planes import CHUNK
from csstcore.definitions.units import parse_unit

Block = NDArray[Any]

_UNSIGNED: Final[dict[str, tuple[int, np.unsignedinteger[Any]]]] = {
    "uint16": (32768, np.uint16(0x8000)),
    "uint32": (2147483648, np.uint32(0x80000000)),
}
_BITPIX: Final = {"u1": 8, "i2": 16, "i4": 32, "i8": 64, "f4": -32, "f8": -64}


@dataclass(frozen=True)
class Layout:
    """How a plane is stored."""

    dtype: np.dtype[Any]
    """Type the values stand for."""
    shape: tuple[int, ...]

    @property
    def zero(self) -> int | None:
        """BZERO of an unsigned type."""
        return _UNSIGNED[self.dtype.name][0] if self.dtype.name in _UNSIGNED else None

    @property
    def bitpix(self) -> int:
        """BITPIX."""
        kind = self.dtype.str[1:].replace("u2", "i2").replace("u4", "i4").replace("b1", "u1")
        return _BITPIX[kind]


def layout(hdu: HduModel, planes: Sequence[Block]) -> Layout:
    """Return how the planes of a unit (several if it is split) are stored.

    Raises
    ------
    ValueError
        If their type or shape is not the declared one.
    """
    first = planes[0]
    dtype = np.dtype(hdu.dtype) if hdu.dtype is not None else first.dtype
    whole = hdu.plane == "flags" and dtype.kind in "iu" and first.dtype.kind in "iu"
    if not whole and not np.can_cast(first.dtype, dtype, "same_kind"):
        raise ValueError(f"found {first.dtype.name}, expected {dtype.name}")
    for plane in planes:
        if plane.shape != (hdu.shape or first.shape):
            raise ValueError(f"found shape {plane.shape}, expected {hdu.shape or first.shape}")
    shape = (len(planes), *first.shape) if hdu.split else first.shape
    result = Layout(dtype.newbyteorder("="), shape)
    if dtype.name not in _UNSIGNED and dtype.str[1:] not in (*_BITPIX, "b1"):
        raise ValueError(f"FITS cannot hold {dtype.name}")
    return result


def blocks(
    hdu: HduModel,
    stored: Layout,
    planes: Sequence[Block],
    flags: Sequence[Block | None],
    factor: float,
    bits: NDArray[np.uint16] | None,
) -> Iterator[Block]:
    """Yield native blocks of stored values, in file order and cache-sized.

    Parameters
    ----------
    hdu
        The unit.
    stored
        Its layout.
    planes
        The planes of the unit, native-endian; they are not changed.
    flags
        Flags of each product, for ``zero_where_flagged``.
    factor
        Multiplies the values to get the declared unit.
    bits
        Flag values of the file by those of the product, shape (65536,); None if equal.
    """
    offset = _UNSIGNED.get(stored.dtype.name)
    for plane, mask in zip(planes, flags, strict=True):
        rows = max(1, CHUNK // max(1, plane[0].size))
        for start in range(0, len(plane), rows):
            part = plane[start : start + rows]
            if hdu.plane == "variance":
                block = _TO_FORM[hdu.form](part, factor)
            elif hdu.plane == "flags" and bits is not None:
                block = bits[part]
            else:
                block = part if factor == 1.0 else part * part.dtype.type(factor)
            if hdu.zero_where_flagged and mask is not None:
                if block is part:
                    block = part.copy()
                block[mask[start : start + rows] != 0] = 0
            block = _as_stored(block, part, stored.dtype)
            if offset is not None:
                words = block.view(offset[1].dtype)
                np.bitwise_xor(words, offset[1], out=words)
            yield block


def _as_stored(block: Block, part: Block, dtype: np.dtype[Any]) -> Block:
    """Return a fresh contiguous block of the stored type."""
    narrow = block.dtype == np.uint16 and dtype.kind in "iu" and dtype != np.uint16
    if narrow and block.size and int(block.max()) > np.iinfo(dtype).max:
        raise ValueError(f"flag {int(block.max())} does not fit into {dtype.name}")
    shares = block is part or block.base is not None
    return block.astype(dtype, order="C", copy=shares)


def flag_table(
    product: Mapping[str, int], file: Mapping[str, int], planes: Sequence[NDArray[np.uint16]]
) -> NDArray[np.uint16] | None:
    """Return the file's flag value for every value of the product; None if they agree.

    Raises
    ------
    ValueError
        If a flag is set that the file has no name for.
    """
    if not file:
        return None
    used = 0
    for plane in planes:
        used |= int(np.bitwise_or.reduce(plane, axis=None))
    names = {value: name for name, value in product.items()}
    for bit in (1 << n for n in range(16)):
        if used & bit and names.get(bit) not in file:
            called = repr(names[bit]) if bit in names else f"bit {bit}, which has no name,"
            raise ValueError(f"flag {called} is set, but the file has only {', '.join(file)}")
    if all(file.get(name, value) == value for name, value in product.items()):
        return None
    table = np.zeros(65536, np.uint16)
    values = np.arange(65536, dtype=np.uint32)
    for name in product.keys() & file.keys():
        table[values & product[name] != 0] |= np.uint16(file[name])
    return table


def unit_factor(found: u.UnitBase, declared: str | None) -> float:
    """Return what values must be multiplied with to be in the declared unit.

    Raises
    ------
    ValueError
        If the units do not convert into each other.
    """
    if declared is None:
        return 1.0
    try:
        return float(found.to(parse_unit(declared)))
    except u.UnitConversionError:
        raise ValueError(
            f"found the unit {found.to_string() or 'none'!r}, expected {declared!r}"
        ) from None


def _variance(part: Block, factor: float) -> Block:
    return part if factor == 1.0 else part * np.float32(factor**2)


def _inverse(part: Block, factor: float) -> Block:
    """Return weights; what has no positive variance gets none."""
    weight = np.zeros(part.shape, part.dtype)
    np.divide(part.dtype.type(factor**-2), part, out=weight, where=part > 0)
    return weight


def _deviation(part: Block, factor: float) -> Block:
    deviation = np.sqrt(part)
    deviation *= part.dtype.type(factor)
    return np.asarray(deviation)


_TO_FORM: Final[dict[Form, Callable[[Block, float], Block]]] = {
    "variance": _variance,
    "inverse_variance": _inverse,
    "standard_deviation": _deviation,
}
