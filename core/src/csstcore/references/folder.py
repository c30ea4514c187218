"""`StoreFolder`: a directory of reference files and the rules over them.

::

    DIR/rules/calib.bias.toml          the rules of one reference type: they are the truth
    DIR/files/9f/bias_07.fits          a file, in a folder named after its sha256
    DIR/contexts/2027-06.toml          the rules as they were when this context was frozen
    DIR/index.sqlite                   the rules as an SQL table; rebuilt when it is out of date

A rule file is replaced by a rename after the file it names is complete, so a reader in another
process sees the old rules or the new ones, and never a rule without its file.
"""

from __future__ import annotations

import fcntl
import hashlib
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO

import tomlkit

from csstcore.definitions.write import write_whole
from csstcore.errors import ConfigurationError, ReferenceFileError
from csstcore.references.choose import Entry, overlap
from csstcore.references.context import (
    context_name,
    context_text,
    entries_of,
    read_context,
    rule_line,
    rule_table,
)
from csstcore.references.digest import file_sha256
from csstcore.references.index import Index
from csstcore.references.library import Library, file_name, rules_name
from csstcore.references.rules import Rule, parse_rules

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")


class StoreFolder:
    """A local store: a `Library` that can also be added to."""

    def __init__(self, path: Path) -> None:
        self._folder = path

    def path(self, name: str) -> Path:
        """Return where a file of the store is, whether or not it exists."""
        return self._folder / name

    def read(self, name: str) -> bytes | None:
        """Return the text of a rule file or context; None if there is none.

        Raises
        ------
        ConfigurationError
            If the store does not exist, or the file cannot be read.
        """
        if not self._folder.is_dir():
            raise ConfigurationError(f"reference store {self._folder}: no such folder")
        path = self.path(name)
        try:
            return path.read_bytes() if path.exists() else None
        except OSError as error:
            raise ConfigurationError(f"{path}: {error.strerror}") from error

    def fetch(self, name: str) -> Path | None:
        """Return the path of a reference file if it is there."""
        path = self.path(name)
        return path if path.is_file() else None

    def add(self, reference_type: str, file: Path, rule: Rule) -> Entry:
        """Store a file and append its rule; the same bytes are stored once.

        Adding what is already there changes nothing.

        Parameters
        ----------
        reference_type
            Full name of the type.
        file
            The file to add.
        rule
            Its rule; name and sha256 of the stored file are filled in here.

        Raises
        ------
        ReferenceFileError
            If the file cannot be read, or if another rule would make the choice ambiguous.
        """
        if not _NAME.fullmatch(file.name):
            raise ReferenceFileError(
                f"reference file {file}: the name may hold letters, digits and . _ + - only"
            )
        with self._writing() as index:
            rule = self._named(rule, file, index)
            entries = store_entries(self, reference_type)
            for entry in entries:
                if entry.rule == rule:
                    self._store(file, rule)
                    return entry
                if overlap(entry.rule, rule):
                    raise ReferenceFileError(
                        f"{reference_type}: {file} would be ambiguous with {entry}: an observation "
                        "can match both, and useafter is the same; give a later --useafter, or "
                        "delete that rule"
                    )
            after = self._appended(reference_type, rule)
            self._store(file, rule)
            self._write(rules_name(reference_type), after)
            index.refresh()
        return store_entries(self, reference_type)[len(entries)]

    def freeze(self, name: str, entries: Iterable[Entry]) -> Path:
        """Keep rules as a context, with a copy of every shipped file.

        Freezing the same rules again changes nothing.

        Raises
        ------
        ConfigurationError
            If there is another context of this name.
        """
        kept = context_name(name)
        with self._writing() as index:
            frozen = []
            for entry in entries:
                rule = entry.rule
                if entry.source == "shipped":
                    rule = self._named(rule, entry.path, index)
                    self._store(entry.path, rule)
                frozen.append(replace(entry, rule=rule))
            if self.path(kept).exists():
                before = sorted((e.type, e.source, rule_line(e)) for e in read_context(self, name))
                if before != sorted((e.type, e.source, rule_line(e)) for e in frozen):
                    raise ConfigurationError(
                        f"there is another context {name!r} already; contexts never change"
                    )
                return self.path(kept)
            self._write(kept, context_text(name, frozen))
            index.refresh()
        return self.path(kept)

    def _named(self, rule: Rule, file: Path, index: Index) -> Rule:
        """Return the rule with the checksum of a file and the name that it has in the store.

        No two files of a store share a name, so that headers are unmistakable.
        """
        sha256 = file_sha256(file)
        name = index.name_of(sha256) or file.name
        path = self.path(file_name(rule.model_copy(update={"file": name, "sha256": sha256})))
        taken = name in index.names() or (path.exists() and file_sha256(path) != sha256)
        if taken and index.name_of(sha256) is None:
            stem, dot, suffix = name.partition(".")
            name = f"{stem}-{sha256[:8]}{dot}{suffix}"
        return rule.model_copy(update={"file": name, "sha256": sha256})

    def _store(self, file: Path, rule: Rule) -> None:
        """Copy a file to its place unless the same bytes are there."""
        target = self.path(file_name(rule))
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

    def _appended(self, reference_type: str, rule: Rule) -> bytes:
        """Return the rule file with one more rule, keeping what people wrote there."""
        name = rules_name(reference_type)
        before = self.read(name)
        if before is None:
            before = tomlkit.dumps({"reference": {"type": reference_type}}).encode()
        rules = tomlkit.aot()
        rules.append(tomlkit.item(rule_table(rule)))
        text = tomlkit.dumps({"rule": rules}).encode()
        after = before.rstrip(b"\n") + b"\n\n" + text
        parse_rules(after, self.path(name), reference_type, need_sha256=True)
        return after

    def _write(self, name: str, content: bytes) -> None:
        def write(stream: IO[bytes]) -> None:
            stream.write(content)

        write_whole(self.path(name), write)

    @contextmanager
    def _writing(self) -> Iterator[Index]:
        """Let one process write at a time; the lock ends with the process."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            index = Index(self._folder)
            index.refresh()
            yield index


def store_entries(library: Library, reference_type: str) -> list[Entry]:
    """Return the rules of a type in a store, in the order of the file; none if it has none.

    Raises
    ------
    ConfigurationError
        If the store does not exist, or naming everything wrong in the rule file.
    """
    name = rules_name(reference_type)
    content = library.read(name)
    if content is None:
        return []
    rules = parse_rules(content, library.path(name), reference_type, need_sha256=True)
    return list(entries_of(rules, library.path(name), "store", library))
