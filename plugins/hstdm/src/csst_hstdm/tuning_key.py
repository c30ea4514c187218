"""The key by which Level 1 files of one target are kept apart: line and sideband."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def tuning_key(header: Mapping[str, Any]) -> str | None:
    """Return the rest frequency in MHz with the sideband, as in ``492161USB``; None if unknown.

    Parameters
    ----------
    header
        With RESTFREQ (Hz) and SIDEBAND. The local oscillator follows the velocity of the source, so
        it is no part of the key.
    """
    rest_hz, sideband = header.get("RESTFREQ"), header.get("SIDEBAND")
    if not isinstance(rest_hz, (int, float)) or not rest_hz > 0 or not sideband:
        return None
    return f"{rest_hz / 1e6:.0f}{str(sideband).strip()}"
