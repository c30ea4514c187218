"""The fixtures: isolation from what is installed, fake distributions, fake references."""

import subprocess
import sys
import tomllib

import pytest

from csstcore.api import Meta
from csstcore.plugin import ReferenceType, Stage
from csstcore.plugins.discovery import discover
from csstcore.references.store import ReferenceStore
from csstcore.testing.registries import plugin_module

ALIGN = Stage("align", "m:f", "Align two images")


def test_the_isolated_registry_refuses_real_discovery(isolated_registry):
    with pytest.raises(RuntimeError, match="sees no installed plugin"):
        discover()


def test_the_isolated_registry_is_what_discover_returns(isolated_registry):
    registry = isolated_registry(a=plugin_module("a.plugin", ALIGN))
    assert discover() is registry
    assert list(registry.declared(Stage)) == ["a.align"]


def test_a_second_registry_replaces_the_first(isolated_registry):
    isolated_registry(a=plugin_module("a.plugin", ALIGN))
    isolated_registry(b=plugin_module("b.plugin", ALIGN))
    assert list(discover().declared(Stage)) == ["b.align"]


def test_installed_plugins_are_seen_when_asked_for(installed_plugins):
    assert {"calib", "msc"} <= {plugin.namespace for plugin in installed_plugins.plugins}
    assert discover() is installed_plugins


def test_fake_distributions_hide_what_is_installed(fake_distribution):
    fake_distribution("only", files={"stages/align.py": "answer = 42"})
    assert [plugin.namespace for plugin in discover().plugins] == ["only"]
    from fake_only.stages.align import answer

    assert answer == 42


def test_modules_of_fake_distributions_are_forgotten():
    assert not [name for name in sys.modules if name.startswith("fake_")]


def test_fake_references_are_chosen_by_the_store(fake_references, isolated_registry, tmp_path):
    kinds = ReferenceType("readout", "toml", "Geometry"), ReferenceType("bias", "fits", "Bias")
    registry = isolated_registry(a=plugin_module("a.plugin", *kinds))
    fake_references.add("a.readout", {"channels": 16}, {"detector": 7})
    (tmp_path / "bias.fits").write_bytes(b"not read here")
    fake_references.add("a.bias", tmp_path / "bias.fits")
    store = ReferenceStore(fake_references.folder, registry)
    chosen = store.choose("a.readout", Meta(detector=7)).path
    assert tomllib.loads(chosen.read_text()) == {"channels": 16}
    assert store.choose("a.bias", Meta()).path.read_bytes() == b"not read here"


def test_the_pytest_plugin_imports_nothing_heavy():
    program = (
        "import sys, csstcore.testing.pytest_plugin; "
        "sys.exit([n for n in ('numpy', 'astropy', 'pydantic', 'stevedore') if n in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.stderr.strip() == "[]"
