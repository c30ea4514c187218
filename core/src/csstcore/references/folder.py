"""`StoreFolder`: a directory of reference files and the rules over them.

::

    DIR/rules/calib.bias.toml          the rules of one reference type: they are the truth
    DIR/files/9f/bias_07.fits          a file, in a folder named after its sha256
    DIR/index.sqlite                   the rules as an SQL table; rebuilt when it is out of date

A rule file is replaced by a rename after the file it names is complete, so a reader in another
process sees the old rules or the new ones, and never a rule without its file.
"""

from __future__ import annotations

import fcntl
import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO

import tomlkit

from csstcore.definitions.write import write_whole
from csstcore.errors import ConfigurationError, ReferenceFileError
from csstcore.references.choose import Entry, overlap
from csstcore.references.digest import file_sha256
from csstcore.references.index import Index
from csstcore.references.rules import Condition, Rule, parse_rules, read_rules, toml_value

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")


class StoreFolder:
    """Reads and adds to a local store."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def rules_path(self, reference_type: str) -> Path:
        """Return where the rules of a type are, whether or not there are any."""
        return self.path / "rules" / f"{reference_type}.toml"

    def file_path(self, rule: Rule) -> Path:
        """Return where the file of a rule is."""
        return self.path / "files" / (rule.sha256 or "")[:2] / rule.file

    def entries(self, reference_type: str) -> list[Entry]:
        """Return the rules of a type in the order of the file; none if there is no file.

        Raises
        ------
        ConfigurationError
            If the store does not exist, or naming everything wrong in the rule file.
        """
        if not self.path.is_dir():
            raise ConfigurationError(f"reference store {self.path}: no such folder")
        path = self.rules_path(reference_type)
        if not path.exists():
            return []
        rules = read_rules(path, reference_type, need_sha256=True)
        return [
            Entry(reference_type, rule, self.file_path(rule), "store", path, number)
            for number, rule in enumerate(rules.rule, 1)
        ]

    def add(
        self,
        reference_type: str,
        file: Path,
        match: dict[str, Condition],
        useafter: datetime | None,
    ) -> Entry:
        """Store a file and append its rule; the same bytes are stored once.

        Adding what is already there changes nothing.

        Raises
        ------
        ReferenceFileError
            If the file cannot be read, or if another rule would make the choice ambiguous.
        """
        if not _NAME.fullmatch(file.name):
            raise ReferenceFileError(
                f"reference file {file}: the name may hold letters, digits and . _ + - only"
            )
        sha256 = file_sha256(file)
        with self._writing():
            index = Index(self.path)
            index.refresh()
            known = index.name_of(sha256)
            name = known or _free_name(file.name, sha256, index.names())
            rule = Rule(file=name, sha256=sha256, match=match, useafter=useafter)
            entries = self.entries(reference_type)
            for entry in entries:
                if entry.rule == rule:
                    return entry
                if overlap(entry.rule, rule):
                    raise ReferenceFileError(
                        f"{reference_type}: {file} would be ambiguous with {entry}: an observation "
                        "can match both, and useafter is the same"
                    )
            self._store(file, rule)
            self._append(reference_type, rule)
            index.refresh()
        path = self.rules_path(reference_type)
        return Entry(reference_type, rule, self.file_path(rule), "store", path, len(entries) + 1)

    def _store(self, file: Path, rule: Rule) -> None:
        """Copy a file to its place unless the same bytes are there."""
        target = self.file_path(rule)
        if target.exists() and file_sha256(target) == rule.sha256:
            return

        def copy(stream: IO[bytes]) -> None:
            digest = hashlib.sha256()
            with file.open("rb") as source:
                while block := source.read(1 << 20):
                    digest.update(block)
                    stream.write(block)
            if digest.hexdigest() != rule.sha256:
                raise ReferenceFileError(f"reference file {file}: changed while it was added")

        write_whole(target, copy)

    def _append(self, reference_type: str, rule: Rule) -> None:
        """Append a rule to its file, keeping what people wrote there."""
        path = self.rules_path(reference_type)
        if path.exists():
            before = path.read_text(encoding="utf-8").rstrip("\n") + "\n"
        else:
            before = tomlkit.dumps({"reference": {"type": reference_type}})
        after = f"{before}\n{rule_text(rule)}".encode()
        parse_rules(after, path, reference_type, need_sha256=True)

        def write(stream: IO[bytes]) -> None:
            stream.write(after)

        write_whole(path, write)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Let one process write at a time; the lock ends with the process."""
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def rule_text(rule: Rule) -> str:
    """Return a rule as TOML."""
    table = tomlkit.table()
    table["file"] = rule.file
    if rule.sha256 is not None:
        table["sha256"] = rule.sha256
    if rule.match:
        match = tomlkit.inline_table()
        match.update({field: toml_value(value) for field, value in rule.match.items()})
        table["match"] = match
    if rule.useafter is not None:
        table["useafter"] = rule.useafter
    rules = tomlkit.aot()
    rules.append(table)
    return tomlkit.dumps({"rule": rules})


def _free_name(name: str, sha256: str, taken: set[str]) -> str:
    """Return a name no other file of the store has, so that headers are unmistakable."""
    if name not in taken:
        return name
    stem, dot, suffix = name.partition(".")
    return f"{stem}-{sha256[:8]}{dot}{suffix}"
