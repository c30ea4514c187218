"""Find a pipeline by name, alias or path."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from csstcore.errors import ConfigurationError, nearest
from csstcore.plugin import Pipeline
from csstcore.plugins.registry import Declared, Registry


@dataclass(frozen=True, slots=True)
class FoundPipeline:
    """Where a pipeline lies and whose it is."""

    name: str
    """Full name; the bare name for a file outside plugins."""
    path: Path
    declared: Declared[Pipeline] | None


def find_pipeline(registry: Registry, wanted: str) -> FoundPipeline:
    """Find a pipeline by full name, alias, or path of a TOML file.

    Raises
    ------
    ConfigurationError
        If nothing has that name, or several pipelines claim it as alias.
    """
    if wanted.endswith(".toml"):
        path = Path(wanted)
        if not path.is_file():
            raise ConfigurationError(f"pipeline file {wanted} does not exist")
        return FoundPipeline(path.stem, path, None)
    known = registry.declared(Pipeline)
    if wanted in known:
        return FoundPipeline(wanted, known[wanted].path, known[wanted])
    aliases = {name: _aliases(declared.path) for name, declared in known.items()}
    matches = [name for name, own in aliases.items() if wanted in own]
    if len(matches) > 1:
        raise ConfigurationError(f"alias {wanted!r} is claimed by {' and '.join(matches)}")
    if matches:
        return FoundPipeline(matches[0], known[matches[0]].path, known[matches[0]])
    if "." in wanted:
        registry.get(Pipeline, wanted)
    every = [*known, *(alias for own in aliases.values() for alias in own)]
    raise ConfigurationError(f"no pipeline is called {wanted!r}{nearest(wanted, every)}")


def _aliases(path: Path) -> list[str]:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8")).get("pipeline", {})
    except (OSError, ValueError, RecursionError):  # of the file, UTF-8 or TOML
        return []
    aliases = table.get("aliases", []) if isinstance(table, dict) else []
    return [alias for alias in aliases if isinstance(alias, str)]
