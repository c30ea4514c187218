"""The one collector of declarations: a plugin module goes in, checked declarations come out."""

from __future__ import annotations

import inspect
import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

from pluggy import PluginManager, PluginValidationError

from csstcore.errors import PluginError, nearest
from csstcore.plugin import Declaration, ReferenceRules
from csstcore.plugins.hooks import HOOKS, HookSpecs

if TYPE_CHECKING:
    from types import ModuleType

TARGET: Final = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
"""An import string ``"package.module:attribute"``."""


def collect(module: ModuleType) -> tuple[Declaration, ...]:
    """Return everything that a plugin module declares, checked.

    Parameters
    ----------
    module
        The imported ``plugin.py``.

    Returns
    -------
    tuple
        The declarations of all hooks, sorted by kind and name.

    Raises
    ------
    PluginError
        If a hook is misspelt, not marked, returns something else than a list of its kind of
        declaration, or if two declarations of one kind share a name. Whatever a hook itself
        raises passes through.
    """
    manager = _manager(module)
    found: dict[tuple[str, str], Declaration] = {}
    for hook, kinds in HOOKS.items():
        # One manager per plugin: a call has one result, and no other plugin can disturb it.
        for result in getattr(manager.hook, hook)():
            for declaration in _declarations(hook, kinds, result):
                key = (type(declaration).__name__, declaration.name)
                if key in found:
                    raise PluginError(f"{hook} declares {declaration.name!r} twice")
                found[key] = declaration
    return tuple(found[key] for key in sorted(found))


def _manager(module: ModuleType) -> PluginManager:
    """Return a pluggy manager that holds one plugin, its hooks validated."""
    unmarked = [
        name
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if name.startswith("csst_")
        and function.__module__ == module.__name__
        and not hasattr(function, "csstcore_impl")
    ]
    if unmarked:
        raise PluginError(f"function {unmarked[0]!r} is not marked with @hookimpl")
    manager = PluginManager("csstcore")
    manager.add_hookspecs(HookSpecs)
    manager.register(module)
    try:
        manager.check_pending()
    except PluginValidationError as error:
        callers = manager.get_hookcallers(module) or []
        unknown = next(caller.name for caller in callers if not caller.has_spec())
        raise PluginError(f"no hook is called {unknown!r}{nearest(unknown, HOOKS)}") from error
    return manager


def _declarations(
    hook: str, kinds: tuple[type[Declaration], ...], result: object
) -> list[Declaration]:
    """Return what one hook returned, if it is a list of valid declarations."""
    expected = " or ".join(kind.__name__ for kind in kinds)
    if not isinstance(result, list):
        raise PluginError(f"{hook} returned {type(result).__name__}; expected list of {expected}")
    for item in result:
        if not isinstance(item, kinds):
            raise PluginError(
                f"{hook} returned a list with a {type(item).__name__}; expected {expected}"
            )
        problem = _problem(item)
        if problem:
            raise PluginError(f"{hook}: {type(item).__name__} {item.name!r}: {problem}")
    return result


def _problem(declaration: Declaration) -> str:
    """Return what is wrong with one declaration, or an empty string."""
    name, summary = declaration.name, declaration.summary
    dotted = isinstance(declaration, ReferenceRules)
    parts = name.split(".") if isinstance(name, str) else []
    if len(parts) != (2 if dotted else 1) or not all(part.isidentifier() for part in parts):
        expected = "'namespace.name' of a reference type" if dotted else "a Python identifier"
        return f"the name must be {expected}"
    if not isinstance(summary, str) or not summary.strip() or "\n" in summary:
        return "the summary must be one line of text"
    target = getattr(declaration, "target", None) or getattr(declaration, "product", None)
    if target is not None and not (isinstance(target, str) and TARGET.fullmatch(target)):
        return f"{target!r} is no import string; expected 'package.module:attribute'"
    path = getattr(declaration, "path", "relative")
    if not isinstance(path, str) or PurePosixPath(path).is_absolute() or ".." in path.split("/"):
        return f"the path {path!r} must be relative to the folder of plugin.py and inside it"
    return ""
