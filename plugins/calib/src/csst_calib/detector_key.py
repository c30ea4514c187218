"""The detector's identifier in a reference's header: a number or a name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def detector(header: Mapping[str, Any]) -> int | str | None:
    """Return the keyword ``DETECTOR`` as a whole number if it is written as one.

    Rules compare it with the detector of an observation, which is a number for some
    instruments and a name for others; ``"07"`` stays a name.
    """
    value = str(header.get("DETECTOR", "N/A")).strip()
    if value in ("", "N/A"):
        return None
    return int(value) if value.isascii() and value.isdigit() and str(int(value)) == value else value
