"""Everything that is wrong with a whole store, and how two sets of rules differ."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

from csstcore.errors import CsstError, ReferenceFileError, nearest
from csstcore.plugin import ReferenceType
from csstcore.references.adding import meta_of
from csstcore.references.choose import Entry, contradictions, overlap
from csstcore.references.context import read_context, rule_line
from csstcore.references.digest import file_sha256
from csstcore.references.folder import StoreFolder
from csstcore.references.kinds import reference_problems
from csstcore.references.rules import Range, instant
from csstcore.references.store import ReferenceStore

if TYPE_CHECKING:
    from csstcore.definitions.catalog import Definitions

RuleKey = tuple[str, str, str]
"""Reference type, source, and everything of a rule that decides."""


def store_problems(store: ReferenceStore, folder: Path, definitions: Definitions) -> list[str]:
    """Return everything wrong with rules, files and contexts of a local store.

    Every file is hashed and checked as it would be when added; rules are checked for pairs
    between which no choice is possible, and for those that no observation can match.
    """
    known = store.registry.declared(ReferenceType)
    problems = [
        f"{path}: no plugin declares the reference type {path.stem!r}{nearest(path.stem, known)}"
        for path in sorted((folder / "rules").glob("*.toml"))
        if path.stem not in known
    ]
    checked: dict[tuple[str, Path], None] = {}
    for name in known:
        try:
            for tier in store.tiers(name):
                problems += _rule_problems(tier.entries)
                checked |= {(name, entry.path): None for entry in tier.entries}
                for entry in tier.entries:
                    problems += _file_problems(entry, store, definitions)
        except CsstError as error:
            problems.append(str(error))
    library = StoreFolder(folder)
    for path in sorted((folder / "contexts").glob("*.toml")):
        try:
            entries = read_context(library, path.stem)
        except CsstError as error:
            problems.append(str(error))
            continue
        for entry in entries:
            if (entry.type, entry.path) not in checked:
                problems += [f"context {path.stem}: {text}" for text in _damage(entry)]
    return list(dict.fromkeys(problems))


def differing_rules(old: Iterable[Entry], new: Iterable[Entry]) -> tuple[list[Entry], list[Entry]]:
    """Return the rules that only the one and only the other of two sets has."""
    before, after = ({_key(entry): entry for entry in entries} for entries in (old, new))
    return (
        [entry for key, entry in before.items() if key not in after],
        [entry for key, entry in after.items() if key not in before],
    )


def _key(entry: Entry) -> RuleKey:
    return (entry.type, entry.source, rule_line(entry))


def _rule_problems(entries: list[Entry]) -> Iterator[str]:
    """Yield ambiguous pairs of rules, and rules that can never match."""
    by_start: dict[float, list[Entry]] = {}
    for entry in entries:
        by_start.setdefault(entry.start, []).append(entry)
        limits = entry.rule.match.get("time")
        last = limits.maximum if isinstance(limits, Range) else None
        if last is not None and instant(last) < entry.start and not entry.nearest:
            yield f"{entry.type}: {entry} matches nothing: useafter is after time.maximum"
    for alike in by_start.values():
        for first, second in _near_pairs(alike, frozenset(alike[0].rule.match)):
            if overlap(first.rule, second.rule):
                yield f"{first.type}: {first} and {second} are ambiguous for some observation"


def _near_pairs(entries: list[Entry], fields: frozenset[str]) -> Iterator[tuple[Entry, Entry]]:
    """Yield all pairs that may overlap, some more than once.

    Rules that list alternatives for a field are compared with those that share one, so that
    thousands of rules need not all be compared with each other.
    """
    listed = (f for f in sorted(fields) if all(_alternatives(entry, f) for entry in entries))
    field = next(listed, None)
    if field is None or len(entries) < 3:
        yield from combinations(entries, 2)
        return
    sharing: dict[object, list[Entry]] = {}
    for entry in entries:
        for value in _alternatives(entry, field):
            sharing.setdefault(value, []).append(entry)
    for alike in sharing.values():
        yield from _near_pairs(alike, fields - {field})


def _alternatives(entry: Entry, field: str) -> frozenset[object]:
    """Return the values that a rule lists for a field; none if it has no condition or a range."""
    condition = entry.rule.match.get(field)
    return frozenset(condition) if isinstance(condition, tuple) else frozenset()


def _file_problems(entry: Entry, store: ReferenceStore, definitions: Definitions) -> Iterator[str]:
    damage = list(_damage(entry))
    yield from damage
    if not damage:
        declaration = store.registry.get(ReferenceType, entry.type).declaration
        problems = reference_problems(
            entry.path, entry.type, declaration, definitions, entry.rule.contract, named=False
        )
        if not problems and declaration.kind == "fits" and declaration.definition is not None:
            meta = meta_of(definitions, entry.path, declaration.definition)
            problems = contradictions(entry.rule.match, meta)
        for problem in problems:
            yield f"{entry.type}: {entry}: {problem}"


def _damage(entry: Entry) -> Iterator[str]:
    """Yield why the file of a rule is not the one that was added."""
    try:
        found = file_sha256(entry.path)
    except ReferenceFileError as error:
        yield f"{entry.type}: {entry}: {error}"
        return
    if entry.rule.sha256 not in (None, found):
        yield f"{entry.type}: {entry}: sha256 is {found}, expected {entry.rule.sha256}"
