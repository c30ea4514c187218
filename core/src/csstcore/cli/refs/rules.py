"""Rules as lines of text and as JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from csstcore.references.choose import Entry


def conditions(entry: Entry) -> str:
    """Return what a rule matches, as one line."""
    table = plain(entry)
    parts = [
        f"{field} = {json.dumps(value, default=str)}" for field, value in table["match"].items()
    ]
    if table["useafter"]:
        parts.append(f"useafter {table['useafter']}")
    return ", ".join(parts) or "any observation"


def plain(entry: Entry) -> dict[str, Any]:
    """Return a rule for JSON."""
    from csstcore.references.rules import toml_value

    start = entry.rule.useafter
    return {
        "type": entry.type,
        "source": entry.source,
        "rules": str(entry.rules),
        "rule": entry.number,
        "file": entry.rule.file,
        "path": str(entry.path),
        "sha256": entry.rule.sha256,
        "match": {field: toml_value(value) for field, value in entry.rule.match.items()},
        "useafter": None if start is None else start.isoformat(),
    }
