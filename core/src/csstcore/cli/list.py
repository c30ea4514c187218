"""``csstcore list``: what is installed, and in which state."""

from __future__ import annotations

import json
import textwrap
from typing import Any, Final

import click

from csstcore.cli.table import aligned
from csstcore.plugin import (
    Check,
    Declaration,
    Definition,
    Pipeline,
    ReferenceRules,
    ReferenceType,
    Stage,
)
from csstcore.plugins.registry import Declared, Registry

KINDS: Final[dict[str, tuple[type[Declaration], ...]]] = {
    "stages": (Stage,),
    "pipelines": (Pipeline,),
    "definitions": (Definition,),
    "references": (ReferenceType, ReferenceRules),
    "checks": (Check,),
}


@click.command("list")
@click.argument("kind", required=False, type=click.Choice(["plugins", *KINDS]))
@click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
def command(kind: str | None, as_json: bool) -> None:
    """List plugins and what they declare.

    Without KIND, the plugins with their states and the names of everything else. Plugins that
    are not active are listed with the reason; `csstcore doctor` shows their tracebacks.
    """
    from csstcore.plugins.discovery import discover

    registry = discover()
    if as_json:
        kinds = [kind] if kind else ["plugins", *KINDS]
        found = {name: _json(registry, name) for name in kinds}
        click.echo(json.dumps(found[kind] if kind else found, indent=2))
    elif kind is None:
        click.echo(f"{_plugins(registry)}\n\n{_overview(registry)}")
    elif kind == "plugins":
        click.echo(_plugins(registry))
    else:
        click.echo(_text(registry, kind))


def _declared(registry: Registry, kind: str) -> list[Declared[Any]]:
    """Return everything listed under one word, sorted by full name."""
    found = [item for each in KINDS[kind] for item in registry.declared(each).values()]
    return sorted(found, key=lambda item: item.full_name)


def _plugins(registry: Registry) -> str:
    """Return the plugins, one line each."""
    if not registry.plugins:
        return "no plugins are installed"
    return aligned(
        (plugin.namespace, plugin.distribution, plugin.version, plugin.state, plugin.why)
        for plugin in registry.plugins
    )


def _overview(registry: Registry) -> str:
    """Return one paragraph per kind: how many, and their names."""
    margin = max(map(len, KINDS)) + 8
    lines = []
    for kind in KINDS:
        names = sorted({_name(item) for item in _declared(registry, kind)})
        head = f"{len(names):4}  {kind}"
        text = f"{head:{margin}}{' '.join(names)}"
        lines += textwrap.wrap(text, 100, subsequent_indent=" " * margin)
    return "\n".join(lines)


def _text(registry: Registry, kind: str) -> str:
    """Return the declarations of one kind, one line each."""
    found = sorted(_declared(registry, kind), key=_name)
    if not found:
        return f"no {kind} are declared"
    if kind == "references":
        return aligned((_name(item), _form(item), item.declaration.summary) for item in found)
    return aligned((_name(item), item.declaration.summary) for item in found)


def _name(item: Declared[Any]) -> str:
    """Return the full name; of rules, that of the reference type they choose for."""
    declaration = item.declaration
    return declaration.name if isinstance(declaration, ReferenceRules) else item.full_name


def _form(item: Declared[Any]) -> str:
    """Return how a reference type is stored, or whose rules these are."""
    if isinstance(item.declaration, ReferenceRules):
        return f"rules of {item.plugin.namespace}"
    return str(item.declaration.kind)


def _json(registry: Registry, kind: str) -> list[dict[str, Any]]:
    """Return everything of one kind as plain values."""
    if kind == "plugins":
        return [
            {
                "namespace": plugin.namespace,
                "distribution": plugin.distribution,
                "version": plugin.version,
                "state": plugin.state,
                "module": plugin.module,
                "why": plugin.why,
                "traceback": plugin.traceback,
            }
            for plugin in registry.plugins
        ]
    return [
        {
            "full_name": item.full_name,
            "distribution": item.plugin.distribution,
            "type": type(item.declaration).__name__,
            **vars(item.declaration),
        }
        for item in _declared(registry, kind)
    ]
