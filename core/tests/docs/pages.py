"""The pages of the documentation, and the marked code blocks in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"

_BLOCK = re.compile(r"(?:<!-- check: ([\w. -]+) -->\n)?^```(\w+)\n(.*?)^```$", re.MULTILINE | re.S)


@dataclass(frozen=True)
class Block:
    """A fenced block of code."""

    page: str
    line: int
    check: str
    """What the comment before it says it is; empty without one."""
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def pages() -> dict[str, str]:
    """The text of every page by its name, that of the README included."""
    files = [path for path in DOCS.rglob("*.md") if "_build" not in path.parts]
    files = sorted([*files, ROOT / "README.md"])
    return {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in files}


def blocks(language: str = "", check: str = "") -> list[Block]:
    """All blocks of a language, or of a check."""
    found = [
        Block(page, text[: match.start(2)].count("\n") + 1, match[1] or "", match[2], match[3])
        for page, text in pages().items()
        for match in _BLOCK.finditer(text)
    ]
    return [b for b in found if language in ("", b.language) and check in ("", b.check)]


def section(page: str, heading: str) -> str:
    """The text below a heading of a page, up to the next heading of the same level or above."""
    match = re.search(rf"^(#+) {re.escape(heading)}$", pages()[page], re.MULTILINE)
    assert match is not None, f"{page} has no heading {heading!r}"
    rest = pages()[page][match.end() :]
    following = re.search(rf"^#{{1,{len(match[1])}}} ", rest, re.MULTILINE)
    return rest[: following.start()] if following else rest


def first_cells(text: str) -> set[str]:
    """The names in backticks in the first column of the tables in a text."""
    rows = re.findall(r"^\|(.*?)(?<!\\)\|", text, re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row)}
