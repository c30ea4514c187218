"""What csst-cpic declares."""

from __future__ import annotations

from csstcore.plugin import Stage, hookimpl


@hookimpl
def csst_stages() -> list[Stage]:
    """Return the stages of this plugin."""
    return []
