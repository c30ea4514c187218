"""`ReferenceStore`: all references in force, from the local store, plugins and overrides."""

from __future__ import annotations

import os
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
from csstcore.references.context import digest, read_context
from csstcore.references.contract import Contract
from csstcore.references.digest import file_sha256
from csstcore.references.folder import StoreFolder, store_entries
from csstcore.references.library import open_library
from csstcore.references.observation import Observation
from csstcore.references.rules import Rule, conditions, read_rules

if TYPE_CHECKING:
    from csstcore.plugins.registry import Registry

_NO_STORE: Final = "no reference store was given (--refs DIR, or CSSTCORE_REFS)"


class ReferenceStore:
    """Chooses references; the rules are read once and stay the same while the object lives.

    Parameters
    ----------
    folder
        The local store, or the location of a remote one (``SCHEME://...``), or None for
        shipped references and overrides only.
    registry
        The plugins, which declare the reference types and ship rules.
    overrides
        Files to take whatever the rules say, by reference type.
    context
        Name of the context whose rules are taken; None for the current rules.

    Raises
    ------
    ConfigurationError
        If an override names an unknown type or a file that does not exist, or if the context
        does not exist or is not as it was frozen.
    """

    def __init__(
        self,
        folder: Path | str | None,
        registry: Registry,
        overrides: Mapping[str, Path] = MappingProxyType({}),
        context: str | None = None,
    ) -> None:
        self.folder = folder
        self.overrides = dict(overrides)
        self.context_name = context
        self._library = None if folder is None else open_library(folder)
        self.registry = registry
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
        self._frozen = self._read_context() if context is not None else None

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
            If the type is unknown, its rules are wrong, or the store does not exist and no
            shipped rule matches.
        """
        if reference_type in self.overrides:
            path = self.overrides[reference_type]
            kind = self.registry.get(ReferenceType, reference_type).declaration.kind
            contract = self.contract(reference_type) if kind == "onnx" else None
            return Choice(reference_type, path, file_sha256(path), "override", contract=contract)
        try:
            choice = choose(reference_type, self.tiers(reference_type), meta)
        except NoReferenceError as error:
            self._require_store()
            if self.folder is not None:
                raise
            raise NoReferenceError(f"{error}; {_NO_STORE}") from None
        if not choice.parts:
            return self._present(choice)
        return Choice.of_parts([self._present(part) for part in choice.parts])

    def list(self, reference_type: str | None = None) -> tuple[Entry, ...]:
        """Return the rules in force, by type; of all types if none is named."""
        if reference_type is not None:
            self.registry.get(ReferenceType, reference_type)
        self._require_store()
        every = self.registry.declared(ReferenceType)
        types = every if reference_type is None else [reference_type]
        return tuple(entry for name in types for tier in self.tiers(name) for entry in tier.entries)

    def contract(self, reference_type: str) -> Contract | None:
        """Return what a network of a type must take and give: the contract of its rules.

        Those of the store count before shipped ones, and later ones before earlier ones.
        """
        for tier in self.tiers(reference_type):
            for entry in reversed(tier.entries):
                if entry.rule.contract is not None:
                    return entry.rule.contract
        return None

    def add(
        self,
        reference_type: str,
        file: Path,
        match: Mapping[str, Any],
        useafter: datetime | None = None,
        contract: Contract | None = None,
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
        contract
            What a network takes and gives.

        Raises
        ------
        ReferenceFileError
            If the file cannot be read or the rule would be ambiguous with another.
        ConfigurationError
            If there is no local store, the type is unknown, or `match` is wrong.
        """
        library = self._local()
        self.registry.get(ReferenceType, reference_type)
        try:
            checked = conditions(match)
        except ValueError as error:
            raise ConfigurationError(f"match of {file}: {error}") from None
        rule = Rule(file=file.name, match=checked, useafter=useafter, contract=contract)
        entry = library.add(reference_type, file, rule)
        self._tiers.pop(reference_type, None)
        self.__dict__.pop("context", None)
        return entry

    def make_folder(self) -> None:
        """Make the local store if it does not exist."""
        self._local().path(".").mkdir(parents=True, exist_ok=True)

    def freeze(self, name: str) -> Path:
        """Keep the rules in force as a context, and return its file.

        Raises
        ------
        ConfigurationError
            If there is no local store, or another context of this name.
        """
        self._require_store()
        return self._local().freeze(name, self.in_force())

    @cached_property
    def context(self) -> str:
        """What all choices depend on: ``NAME@`` of the context, and 12 digits of a sha256.

        The sha256 is over all rules in force and all overrides. Comments, the order of rules
        and the place of the store do not change it; any rule or the bytes of any file do.
        """
        overrides = [(name, file_sha256(path)) for name, path in self.overrides.items()]
        found = digest(self.in_force(), overrides)[:12]
        return found if self.context_name is None else f"{self.context_name}@{found}"

    def in_force(self) -> Sequence[Entry]:
        """Return all rules, those of shipped files with their checksums."""
        if self._frozen is not None:
            return self._frozen
        return [
            entry
            if entry.rule.sha256
            else replace(
                entry, rule=entry.rule.model_copy(update={"sha256": file_sha256(entry.path)})
            )
            for name in self.registry.declared(ReferenceType)
            for tier in self.tiers(name)
            for entry in tier.entries
        ]

    def _present(self, choice: Choice) -> Choice:
        """Return the choice of a file that is on this machine, with its checksum."""
        if not choice.sha256:
            return replace(choice, sha256=file_sha256(choice.path))
        if os.path.isfile(choice.path):
            return choice
        if self._library is None or not choice.stored or not self._library.fetch(choice.stored):
            raise ReferenceFileError(
                f"{choice.type}: {choice.path} is missing; rule {choice.rule} of {choice.rules} "
                "names it"
            )
        return choice

    @property
    def _absent(self) -> bool:
        """Whether the store is a folder that does not exist (yet)."""
        return isinstance(self._library, StoreFolder) and not self._library.path("").is_dir()

    def _require_store(self) -> None:
        if self._absent:
            raise ConfigurationError(f"reference store {self.folder}: no such folder")

    def _local(self) -> StoreFolder:
        if self._library is None:
            raise ConfigurationError(_NO_STORE)
        if not isinstance(self._library, StoreFolder):
            raise ConfigurationError(f"reference store {self.folder} is not a local folder")
        return self._library

    def _read_context(self) -> Sequence[Entry]:
        if self._library is None or self.context_name is None:
            raise ConfigurationError(f"context {self.context_name}: {_NO_STORE}")
        return read_context(self._library, self.context_name)

    def tiers(self, reference_type: str) -> tuple[RuleSet, RuleSet]:
        """Return the rules of a type in the order of precedence: the store's, the shipped ones."""
        if reference_type not in self._tiers:
            self.registry.get(ReferenceType, reference_type)
            self._tiers[reference_type] = self._read_tiers(reference_type)
        return self._tiers[reference_type]

    def _read_tiers(self, reference_type: str) -> tuple[RuleSet, RuleSet]:
        if self._frozen is not None:
            mine = [entry for entry in self._frozen if entry.type == reference_type]
            store = [entry for entry in mine if entry.source == "store"]
            return RuleSet(store), RuleSet(entry for entry in mine if entry.source == "shipped")
        library = self._library
        stored = [] if library is None or self._absent else store_entries(library, reference_type)
        return RuleSet(stored), RuleSet(self._shipped_entries(reference_type))

    def _shipped_entries(self, reference_type: str) -> Sequence[Entry]:
        entries = []
        for path in self._shipped.get(reference_type, ()):
            rules = read_rules(path, reference_type, need_sha256=False)
            entries += [
                Entry(
                    reference_type,
                    rule,
                    path.parent / rule.file,
                    "shipped",
                    path,
                    number,
                    rules.reference.nearest,
                    rules.reference.partition,
                )
                for number, rule in enumerate(rules.rule, 1)
            ]
        return entries
