"""Import strings: ``"package.module:attribute"`` becomes an object."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from csstcore.errors import PluginError, nearest, text_of
from csstcore.plugins.isolation import isolated


def load(target: str) -> Any:
    """Return the object that an import string names.

    Parameters
    ----------
    target
        ``"package.module:attribute"``; the attribute may be dotted.

    Raises
    ------
    PluginError
        If the string is malformed, the module cannot be imported (for whatever reason,
        `SystemExit` included) or has no such attribute; names target and cause.
    """
    module_name, colon, attribute = target.partition(":")
    if not (module_name and colon and attribute):
        raise PluginError(f"{target!r} is no import string; expected 'package.module:attribute'")
    with isolated() as interrupted:
        try:
            found: Any = import_module(module_name)
        except BaseException as error:
            if interrupted():
                raise
            cause = ": ".join(filter(None, (type(error).__name__, text_of(error))))
            raise PluginError(f"{target!r} cannot be imported: {cause}") from error
    for part in attribute.split("."):
        try:
            found = getattr(found, part)
        except AttributeError as error:
            hint = nearest(part, dir(found))
            raise PluginError(
                f"{target!r} cannot be imported: {module_name} has no attribute {part!r}{hint}"
            ) from error
    return found
