"""The directive ``proposed``: what the definitions and references mark as proposed, and where."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docutils import nodes
from docutils.parsers.rst import Directive

if TYPE_CHECKING:
    from sphinx.application import Sphinx

ROOT = Path(__file__).parents[2]
_COMMENTED = re.compile(r'^\s*"?([A-Za-z_][\w{}:]*)"?\s*=.*#.*\bproposed\b', re.MULTILINE)


def found() -> Iterator[tuple[str, list[str]]]:
    """Yield every TOML file of the plugins that marks something, with the names it marks."""
    for path in sorted((ROOT / "plugins").glob("*/src/**/*.toml")):
        text = path.read_text(encoding="utf-8")
        names = [*marked(tomllib.loads(text), ""), *_COMMENTED.findall(text)]
        if names:
            yield str(path.relative_to(ROOT)), list(dict.fromkeys(names))


def marked(value: Any, name: str) -> Iterator[str]:
    """Yield the names of all tables that hold ``proposed = true``."""
    if isinstance(value, dict):
        own = str(value.get("id") or value.get("name") or name)
        if value.get("proposed") is True:
            yield own
        for key, child in value.items():
            yield from marked(child, key)
    elif isinstance(value, list):
        for child in value:
            yield from marked(child, name)


class Proposed(Directive):
    """A table: file, and the keywords, columns, checks and numbers it marks."""

    def run(self) -> list[nodes.Node]:
        """Return the table."""
        group = nodes.tgroup(cols=2)
        group += [nodes.colspec(colwidth=35), nodes.colspec(colwidth=65)]
        head, body = nodes.thead(), nodes.tbody()
        head += _row(nodes.paragraph(text="file"), nodes.paragraph(text="marked as proposed"))
        for path, names in found():
            listed = nodes.paragraph()
            for name in names:
                listed += [nodes.literal(text=name), nodes.Text(" ")]
            shown = path.replace("/", "/\N{ZERO WIDTH SPACE}")
            body += _row(nodes.paragraph("", shown), listed)
        group += [head, body]
        return [nodes.table("", group, classes=["table"])]


def _row(*cells: nodes.Node) -> nodes.row:
    row = nodes.row()
    row += [nodes.entry("", cell) for cell in cells]
    return row


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("proposed", Proposed)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
