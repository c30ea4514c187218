"""A context: an immutable, named set of rules, in the file ``contexts/NAME.toml`` of a store.

::

    [context]
    name = "2027-06"
    sha256 = "..."                # of all rules below

    [[rules]]
    source = "store"              # or "shipped": the store's rules come first
    reference = { type = "calib.bias" }
    [[rules.rule]]
    file = "bias_07.fits"
    ...
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import tomlkit
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from csstcore.errors import ConfigurationError, Problems
from csstcore.references.choose import Entry
from csstcore.references.library import Library, file_name
from csstcore.references.rules import Rule, RuleFile, toml_problems, toml_value

CURRENT: Final = "current"
"""The rules in force now, where contexts are named; no context is called so."""

_NAME: Final = r"[A-Za-z0-9][A-Za-z0-9_.-]*"


class Head(BaseModel):
    """What a context is called, and what its rules must be."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class FrozenRules(RuleFile):
    """The rules of one type, as they were."""

    source: Literal["store", "shipped"]


class ContextFile(BaseModel):
    """A context as it is kept."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    context: Head
    rules: tuple[FrozenRules, ...] = ()


def context_name(name: str) -> str:
    """Return the name of the file of a context.

    Raises
    ------
    ConfigurationError
        If the context's name is not safe as a file name.
    """
    if not re.fullmatch(_NAME, name) or name == CURRENT:
        raise ConfigurationError(
            f"context {name!r}: a name begins with a letter or digit, may hold . _ - too, and "
            f"is not {CURRENT!r}"
        )
    return f"contexts/{name}.toml"


def read_context(library: Library, name: str) -> list[Entry]:
    """Return the rules of a context.

    Raises
    ------
    ConfigurationError
        If there is no such context, or it is not as it was frozen.
    """
    kept = context_name(name)
    content = library.read(kept)
    path = library.path(kept)
    if content is None:
        raise ConfigurationError(f"context {name}: there is no {path}")
    try:
        frozen = ContextFile.model_validate(tomllib.loads(content.decode("utf-8")))
    except ValidationError as error:
        raise Problems(f"context {path}", toml_problems(error)) from None
    except (ValueError, RecursionError) as error:  # of TOML or UTF-8
        raise ConfigurationError(f"context {path}: not valid TOML: {error}") from error
    entries = [
        entry for rules in frozen.rules for entry in entries_of(rules, path, rules.source, library)
    ]
    found = digest(entries)
    if (frozen.context.name, frozen.context.sha256) != (name, found):
        raise ConfigurationError(
            f"context {path}: its rules are those of {name!r} no more; found sha256 {found}, "
            f"frozen were {frozen.context.sha256} of {frozen.context.name!r}"
        )
    return entries


def context_text(name: str, entries: Iterable[Entry]) -> bytes:
    """Return the file of a context that holds these rules."""
    entries = list(entries)
    groups: dict[tuple[str, str], list[Entry]] = {}
    for entry in entries:
        groups.setdefault((entry.type, entry.source), []).append(entry)
    content = {
        "context": {"name": name, "sha256": digest(entries)},
        "rules": [
            {
                "source": source,
                "reference": _subject(group[0]),
                "rule": [rule_table(entry.rule) for entry in group],
            }
            for (_, source), group in groups.items()
        ],
    }
    return tomlkit.dumps(content).encode()


def entries_of(
    rules: RuleFile, path: Path, source: Literal["store", "shipped"], library: Library
) -> Iterator[Entry]:
    """Yield the rules of a file whose references a library holds."""
    subject = rules.reference
    for number, rule in enumerate(rules.rule, 1):
        stored = file_name(rule)
        yield Entry(
            subject.type,
            rule,
            library.path(stored),
            source,
            path,
            number,
            subject.nearest,
            subject.partition,
            stored,
        )


def digest(entries: Iterable[Entry], more: Iterable[Any] = ()) -> str:
    """Return a sha256 over rules; comments, order and the place of files do not change it.

    Parameters
    ----------
    entries
        The rules, each with the sha256 of its file.
    more
        What else decides, such as overrides.
    """
    lines = [json.dumps([*_subject(e).items(), e.source, rule_line(e)]) for e in entries]
    lines += [json.dumps(item) for item in more]
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


def rule_line(entry: Entry) -> str:
    """Return everything about a rule that decides, but not the name of its file."""
    table = rule_table(entry.rule)
    del table["file"]
    return json.dumps(table, sort_keys=True, default=str)


def rule_table(rule: Rule) -> dict[str, Any]:
    """Return a rule as the table of a rule file."""
    table: dict[str, Any] = {"file": rule.file, "sha256": rule.sha256 or ""}
    if rule.match:
        match = tomlkit.inline_table()
        match.update({field: toml_value(value) for field, value in rule.match.items()})
        table["match"] = match
    if rule.useafter is not None:
        table["useafter"] = rule.useafter
    if rule.contract is not None:
        table["contract"] = rule.contract.model_dump(mode="json")
    return table


def _subject(entry: Entry) -> dict[str, Any]:
    subject: dict[str, Any] = {"type": entry.type}
    if entry.nearest:
        subject["nearest"] = True
    if entry.partition is not None:
        subject["partition"] = entry.partition.model_dump()
    return subject
