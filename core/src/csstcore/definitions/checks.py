"""`CheckResult`: the outcome of a check."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CheckResult:
    """The number a check gave, its limits, and whether it lies within them."""

    id: str
    use: str
    """Full name of the check."""
    value: float | None
    """None if the check could not be made."""
    minimum: float | None
    maximum: float | None
    ok: bool
    why: str = ""
    """Why it failed or could not be made."""
