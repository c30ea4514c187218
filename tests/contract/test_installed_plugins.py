"""Every installed plugin runs the contract on itself; together they fit."""

from __future__ import annotations

import ast
import tomllib
from collections import Counter
from pathlib import Path

import pytest

from csstcore.definitions.catalog import Definitions
from csstcore.pipeline.check import build_plan
from csstcore.plugin import Definition, Pipeline, Stage
from csstcore.plugins.discovery import discover
from csstcore.plugins.registry import Plugin, PluginState

ROOT = Path(__file__).parents[2]
PLUGINS = discover().plugins


def sources(plugin: Plugin) -> Path:
    """Return the folder of the distribution's repository."""
    assert plugin.folder is not None
    return plugin.folder.parents[1]


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda plugin: plugin.namespace)
def test_plugin_is_active_and_runs_the_contract_on_itself(plugin: Plugin) -> None:
    assert plugin.state is PluginState.ACTIVE, f"{plugin.why}\n{plugin.traceback}"
    module = ast.parse((sources(plugin) / "tests" / "test_contract.py").read_text())
    imports = [
        node.module
        for node in module.body
        if isinstance(node, ast.ImportFrom) and node.names[0].name == "*"
    ]
    assert imports == ["csstcore.testing.contract"]
    named = {
        target.id: node.value.value
        for node in module.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    assert named["PLUGIN"] == plugin.namespace


def test_every_plugin_of_this_repository_is_installed() -> None:
    folders = [*ROOT.glob("plugins/*/pyproject.toml"), *ROOT.glob("examples/*/pyproject.toml")]
    names = {tomllib.loads(path.read_text())["project"]["name"] for path in folders}
    assert names <= {plugin.distribution for plugin in PLUGINS}


def test_every_pipeline_fits_what_is_installed() -> None:
    registry = discover()
    definitions = Definitions(registry)
    for name in registry.declared(Pipeline):
        assert build_plan(registry, definitions, name).steps


def test_every_definition_can_be_used() -> None:
    definitions = Definitions(discover())
    assert definitions.usable() == (list(definitions), [])


def test_no_alias_is_claimed_twice() -> None:
    registry = discover()
    claimed = Counter(
        alias
        for each in registry.declared(Pipeline).values()
        for alias in tomllib.loads(each.path.read_text())["pipeline"].get("aliases", ())
    )
    assert all(count == 1 for count in claimed.values())


def test_stages_and_definitions_say_what_they_are() -> None:
    registry = discover()
    for kind in (Stage, Definition):
        assert all(each.declaration.summary for each in registry.declared(kind).values())
