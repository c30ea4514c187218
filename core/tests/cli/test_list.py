"""``csstcore list``: everything installed, whatever its state, at little cost."""

import json
import subprocess
import sys

import pytest

from csstcore.cli.main import main
from csstcore.plugin import Check, Definition, Pipeline, ReferenceRules, ReferenceType, Stage
from csstcore.testing.registries import plugin_module

PROGRAM = """
import sys
from csstcore.cli.main import main
code = main({arguments!r})
heavy = [name for name in ("numpy", "astropy", "pydantic") if name in sys.modules]
sys.exit(f"imported {{heavy}}" if heavy else code)
"""


@pytest.fixture
def registry(isolated_registry):
    return isolated_registry(
        a=plugin_module(
            "a.plugin",
            Stage("align", "m:f", "Align two images"),
            Pipeline("l1", "l1.toml", "Level 1"),
            Definition("image", "image.toml", "An image"),
            ReferenceType("bias", "fits", "Master bias"),
            Check("level", "m:f", "Level of the sky"),
        ),
        b=plugin_module("b.plugin", ReferenceRules("a.bias", "bias.toml", "The shipped bias")),
    )


@pytest.mark.parametrize(
    ("kind", "lines"),
    [
        ("plugins", ["a  csst-a  0.1.0  active", "b  csst-b  0.1.0  active"]),
        ("stages", ["a.align  Align two images"]),
        ("pipelines", ["a.l1  Level 1"]),
        ("definitions", ["a.image  An image"]),
        (
            "references",
            ["a.bias  fits        Master bias", "a.bias  rules of b  The shipped bias"],
        ),
        ("checks", ["a.level  Level of the sky"]),
    ],
)
def test_each_kind_is_one_aligned_line_per_item(registry, capsys, kind, lines):
    assert main(["list", kind]) == 0
    assert capsys.readouterr().out.splitlines() == lines


def test_without_argument_the_plugins_and_the_names_of_everything_else(registry, capsys):
    assert main(["list"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "a  csst-a  0.1.0  active",
        "b  csst-b  0.1.0  active",
        "",
        "   1  stages       a.align",
        "   1  pipelines    a.l1",
        "   1  definitions  a.image",
        "   1  references   a.bias",
        "   1  checks       a.level",
    ]


def test_json_of_one_kind_is_a_list(registry, capsys):
    assert main(["list", "stages", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [
        {
            "full_name": "a.align",
            "distribution": "csst-a",
            "type": "Stage",
            "name": "align",
            "target": "m:f",
            "summary": "Align two images",
        }
    ]


def test_json_of_everything_is_a_mapping(registry, capsys):
    assert main(["list", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found) == ["plugins", "stages", "pipelines", "definitions", "references", "checks"]
    assert [each["state"] for each in found["plugins"]] == ["active", "active"]


def test_nothing_installed_is_said(isolated_registry, capsys):
    isolated_registry()
    assert main(["list", "plugins"]) == 0
    assert main(["list", "checks"]) == 0
    assert capsys.readouterr().out == "no plugins are installed\nno checks are declared\n"


def test_an_unknown_kind_is_a_usage_error(isolated_registry, capsys):
    assert main(["list", "stage"]) == 2
    assert "'stage'" in capsys.readouterr().err


@pytest.fixture
def wrecks(fake_distribution):
    """Install one plugin of every state."""
    fake_distribution("bad", "raise SystemExit('no licence')")
    fake_distribution("old", requires=("csstcore<0.1",))
    fake_distribution("same", distribution="first")
    fake_distribution("same", distribution="second")
    fake_distribution("good")
    return fake_distribution


def test_plugins_of_every_state_are_listed_with_the_reason_and_exit_0(wrecks, capsys):
    assert main(["list"]) == 0
    lines = [line.split(maxsplit=4) for line in capsys.readouterr().out.splitlines()[:5]]
    assert [line[3] for line in lines] == ["broken", "active", "incompatible", *["conflict"] * 2]
    assert lines[0][4] == "SystemExit: no licence"
    assert lines[2][4] == "requires csstcore <0.1; this is csstcore 0.1.0"
    assert lines[3][4] == "first and second claim the same namespace; uninstall all but one"


@pytest.mark.parametrize("arguments", [["list"], ["list", "stages"], ["list", "--json"]])
def test_listing_imports_neither_numpy_nor_astropy_nor_pydantic(wrecks, monkeypatch, arguments):
    monkeypatch.setenv("PYTHONPATH", str(wrecks.folder))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(arguments=arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "good" in done.stdout or "stages" in arguments
