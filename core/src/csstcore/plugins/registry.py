"""`Registry`: the plugins and everything they declare."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Generic, TypeVar, cast

from csstcore import __version__
from csstcore.errors import ConfigurationError, PluginError, nearest
from csstcore.plugin import Declaration, Definition, Layout, Pipeline, ReferenceRules
from csstcore.plugins.collect import collect

D = TypeVar("D", bound=Declaration)


class PluginState(StrEnum):
    """What became of an installed plugin."""

    ACTIVE = "active"
    """Loaded; everything it declares is known."""
    DISABLED = "disabled"
    """Named in the environment variable ``CSSTCORE_DISABLE``; not imported."""
    INCOMPATIBLE = "incompatible"
    """Its distribution requires another version of csstcore, or none; not imported."""
    CONFLICT = "conflict"
    """Another distribution claims the same namespace; neither is imported."""
    BROKEN = "broken"
    """It raised, or what it declares is wrong; nothing of it is known."""


@dataclass(frozen=True)
class Plugin:
    """One installed plugin."""

    namespace: str
    distribution: str
    version: str
    state: PluginState
    module: str
    """Import name of its ``plugin.py``."""
    why: str = ""
    """The reason of any state but active, as one sentence."""
    traceback: str = ""
    """Of what a broken plugin raised."""
    folder: Path | None = None
    """Folder of ``plugin.py``, to which declared paths are relative."""


@dataclass(frozen=True)
class Declared(Generic[D]):
    """A declaration and the plugin it comes from."""

    declaration: D
    plugin: Plugin

    @property
    def full_name(self) -> str:
        """``namespace.name``; of rules, the namespace of the plugin that ships them."""
        return f"{self.plugin.namespace}.{self.declaration.name}"

    @property
    def path(self) -> Path:
        """Path of the file of a pipeline, definition, layout or set of rules."""
        if not isinstance(self.declaration, (Pipeline, Definition, ReferenceRules, Layout)):
            raise TypeError(f"a {_label(type(self.declaration))} has no path")
        if self.plugin.folder is None:
            raise PluginError(f"plugin {self.plugin.namespace!r} lies in no folder")
        return self.plugin.folder / self.declaration.path


class Registry:
    """The plugins and everything the active ones declare; immutable.

    Parameters
    ----------
    loaded
        Each plugin with its declarations; in any order.
    """

    def __init__(self, loaded: Iterable[tuple[Plugin, tuple[Declaration, ...]]]) -> None:
        pairs = sorted(loaded, key=lambda pair: (pair[0].namespace, pair[0].distribution))
        self.plugins: tuple[Plugin, ...] = tuple(plugin for plugin, _ in pairs)
        """All installed plugins, sorted by namespace."""
        kinds: dict[type[Declaration], dict[str, Declared[Declaration]]] = {}
        for plugin, declarations in pairs:
            for declaration in declarations:
                declared = Declared(declaration, plugin)
                kinds.setdefault(type(declaration), {})[declared.full_name] = declared
        self._kinds = {kind: dict(sorted(found.items())) for kind, found in kinds.items()}

    @classmethod
    def of(cls, modules: Mapping[str, ModuleType]) -> Registry:
        """Return a registry made directly from plugin modules, for tests.

        Parameters
        ----------
        modules
            Plugin module by namespace. Its distribution is called ``csst-<namespace>`` and has
            the version of csstcore.

        Raises
        ------
        PluginError
            If what a module declares is wrong.
        """
        loaded = []
        for namespace, module in modules.items():
            plugin = Plugin(
                namespace=namespace,
                distribution=f"csst-{namespace.replace('_', '-')}",
                version=__version__,
                state=PluginState.ACTIVE,
                module=module.__name__,
                folder=folder_of(module),
            )
            loaded.append((plugin, collect(module)))
        return cls(loaded)

    def declared(self, kind: type[D]) -> Mapping[str, Declared[D]]:
        """Return everything of one kind, by full name and sorted by it.

        The full name of `ReferenceRules` starts with the plugin that ships them, so that
        several plugins may ship rules for one type: ``"msc.calib.readout"``.
        """
        found = cast("dict[str, Declared[D]]", self._kinds.get(cast("type[Declaration]", kind), {}))
        return MappingProxyType(found)

    def get(self, kind: type[D], full_name: str) -> Declared[D]:
        """Return the declaration called `full_name`.

        Raises
        ------
        ConfigurationError
            If nothing of this kind has that name; gives the nearest one.
        PluginError
            If the plugin that owns the namespace is not active; gives its state and why.
        """
        declared = self.declared(kind)
        if full_name in declared:
            return declared[full_name]
        namespace, dot, _ = full_name.partition(".")
        label = _label(kind)
        owners = [plugin for plugin in self.plugins if plugin.namespace == namespace]
        if dot and owners and owners[0].state is not PluginState.ACTIVE:
            owner = owners[0]
            raise PluginError(
                f"{label} {full_name!r}: plugin {namespace!r} is {owner.state}: {owner.why}"
            )
        hint = nearest(full_name, declared)
        if not dot:
            raise ConfigurationError(
                f"{label} {full_name!r} has no namespace; expected 'namespace.name'{hint}"
            )
        if not owners:
            raise ConfigurationError(
                f"{label} {full_name!r}: no plugin with the namespace {namespace!r} is installed"
                f"{hint}"
            )
        raise ConfigurationError(f"no {label} is called {full_name!r}{hint}")


def folder_of(module: ModuleType) -> Path | None:
    """Return the folder a module lies in, if it lies in one."""
    file = getattr(module, "__file__", None)
    return Path(file).parent if file else None


def _label(kind: type) -> str:
    """Return the word for a kind of declaration: ``"reference type"``."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", kind.__name__).lower()
