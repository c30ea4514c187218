"""Registries made by tests: nothing that happens to be installed takes part."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from unittest import mock

from csstcore.plugin import Declaration, hookimpl
from csstcore.plugins import discovery
from csstcore.plugins.hooks import HOOKS
from csstcore.plugins.registry import Registry


def plugin_module(name: str, *declarations: Declaration, folder: Path | None = None) -> ModuleType:
    """Return a plugin module that declares the given things.

    Parameters
    ----------
    name
        Name of the module.
    declarations
        What its hooks return.
    folder
        Folder to which declared paths are relative.
    """
    module = ModuleType(name)
    if folder is not None:
        module.__file__ = str(folder / "plugin.py")
    for hook, kinds in HOOKS.items():
        found = [each for each in declarations if isinstance(each, kinds)]
        if found:
            setattr(module, hook, _hook(hook, found))
    return module


def _hook(name: str, found: list[Declaration]) -> Callable[[], list[Declaration]]:
    """Return a hook implementation that returns `found`."""

    def implementation() -> list[Declaration]:
        return found

    implementation.__name__ = name
    return hookimpl(implementation)


class IsolatedRegistry:
    """Stands in for discovery: knows only the plugins that the test gives it."""

    def __init__(self) -> None:
        self.registry: Registry | None = None

    def __call__(self, **modules: ModuleType) -> Registry:
        """Make the registry that `discover` returns from now on.

        Parameters
        ----------
        modules
            Plugin module by namespace; see `plugin_module`.
        """
        self.registry = Registry.of(modules)
        discovery.discover.cache_clear()
        return self.registry

    def find(self) -> Registry:
        """Return the registry the test made; refuse to look for installed plugins."""
        if self.registry is None:
            raise RuntimeError(
                "this test uses isolated_registry and sees no installed plugin: make a registry "
                "with isolated_registry(namespace=module), or use the fixture installed_plugins"
            )
        return self.registry


@contextmanager
def isolated() -> Iterator[IsolatedRegistry]:
    """Let `discover` return only what the test makes."""
    stand_in = IsolatedRegistry()
    discovery.discover.cache_clear()
    with mock.patch.object(discovery, "find_plugins", stand_in.find):
        yield stand_in
    discovery.discover.cache_clear()
