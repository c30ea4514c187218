"""Bits of the flags of channels, and of whole dumps in the column ``flag``."""

from __future__ import annotations

from typing import Final

FLAG_BITS: Final[dict[str, int]] = {
    "bad_channel": 1,
    "spur": 2,
    "cosmic_ray": 4,
    "unstable_gain": 8,
    "no_load": 16,
    "off_line": 32,
    "pointing": 64,
    "saturated": 128,
}
"""Names and values; proposed, as no public document of the instrument gives them."""
