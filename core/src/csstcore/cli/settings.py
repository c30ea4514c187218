"""Parameters given on the command line."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from typing import Any

from csstcore.errors import ConfigurationError


def parse_settings(assignments: Iterable[str]) -> dict[str, Any]:
    """Read ``STAGE.PARAMETER=VALUE`` items; the value is TOML, or else a bare string.

    Raises
    ------
    ConfigurationError
        If an item has another form, or names a parameter twice.
    """
    settings: dict[str, Any] = {}
    for item in assignments:
        name, equals, text = item.partition("=")
        name = name.strip()
        if not equals or "." not in name:
            raise ConfigurationError(f"--set {item!r}: expected STAGE.PARAMETER=VALUE")
        if name in settings:
            raise ConfigurationError(f"--set names {name} twice")
        settings[name] = _value(text.strip())
    return settings


def _value(text: str) -> Any:
    try:
        content = tomllib.loads(f"value = {text}")
    except RecursionError:
        raise ConfigurationError(f"--set: {text[:40]}... is nested too deeply") from None
    except ValueError:  # no TOML, or a number of too many digits
        return text
    return content["value"] if set(content) == {"value"} else text
