"""`Registry`: what was declared, found by name."""

from pathlib import Path
from types import ModuleType

import pytest

from csstcore.errors import ConfigurationError, PluginError
from csstcore.plugin import Check, Definition, ReferenceRules, ReferenceType, Stage
from csstcore.plugins.registry import PluginState, Registry
from csstcore.testing.registries import plugin_module

ALIGN = Stage("align", "package.module:align", "Align two images")
BIAS = ReferenceType("bias", "fits", "Master bias")
RULES = ReferenceRules("a.bias", "rules/bias.toml", "The shipped bias")
IMAGE = Definition("image", "definitions/image.toml", "An image")


@pytest.fixture
def registry(tmp_path):
    return Registry.of(
        {
            "b": plugin_module("b.plugin", ALIGN, RULES, folder=tmp_path),
            "a": plugin_module("a.plugin", ALIGN, BIAS, IMAGE, folder=tmp_path),
        }
    )


def test_each_kind_is_a_mapping_sorted_by_full_name(registry):
    assert list(registry.declared(Stage)) == ["a.align", "b.align"]
    assert list(registry.declared(ReferenceType)) == ["a.bias"]
    assert not registry.declared(Check)


def test_rules_carry_the_namespace_of_the_plugin_that_ships_them(registry):
    assert list(registry.declared(ReferenceRules)) == ["b.a.bias"]


def test_mappings_cannot_be_changed(registry):
    with pytest.raises(TypeError):
        registry.declared(Stage)["a.other"] = None


def test_a_declaration_knows_its_plugin_and_its_path(registry, tmp_path):
    found = registry.get(Definition, "a.image")
    assert found.declaration is IMAGE
    assert found.plugin.state is PluginState.ACTIVE
    assert found.plugin.distribution == "csst-a"
    assert found.path == tmp_path / "definitions" / "image.toml"


def test_a_stage_has_no_path(registry):
    with pytest.raises(TypeError, match="a stage has no path"):
        registry.get(Stage, "a.align").path  # noqa: B018


def test_a_module_without_file_gives_no_paths():
    registry = Registry.of({"a": plugin_module("a.plugin", IMAGE)})
    with pytest.raises(PluginError, match="plugin 'a' lies in no folder"):
        registry.get(Definition, "a.image").path  # noqa: B018


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        (Stage, "a.aligne", r"no stage is called 'a.aligne' \(did you mean 'a.align'\?\)"),
        (Stage, "align", r"stage 'align' has no namespace; .* \(did you mean '[ab].align'\?\)"),
        (Stage, "z.other", "stage 'z.other': no plugin with the namespace 'z' is installed$"),
        (ReferenceType, "a.flat", "no reference type is called 'a.flat'"),
    ],
)
def test_an_unknown_name_gives_the_nearest_one(registry, kind, name, message):
    with pytest.raises(ConfigurationError, match=message):
        registry.get(kind, name)


def test_a_wrong_module_is_refused_at_once():
    module = ModuleType("bad.plugin")
    exec("def csst_stages(): return []", module.__dict__)  # noqa: S102
    with pytest.raises(PluginError, match="not marked with @hookimpl"):
        Registry.of({"bad": module})


def test_a_path_is_a_path(registry):
    assert isinstance(registry.get(Definition, "a.image").path, Path)
