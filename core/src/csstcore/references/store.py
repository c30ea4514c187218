"""`ReferenceStore`: all references in force, from the local store, plugins and overrides."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from csstcore.errors import ConfigurationError, CsstError, Problems, ReferenceFileError
from csstcore.plugin import ReferenceRules, ReferenceType
from csstcore.products.meta import Meta
from csstcore.references.choose import Choice, Entry, NoReferenceError, RuleSet, choose
from csstcore.references.digest import file_sha256
from csstcore.references.folder import StoreFolder
from csstcore.references.observation import Observation
from csstcore.references.rules import conditions, read_rules, toml_value

if TYPE_CHECKING:
    from csstcore.plugins.registry import Registry

_NO_STORE: Final = "no reference store was given (--refs DIR, or CSSTCORE_REFS)"


class ReferenceStore:
    """Chooses references; the rules are read once and stay the same while the object lives.

    Parameters
    ----------
    folder
        The local store, or None for shipped references and overrides only.
    registry
        The plugins, which declare the reference types and ship rules.
    overrides
        Files to take whatever the rules say, by reference type.

    Raises
    ------
    ConfigurationError
        If an override names an unknown type or a file that does not exist.
    """

    def __init__(
        self,
        folder: Path | None,
        registry: Registry,
        overrides: Mapping[str, Path] = MappingProxyType({}),
    ) -> None:
        self.folder = folder
        self.overrides = dict(overrides)
        self._registry = registry
        self._shipped: dict[str, list[Path]] = {}
        for declared in registry.declared(ReferenceRules).values():
            self._shipped.setdefault(declared.declaration.name, []).append(declared.path)
        self._tiers: dict[str, tuple[RuleSet, RuleSet]] = {}
        problems = []
        for reference_type, path in self.overrides.items():
            try:
                registry.get(ReferenceType, reference_type)
            except CsstError as error:
                problems.append(str(error))
            if not path.is_file():
                problems.append(f"{reference_type}: {path} is not a file")
        if problems:
            raise Problems("override of references", problems)

    def choose(self, reference_type: str, meta: Meta | Observation) -> Choice:
        """Return the best reference of a type for an observation.

        Parameters
        ----------
        reference_type
            Full name, e.g. ``"calib.bias"``.
        meta
            Of the input as read. For many types pass one `Observation`, read once.

        Raises
        ------
        NoReferenceError
            If no rule matches.
        ReferenceFileError
            If the best one is ambiguous or its file is missing.
        ConfigurationError
            If the type is unknown or its rules are wrong.
        """
        if reference_type in self.overrides:
            path = self.overrides[reference_type]
            return Choice(reference_type, path, file_sha256(path), "override")
        try:
            choice = choose(reference_type, self._rules(reference_type), meta)
        except NoReferenceError as error:
            if self.folder is not None:
                raise
            raise NoReferenceError(f"{error}; {_NO_STORE}") from None
        if not choice.sha256:
            return replace(choice, sha256=file_sha256(choice.path))
        if not choice.path.is_file():
            raise ReferenceFileError(
                f"{reference_type}: {choice.path} is missing; rule {choice.rule} of {choice.rules} "
                "names it"
            )
        return choice

    def list(self, reference_type: str | None = None) -> tuple[Entry, ...]:
        """Return the rules in force, by type; of all types if none is named."""
        every = self._registry.declared(ReferenceType)
        types = every if reference_type is None else [reference_type]
        return tuple(
            entry for name in types for tier in self._rules(name) for entry in tier.entries
        )

    def add(
        self,
        reference_type: str,
        file: Path,
        match: Mapping[str, Any],
        useafter: datetime | None = None,
    ) -> Entry:
        """Add a file and its rule to the store.

        The file's content is not looked at: see `csstcore.references.kinds.reference_problems`.

        Parameters
        ----------
        reference_type
            Full name of the reference type.
        file
            Copied into the store unless the same bytes are there.
        match
            As in a rule file: field of `Meta` to value, alternatives, or range.
        useafter
            Start of validity (UTC); None is always.

        Raises
        ------
        ReferenceFileError
            If the file cannot be read or the rule would be ambiguous with another.
        ConfigurationError
            If there is no store, the type is unknown, or `match` is wrong.
        """
        if self.folder is None:
            raise ConfigurationError(_NO_STORE)
        self._registry.get(ReferenceType, reference_type)
        try:
            checked = conditions(match)
        except ValueError as error:
            raise ConfigurationError(f"match of {file}: {error}") from None
        entry = StoreFolder(self.folder).add(reference_type, file, checked, useafter)
        self._tiers.pop(reference_type, None)
        self.__dict__.pop("context", None)
        return entry

    @cached_property
    def context(self) -> str:
        """The first 12 digits of a sha256 over all rules in force and all overrides.

        Comments, the order of rules and the place of the store do not change it; any rule or
        the bytes of any file do.
        """
        lines = [_line(*rule) for rule in self._in_force()]
        return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()[:12]

    def _in_force(self) -> Sequence[tuple[Any, ...]]:
        rules = [
            (
                name,
                entry.source,
                {field: toml_value(value) for field, value in entry.rule.match.items()},
                entry.rule.useafter,
                entry.rule.sha256 or file_sha256(entry.path),
            )
            for name in self._registry.declared(ReferenceType)
            for entry in self.list(name)
        ]
        return rules + [
            (name, "override", {}, None, file_sha256(path)) for name, path in self.overrides.items()
        ]

    def _rules(self, reference_type: str) -> tuple[RuleSet, RuleSet]:
        """Return the rules of the store and the shipped ones, read once."""
        if reference_type not in self._tiers:
            self._registry.get(ReferenceType, reference_type)
            stored = [] if self.folder is None else StoreFolder(self.folder).entries(reference_type)
            self._tiers[reference_type] = (
                RuleSet(stored),
                RuleSet(self._shipped_entries(reference_type)),
            )
        return self._tiers[reference_type]

    def _shipped_entries(self, reference_type: str) -> Sequence[Entry]:
        return [
            Entry(reference_type, rule, path.parent / rule.file, "shipped", path, number)
            for path in self._shipped.get(reference_type, ())
            for number, rule in enumerate(
                read_rules(path, reference_type, need_sha256=False).rule, 1
            )
        ]


def _line(*rule: Any) -> str:
    return json.dumps(rule, sort_keys=True, default=str)
