"""`discover`: find the installed plugins, check them, load them, one by one.

`importlib.metadata` knows what is installed, stevedore loads, pluggy validates. No plugin can
break the host: whatever goes wrong with one becomes its state.
"""

from __future__ import annotations

import os
import re
import traceback
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import TYPE_CHECKING, Final

from stevedore import NamedExtensionManager

from csstcore import __version__
from csstcore.errors import PluginError, text_of
from csstcore.plugin import Declaration
from csstcore.plugins.collect import collect
from csstcore.plugins.isolation import isolated
from csstcore.plugins.registry import Plugin, PluginState, Registry, folder_of

if TYPE_CHECKING:
    from packaging.specifiers import SpecifierSet

GROUP: Final = "csstcore.plugins"
"""Entry-point group: name = namespace, value = module of ``plugin.py``."""
DISABLE: Final = "CSSTCORE_DISABLE"
"""Environment variable with the namespaces to leave alone, separated by commas."""


@lru_cache(maxsize=1)
def discover() -> Registry:
    """Return the registry of all installed plugins; found once per process."""
    return find_plugins()


def find_plugins() -> Registry:
    """Return the registry of all installed plugins, found anew."""
    found = [(entry, *_metadata(entry)) for entry in installed()]
    # stevedore's own scan is cached under file times rounded to 128 s, merges equal entry
    # points of two distributions and loses the distribution: it is given ours instead.
    NamedExtensionManager.ENTRY_POINT_CACHE[GROUP] = [entry for entry, _, _ in found]
    disabled = {name.strip() for name in os.environ.get(DISABLE, "").split(",")}
    loaded: list[tuple[Plugin, tuple[Declaration, ...]]] = []
    for entry, plugin, requires in found:
        claims = sorted(each.distribution for _, each, _ in found if each.namespace == entry.name)
        if entry.name in disabled:
            why = f"named in {DISABLE}"
            loaded.append((replace(plugin, state=PluginState.DISABLED, why=why), ()))
        elif len(claims) > 1:
            why = f"{' and '.join(claims)} claim the same namespace; uninstall all but one"
            loaded.append((replace(plugin, state=PluginState.CONFLICT, why=why), ()))
        else:
            loaded.append(_checked(entry, plugin, requires))
    return Registry(loaded)


def installed() -> list[EntryPoint]:
    """Return the entry points of all installed plugins, in a fixed order."""
    return sorted(entry_points(group=GROUP), key=lambda entry: (entry.name, entry.value))


def _metadata(entry: EntryPoint) -> tuple[Plugin, list[str] | None]:
    """Return a plugin as its metadata describes it, and what it requires; None if unreadable.

    The metadata is parsed once: parsing takes most of the time.
    """
    name = version = "?"
    requires = None
    if entry.dist is not None:
        with suppress(OSError, ValueError):
            metadata = entry.dist.metadata
            requires = metadata.get_all("Requires-Dist") or []
            name, version = (str(metadata[key]) for key in ("Name", "Version"))
    return Plugin(entry.name, name, version, PluginState.ACTIVE, entry.value), requires


def _checked(
    entry: EntryPoint, plugin: Plugin, requires: list[str] | None
) -> tuple[Plugin, tuple[Declaration, ...]]:
    """Return one plugin with its final state, loaded if it may be."""
    with isolated() as interrupted:
        try:
            if not entry.name.isidentifier():
                raise PluginError(f"the namespace {entry.name!r} is no Python identifier")
            if requires is None:
                raise PluginError("the metadata of its distribution cannot be read")
            why = _incompatible(requires)
            if why:
                return replace(plugin, state=PluginState.INCOMPATIBLE, why=why), ()
            module = _load(entry)
            return replace(plugin, folder=folder_of(module)), collect(module)
        except BaseException as error:
            if interrupted():
                raise
            why = text_of(error)
            if not isinstance(error, PluginError):
                why = f"{type(error).__name__}: {why}"
            raised = traceback.format_exc()
            return replace(plugin, state=PluginState.BROKEN, why=why, traceback=raised), ()


def _load(entry: EntryPoint) -> ModuleType:
    """Return the imported module of a plugin, through stevedore."""

    def fail(_manager: object, _entry: EntryPoint, error: BaseException) -> None:
        raise error

    manager = NamedExtensionManager(GROUP, [entry.name], on_load_failure_callback=fail)
    module = manager.extensions[0].plugin
    if not isinstance(module, ModuleType):
        raise PluginError(
            f"the entry point {entry.name} = {entry.value} names a {type(module).__name__}; "
            "expected a module"
        )
    return module


def _incompatible(requires: list[str]) -> str:
    """Return why the distribution does not fit this csstcore, or an empty string."""
    expected = "expected e.g. csstcore>=0.1,<0.2"
    required = False
    for line in requires:
        match = re.fullmatch(r"csstcore(?![\w.-])\s*(.*)", line.strip(), re.IGNORECASE)
        if match is None:
            continue
        if _plainly_fulfilled(match[1]):
            required = True
            continue
        try:
            versions = _versions(line)
        except ValueError as error:  # what packaging raises on a malformed line
            return f"the requirement {line!r} cannot be read ({error}); {expected}"
        if versions is None:
            continue
        required = True
        if not versions.contains(__version__, prereleases=True):
            return f"requires csstcore {versions}; this is csstcore {__version__}"
    return "" if required else f"requires no version of csstcore; {expected}"


def _plainly_fulfilled(clauses: str) -> bool:
    """Return whether all clauses are ``>=`` or ``<`` of plain numbers, and hold.

    Everything else is left to packaging, whose import takes a tenth of a short command's time.
    """
    number = r"\d+(?:\.\d+)*"
    if not re.fullmatch(number, __version__):
        return False
    for clause in clauses.split(","):
        match = re.fullmatch(rf"\s*(>=|<)\s*({number})\s*", clause)
        if match is None or (_release(__version__) >= _release(match[2])) != (match[1] == ">="):
            return False
    return True


def _release(version: str) -> tuple[int, ...]:
    """Return the numbers of a version without trailing zeros, in the order of versions."""
    return tuple(map(int, re.sub(r"(\.0+)+$", "", version).split(".")))


def _versions(line: str) -> SpecifierSet | None:
    """Return the versions one requirement allows; None if its marker does not apply here."""
    from packaging.requirements import Requirement

    requirement = Requirement(line)
    if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
        return None
    return requirement.specifier
