"""CHECKSUM and DATASUM (FITS standard 4.0, section 4.4.2.7 and appendix J)."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_EXCLUDED: Final = frozenset(b":;<=>?@[\\]^_`")
_ALL: Final = 0xFFFFFFFF


def fold(total: int) -> int:
    """Return a sum of 32-bit words as a ones'-complement sum."""
    while total > _ALL:
        total = (total & _ALL) + (total >> 32)
    return total


def word_sum(values: NDArray[Any], position: int = 0) -> int:
    """Return the folded sum of the big-endian 32-bit words that native values make in a file.

    Parameters
    ----------
    values
        Contiguous, native-endian, of 1, 2, 4 or 8 bytes each; what lacks to a whole word
        counts as zero.
    position
        Bytes before them. Inside a word it turns the sum, because a ones'-complement sum
        of turned words is the turned sum.
    """
    size = values.dtype.itemsize
    flat = values.reshape(-1).view(f"u{size}")
    if size == 8:
        total = int(np.sum(flat >> np.uint64(32))) + int(np.sum(flat & np.uint64(_ALL)))
    else:
        per_word = 4 // size
        total = sum(
            int(np.sum(flat[part::per_word], dtype=np.uint64)) << (8 * size * (per_word - 1 - part))
            for part in range(per_word)
        )
    total, turn = fold(total), 8 * (position % 4)
    return (total >> turn) | (total << (32 - turn) & _ALL)


def byte_sum(data: bytes) -> int:
    """Return the folded sum of a block of bytes, whose length is a multiple of four."""
    return fold(int(np.sum(np.frombuffer(data, ">u4"), dtype=np.uint64)))


def encode(total: int) -> str:
    """Return the 16 characters that make a unit with this sum add up to zero."""
    word = _ALL - fold(total)
    characters = bytearray(16)
    for i, shift in enumerate((24, 16, 8, 0)):
        byte = word >> shift & 0xFF
        four = [byte // 4 + ord("0")] * 4
        four[0] += byte % 4
        while any(character in _EXCLUDED for character in four):
            for j in (0, 2):
                if four[j] in _EXCLUDED or four[j + 1] in _EXCLUDED:
                    four[j] += 1
                    four[j + 1] -= 1
        for j in range(4):
            characters[4 * j + i] = four[j]
    return (characters[-1:] + characters[:-1]).decode("ascii")
