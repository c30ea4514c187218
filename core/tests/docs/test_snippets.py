"""Every block of code in the documentation is what it says it is."""

from __future__ import annotations

import ast
import inspect
import shlex
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import astropy.units as u
import click
import numpy as np
import pytest
from astropy.table import QTable

from csstcore.api import FileError, Image, Table
from csstcore.cli.main import cli
from csstcore.definitions.catalog import Definitions
from csstcore.definitions.load import load_definition
from csstcore.pipeline.check import build_plan
from csstcore.pipeline.model import PipelineModel, load_pipeline
from csstcore.pipeline.signature import inspect_stage
from csstcore.plugin import Stage
from csstcore.plugins.collect import collect
from csstcore.plugins.discovery import discover
from csstcore.plugins.registry import Registry
from csstcore.report.layout import load_layout
from csstcore.testing.distributions import FakeDistributions
from csstcore.testing.references import FakeReferences
from csstcore.testing.registries import IsolatedRegistry

from .pages import Block, blocks, pages

PLUGIN_PAGES = ["README.md", "docs/guides/write_a_plugin.md"]


def test_there_are_blocks_of_every_kind() -> None:
    kinds = {block.check for block in blocks()}
    wanted = {"pipeline", "pipeline-form", "definition", "definition part", "stage", "hooks"}
    assert wanted <= kinds


@pytest.mark.parametrize("block", [*blocks("toml"), *blocks("python")], ids=str)
def test_a_block_is_of_its_language(block: Block) -> None:
    (tomllib.loads if block.language == "toml" else ast.parse)(block.text)


@pytest.mark.parametrize("block", blocks(check="pipeline"), ids=str)
def test_a_pipeline_passes_the_static_check(
    block: Block, tmp_path: Path, installed_plugins: Registry
) -> None:
    path = tmp_path / "shown.toml"
    path.write_text(block.text)
    plan = build_plan(installed_plugins, Definitions(installed_plugins), str(path))
    assert plan.steps


@pytest.mark.parametrize("block", blocks(check="pipeline-form"), ids=str)
def test_a_pipeline_of_plugins_to_come_has_the_right_form(block: Block, tmp_path: Path) -> None:
    path = tmp_path / "shown.toml"
    path.write_text(block.text)
    model, _ = load_pipeline(path)
    assert isinstance(model, PipelineModel)


@pytest.mark.parametrize("block", blocks(check="definition"), ids=str)
def test_a_definition_loads(block: Block, tmp_path: Path) -> None:
    path = tmp_path / "shown.toml"
    path.write_text(block.text)
    assert load_definition(path).hdu


@pytest.mark.parametrize("block", blocks(check="definition part"), ids=str)
def test_a_part_of_a_definition_loads(block: Block, tmp_path: Path) -> None:
    path = tmp_path / "shown.toml"
    head = '[definition]\nname = "shown"\nsummary = "Shown"\nproduct = "Image"\n'
    path.write_text(head + block.text)
    load_definition(path)


@pytest.mark.parametrize("block", blocks(check="layout"), ids=str)
def test_a_layout_loads(block: Block, tmp_path: Path) -> None:
    path = tmp_path / "shown.toml"
    path.write_text(block.text)
    assert load_layout(path).place


def executed(text: str) -> ModuleType:
    """A module made of a block."""
    module = ModuleType("shown")
    exec(compile(text, "shown", "exec"), vars(module))  # noqa: S102 - our own documentation
    return module


@pytest.mark.parametrize("block", blocks(check="stage"), ids=str)
def test_the_signature_of_a_stage_is_accepted(block: Block) -> None:
    module = executed(block.text)
    stages = [each for each in vars(module).values() if _is_own(each)]
    assert stages
    for stage in stages:
        inspect_stage(stage, stage.__name__)


def _is_own(value: Any) -> bool:
    return inspect.isfunction(value) and value.__code__.co_filename == "shown"


@pytest.mark.parametrize("block", blocks(check="hooks"), ids=str)
def test_hooks_are_collected(block: Block) -> None:
    assert collect(executed(block.text))


@pytest.mark.parametrize("page", PLUGIN_PAGES)
def test_the_short_plugin_is_discovered_and_runs(
    page: str, fake_distribution: FakeDistributions
) -> None:
    parts = {b.check.removeprefix("plugin "): b.text for b in blocks() if b.page == page}
    project = tomllib.loads(parts["pyproject"])["project"]
    ((namespace, target),) = project["entry-points"]["csstcore.plugins"].items()
    assert target == "csst_lab.plugin"
    fake_distribution(
        namespace,
        parts["plugin.py"],
        distribution=project["name"],
        version=project["version"],
        requires=tuple(project["dependencies"]),
        files={"sky.py": parts["sky.py"]},
    )
    registry = discover()
    declared = registry.get(Stage, "lab.subtract_sky")
    from csst_lab.sky import subtract_sky  # type: ignore[import-not-found]

    if "test" in parts:
        executed(parts["test"]).test_a_constant_sky_becomes_zero()
    signature = inspect_stage(subtract_sky, "lab.subtract_sky")
    assert [item.name for item in signature.inputs] == ["image"]
    assert (subtract_sky.__doc__ or "").startswith(declared.declaration.summary)


def test_the_reader_reads(tmp_path: Path) -> None:
    (block,) = blocks(check="reader")
    read = executed(block.text).read
    path = tmp_path / "image.json"
    path.write_text('{"header": {"INSTRUME": "LAB"}, "pixels": [[1, 2], [3, 4]]}')
    header, (image,) = read(path)
    assert header == {"INSTRUME": "LAB"}
    assert image.data.tolist() == [[1, 2], [3, 4]]
    assert read(path, header_only=True) == (header, [])
    path.write_text("[")
    with pytest.raises(FileError, match=r"image\.json: not an image"):
        read(path)


def test_the_check_and_the_figure_work() -> None:
    (block,) = blocks(check="checks")
    module = executed(block.text)
    image = Image(np.zeros((2, 2), np.float32), flags=np.array([[1, 0], [0, 0]], np.uint16))
    assert module.flagged_fraction(image) == 0.25
    catalog = Table(QTable({"x": [1, 2] * u.pixel, "y": [3, 4] * u.pixel}))
    assert len(module.source_map(catalog).axes) == 1


def test_the_fixtures_are_used_as_shown(
    isolated_registry: IsolatedRegistry, fake_references: FakeReferences
) -> None:
    (block,) = blocks(check="fixtures")
    module = executed(block.text)
    module.test_only_what_the_test_declares_is_there(isolated_registry)
    module.test_a_store_of_references(fake_references)


@pytest.mark.parametrize("page", PLUGIN_PAGES)
def test_a_plugin_in_20_lines_is_that_short(page: str) -> None:
    parts = [b.text for b in blocks("python") if b.page == page and b.check.startswith("plugin ")]
    lines = [line for text in parts for line in text.splitlines() if line.strip()]
    assert len(lines) <= 20


def commands() -> list[tuple[str, str]]:
    """Every command line of csstcore that a page shows."""
    shown = [(str(b), line) for b in blocks("console") for line in b.text.splitlines()]
    found = [(where, line.removeprefix("$ ").partition(" > ")[0]) for where, line in shown]
    return [(where, line) for where, line in found if line.startswith("csstcore ")]


@pytest.mark.parametrize(("where", "line"), commands())
def test_a_command_line_is_understood(where: str, line: str) -> None:
    command: click.Command = cli
    words = shlex.split(line)[1:]
    while isinstance(command, click.Group):
        found = command.get_command(click.Context(command), words.pop(0))
        assert found is not None, where
        command = found
    # Only the words are looked at: files on the page need not exist.
    options, _, _ = command.make_parser(click.Context(command)).parse_args(words)
    assert isinstance(options, dict)


def test_the_readme_is_short() -> None:
    assert len(pages()["README.md"].splitlines()) < 150
