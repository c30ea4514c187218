"""``csstcore doctor``: whether this installation is sound."""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
import textwrap
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import click

from csstcore import __version__
from csstcore.cli.table import aligned
from csstcore.errors import EXIT_PLUGINS
from csstcore.plugins.registry import Plugin, PluginState

LIBRARIES: Final = (
    "numpy",
    "astropy",
    "scipy",
    "pydantic",
    "pluggy",
    "stevedore",
    "click",
    "matplotlib",
    "onnxruntime",
    "numba",
)
HEALTHY: Final = (PluginState.ACTIVE, PluginState.DISABLED)


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
@click.pass_context
def command(context: click.Context, as_json: bool) -> None:
    """Show the state of this installation, with the traceback of every broken plugin.

    Every declared file is read and every declared function imported. Exit code 3 if one cannot
    be, or if a plugin is broken, incompatible or in conflict, 0 otherwise.
    """
    from csstcore.cli.soundness import unsound
    from csstcore.plugins.discovery import discover

    registry = discover()
    plugins = registry.plugins
    facts = _facts()
    problems = unsound(registry)
    if as_json:
        listed = [_plain(plugin) for plugin in plugins]
        found = [{"declaration": name, "why": why} for name, why in problems]
        click.echo(json.dumps({**facts, "plugins": listed, "problems": found}, indent=2))
    else:
        click.echo(_text(facts, plugins))
        for name, why in problems:
            click.echo(f"{name}: {why}")
    if problems or any(plugin.state not in HEALTHY for plugin in plugins):
        context.exit(EXIT_PLUGINS)


def _facts() -> dict[str, Any]:
    """Return what this machine and this Python offer."""
    return {
        "python": platform.python_version(),
        "executable": sys.executable,
        "csstcore": __version__,
        "folder": str(Path(__file__).parents[1]),
        "cores": len(os.sched_getaffinity(0)),
        "free_disk_gigabyte": round(shutil.disk_usage(".").free / 1e9, 1),
        "libraries": {name: _version(name) for name in LIBRARIES},
    }


def _version(distribution: str) -> str:
    """Return the installed version of a distribution."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "not installed"


def _text(facts: dict[str, Any], plugins: tuple[Plugin, ...]) -> str:
    """Return everything as plain text."""
    rows = [
        ("python", f"{facts['python']} ({facts['executable']})"),
        ("csstcore", f"{facts['csstcore']} ({facts['folder']})"),
        ("cores", str(facts["cores"])),
        ("free disk", f"{facts['free_disk_gigabyte']} GB in this folder"),
        *facts["libraries"].items(),
    ]
    lines = [aligned(rows), ""]
    for plugin in plugins:
        line = f"{plugin.namespace} ({plugin.distribution} {plugin.version}): {plugin.state}"
        lines.append(f"{line}: {plugin.why}" if plugin.why else line)
        if plugin.traceback:
            lines.append(textwrap.indent(plugin.traceback.rstrip(), "    "))
    return "\n".join(lines if plugins else [*lines, "no plugins are installed"])


def _plain(plugin: Plugin) -> dict[str, str]:
    """Return a plugin as plain values."""
    return {name: str(value) for name, value in vars(plugin).items() if name != "folder"}
