"""What all jobs of a run share, built once in every process from a text."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from csstcore.definitions.catalog import Definitions
from csstcore.errors import ConfigurationError
from csstcore.pipeline.check import build_plan
from csstcore.pipeline.plan import Plan
from csstcore.plugin import ReferenceType
from csstcore.plugins.registry import Registry
from csstcore.products.planes import nbytes
from csstcore.references.choose import Choice
from csstcore.references.kinds import load_reference
from csstcore.references.store import ReferenceStore

LARGEST_KEPT_BYTES = 16 << 20
"""References up to this size stay in memory between jobs; larger ones from one stage to the
next that uses them too."""


@dataclass(frozen=True, slots=True)
class Setup:
    """The settings of a run."""

    pipeline: str
    """Full name, alias, or path of a TOML file."""
    output: str
    """The output folder, absolute."""
    run: str = ""
    """Name of the run."""
    settings: dict[str, Any] = field(default_factory=dict)
    """``stage.parameter`` to value."""
    references: str | None = None
    """Folder of the local reference store, or location of a remote one."""
    context: str | None = None
    """Name of the context whose rules choose; None for the current rules."""
    overrides: dict[str, str] = field(default_factory=dict)
    """Reference type to the file that is taken whatever the rules say."""
    seed: int = 0
    figures: bool = False

    def to_json(self) -> str:
        """Return the setup for a worker; TOML dates and times become text."""
        return json.dumps(asdict(self), default=str)

    @property
    def folder(self) -> Path:
        """Output folder."""
        return Path(self.output)

    @property
    def run_folder(self) -> Path:
        """Folder of the run's records, logs, figures and report."""
        return self.folder / "runs" / self.run


@dataclass
class Environment:
    """A setup with everything it names."""

    setup: Setup
    registry: Registry
    definitions: Definitions
    plan: Plan
    store: ReferenceStore
    versions: Mapping[str, str] = field(default_factory=dict)
    context: str = ""
    """Identifies the reference rules in force."""
    _kept: dict[tuple[Path, str, Any], Any] = field(default_factory=dict)
    _large: dict[str, tuple[tuple[Path, str, Any], Any]] = field(default_factory=dict)
    """By reference type."""

    @classmethod
    def of(cls, setup: Setup, registry: Registry) -> Environment:
        """Build the environment of a setup from the plugins of a registry.

        Raises
        ------
        CsstError
            If the pipeline, its settings or the references are wrong.
        """
        definitions = Definitions(registry)
        plan = build_plan(registry, definitions, setup.pipeline, setup.settings)
        store = ReferenceStore(
            setup.references,
            registry,
            {name: Path(path) for name, path in setup.overrides.items()},
            setup.context,
        )
        versions = versions_of(registry)
        return cls(setup, registry, definitions, plan, store, versions, store.context)

    def reference(self, choice: Choice, wanted: Any) -> Any:
        """Return a chosen reference as the type that a stage wants."""
        key = (choice.path, choice.sha256, wanted)
        if key in self._kept:
            return self._kept[key]
        found, product = self._large.get(choice.type, (None, None))
        if found == key:
            return product
        declaration = self.registry.get(ReferenceType, choice.type).declaration
        product = load_reference(choice, declaration, wanted, self.definitions)
        if nbytes(product) <= LARGEST_KEPT_BYTES:
            self._kept[key] = product
        else:
            self._large[choice.type] = key, product
        return product

    def release_references(self, needed: Collection[str] = ()) -> None:
        """Let go of large references, but for those of the types still `needed`."""
        for name in self._large.keys() - set(needed):
            del self._large[name]

    def kept_references(self) -> Iterator[Any]:
        """Yield the references that stay in memory and so must not change."""
        yield from self._kept.values()
        yield from (product for _, product in self._large.values())


def versions_of(registry: Registry) -> dict[str, str]:
    """Return the versions of the core, all plugins, Python and the main libraries."""
    import csstcore
    from csstcore.run.fingerprint import library_versions

    plugins = {plugin.distribution: plugin.version for plugin in registry.plugins}
    return {"csstcore": csstcore.__version__, **plugins, **library_versions()}


@lru_cache(maxsize=1)
def environment_of(setup: str) -> Environment:
    """Return the environment of a setup's JSON, with the plugins installed in this process.

    Raises
    ------
    ConfigurationError
        If the JSON is of another version of csstcore.
    """
    from csstcore.plugins.discovery import discover

    try:
        parsed = Setup(**json.loads(setup))
    except TypeError as error:
        raise ConfigurationError(f"setup of another version of csstcore: {error}") from error
    return Environment.of(parsed, discover())
