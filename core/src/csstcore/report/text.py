"""How the report writes numbers."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any


def number(value: Any) -> str:
    """Return a metric or check value with at most six significant digits."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}".replace("e-0", "e-").replace("e+0", "e")
    if isinstance(value, int):
        return f"{value:,}".replace(",", "\u202f") if abs(value) >= 10_000 else str(value)
    return str(value)


def seconds(value: float) -> str:
    """Return a time: ``0.01 s``, ``12.3 s``, ``3 min 05 s``, ``2 h 07 min``."""
    if value < 0.995:
        return f"{value:.2f} s"
    if value < 99.95:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def size(value: float) -> str:
    """Return a number of bytes: ``12 kB``, ``340 MB``, ``2.35 GB``."""
    if not value:
        return "–"
    for unit, factor, digits in (("GB", 1e9, 2), ("MB", 1e6, 0)):
        if value >= factor:
            return f"{value / factor:.{digits}f} {unit}"
    return f"{value / 1e3:.0f} kB"


def limits(check: Any) -> str:
    """Return the limits of a check: ``0 … 5``, ``≥ 3``, ``≤ 5``, or nothing."""
    low, high = check["minimum"], check["maximum"]
    if low is not None and high is not None:
        return f"{number(low)} … {number(high)}"
    if low is not None:
        return f"≥ {number(low)}"
    return "" if high is None else f"≤ {number(high)}"


def keys(record: Any) -> str:
    """Return the keys of a job: ``obs_id 10100000000, detector 7``."""
    return ", ".join(f"{key} {value}" for key, value in record["keys"].items())


def moment(iso: str) -> str:
    """Return an ISO time to the second: ``2027-01-01 12:00:00 UTC``."""
    if not iso:
        return ""
    return f"{datetime.fromisoformat(iso).astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
