"""`Index`: the rules of a store as an SQL table, for looking files up and for queries."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import tomllib
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from csstcore.references.rules import is_inside

_SCHEMA = """
CREATE TABLE rule (
    type TEXT NOT NULL, number INTEGER NOT NULL, file TEXT NOT NULL, sha256 TEXT NOT NULL,
    match TEXT NOT NULL, useafter TEXT, PRIMARY KEY (type, number)
) WITHOUT ROWID;
CREATE INDEX rule_sha256 ON rule (sha256);
CREATE TABLE frozen (
    context TEXT NOT NULL, type TEXT NOT NULL, file TEXT NOT NULL, sha256 TEXT NOT NULL
);
CREATE TABLE source (fingerprint TEXT NOT NULL);
"""

_FILES = "SELECT file, sha256 FROM rule UNION SELECT file, sha256 FROM frozen"


class Index:
    """The file ``index.sqlite`` of a store; the rule files stay the truth."""

    def __init__(self, store: Path) -> None:
        self._store = store
        self._path = store / "index.sqlite"

    def refresh(self) -> None:
        """Rebuild the table if a rule file changed since, or if the index is missing or damaged."""
        files = {
            (path.parent.name, path.stem): path.read_bytes()
            for folder in ("rules", "contexts")
            for path in sorted((self._store / folder).glob("*.toml"))
            if path.is_file()
        }
        digest = hashlib.sha256()
        for key, content in files.items():
            digest.update(f"{'/'.join(key)}:{len(content)}\n".encode() + content)
        fingerprint = digest.hexdigest()
        with suppress(sqlite3.DatabaseError):
            if self._fingerprint() == fingerprint:
                return
        rows, frozen = [], []
        for (folder, name), content in files.items():
            if folder == "rules":
                rows += _rows(name, _table(content))
            else:
                frozen += _frozen(name, _table(content))
        # Built beside and renamed: who queries the old index neither waits nor is in the way.
        fresh = self._path.with_name(f".{self._path.name}.{os.getpid()}.part")
        fresh.unlink(missing_ok=True)
        with closing(sqlite3.connect(fresh)) as database, database:
            database.executescript(_SCHEMA)
            database.executemany("INSERT INTO rule VALUES (?, ?, ?, ?, ?, ?)", rows)
            database.executemany("INSERT INTO frozen VALUES (?, ?, ?, ?)", frozen)
            database.execute("INSERT INTO source VALUES (?)", (fingerprint,))
        os.replace(fresh, self._path)

    def name_of(self, sha256: str) -> str | None:
        """Return the name under which these bytes are stored, if they are."""
        with self._open() as database:
            row = database.execute(
                f"SELECT file FROM ({_FILES}) WHERE sha256 = ? ORDER BY file",  # noqa: S608
                (sha256,),
            ).fetchone()
        return None if row is None else str(row[0])

    def names(self) -> set[str]:
        """Return the names of all stored files."""
        with self._open() as database:
            return {str(name) for name, _ in database.execute(_FILES)}

    def _fingerprint(self) -> str:
        with self._open() as database:
            row = database.execute("SELECT fingerprint FROM source").fetchone()
        return "" if row is None else str(row[0])

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._path)) as database, database:
            yield database


def _table(content: bytes) -> dict[str, Any]:
    """Return the content of a TOML file; what is wrong in it is reported when it is read."""
    try:
        return tomllib.loads(content.decode("utf-8"))
    except (ValueError, RecursionError):  # of TOML or UTF-8
        return {}


def _rows(reference_type: str, table: dict[str, Any]) -> list[tuple[object, ...]]:
    return [
        (
            reference_type,
            number,
            str(rule.get("file", "")),
            str(rule.get("sha256", "")),
            json.dumps(rule.get("match", {}), sort_keys=True, default=str),
            None if rule.get("useafter") is None else str(rule["useafter"]),
        )
        for number, rule in enumerate(_list(table.get("rule")), 1)
        if isinstance(rule, dict) and is_inside(str(rule.get("file", "")))
    ]


def _frozen(context: str, table: dict[str, Any]) -> list[tuple[object, ...]]:
    return [
        (context, *row[:1], *row[2:4])
        for rules in _list(table.get("rules"))
        if isinstance(rules, dict) and isinstance(rules.get("reference"), dict)
        for row in _rows(str(rules["reference"].get("type", "")), rules)
    ]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
