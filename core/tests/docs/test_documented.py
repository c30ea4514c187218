"""Everything public is in the documentation, under its exact name; what is gone is not."""

from __future__ import annotations

import re
import sys
import tomllib
from dataclasses import fields
from importlib import import_module
from typing import Any, get_args

import click
import pytest

import csstcore.api
import csstcore.plugin
from csstcore import errors
from csstcore.definitions import hdu_model
from csstcore.definitions import model as definition
from csstcore.pipeline import model as pipeline
from csstcore.plugins.hooks import HOOKS
from csstcore.plugins.registry import PluginState
from csstcore.products.meta import META_FIELDS
from csstcore.run.status import Failure, Status

from .pages import DOCS, ROOT, first_cells, pages, section

PLUGIN_GUIDE = "docs/guides/write_a_plugin.md"
PIPELINE_GUIDE = "docs/guides/write_a_pipeline.md"
DEFINITIONS = "docs/guides/definitions.md"
CONCEPTS = "docs/concepts.md"


def ticked(text: str) -> set[str]:
    """Every name in backticks."""
    return set(re.findall(r"`([^`\n]+)`", text))


def test_every_hook_is_listed_with_what_it_returns() -> None:
    table = section(PLUGIN_GUIDE, "What a plugin declares")
    for hook, kinds in HOOKS.items():
        (row,) = re.findall(rf"^\| `{hook}` \|.*$", table, re.MULTILINE)
        assert {kind.__name__ for kind in kinds} <= ticked(row)
    listed = {name for name in ticked(table) if name.startswith("csst_")}
    assert listed == set(HOOKS)


@pytest.mark.parametrize("kind", get_args(csstcore.plugin.Declaration), ids=lambda k: k.__name__)
def test_every_field_of_a_declaration_is_listed(kind: Any) -> None:
    table = section(PLUGIN_GUIDE, "What a plugin declares")
    (row,) = re.findall(rf"^\| `{kind.__name__}` \|(.*)$", table, re.MULTILINE)
    assert {field.name for field in fields(kind)} <= ticked(row)


def test_every_name_of_the_api_is_in_the_guide_and_in_the_reference() -> None:
    reference = pages()["docs/api.md"]
    for name in csstcore.api.__all__:
        assert re.search(rf"csstcore\.api\.{name}\b", reference), name
        assert re.search(rf"`(?:[^`\n]*\W)?{name}\b", pages()[PLUGIN_GUIDE]), name


def test_every_fact_of_meta_is_listed() -> None:
    table = section(PLUGIN_GUIDE, "Facts about a product")
    assert set(META_FIELDS) <= ticked(table)


PIPELINE_TABLES = {
    "`[pipeline]`": pipeline.PipelineHeader,
    "`[inputs]`": pipeline.InputModel,
    "`[[stage]]`": pipeline.StageModel,
}
DEFINITION_TABLES = {
    "`[definition]`": definition.HeadModel,
    "`[file]`": definition.FileModel,
    "`[file.fields]`": definition.FieldModel,
    "`[meta]`": definition.MetaRule,
    "`[flags]`": definition.FlagModel,
    "`[[hdu]]`": hdu_model.HduModel,
    "`[hdu.keywords]`": hdu_model.KeywordModel,
    "`[[hdu.column]]`": hdu_model.ColumnModel,
    "`[[check]]`": definition.CheckModel,
    "`[[figure]]`": definition.FigureModel,
}


@pytest.mark.parametrize(
    ("page", "heading", "model"),
    [(PIPELINE_GUIDE, *item) for item in PIPELINE_TABLES.items()]
    + [(DEFINITIONS, *item) for item in DEFINITION_TABLES.items()],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_the_keys_of_a_table_are_exactly_those_listed(page: str, heading: str, model: Any) -> None:
    keys = {field.alias or name for name, field in model.model_fields.items()}
    assert first_cells(section(page, heading)) == keys


def test_every_table_of_a_pipeline_and_a_definition_is_named() -> None:
    assert set(pipeline.PipelineModel.model_fields) <= ticked(pages()[PIPELINE_GUIDE]) | {
        name.strip("[]") for name in ticked(pages()[PIPELINE_GUIDE])
    }
    listed = section(DEFINITIONS, "The tables").partition("###")[0]
    assert set(definition.DefinitionModel.model_fields) <= ticked(listed)


def test_every_origin_of_a_value_is_listed() -> None:
    listed = first_cells(section(DEFINITIONS, "Where values come from")) - {"from"}
    assert {name.partition(".")[0] for name in listed} == set(hdu_model.ORIGINS)


def test_every_fill_is_that_of_the_code() -> None:
    text = section(DEFINITIONS, "Fills")
    for kind, value in hdu_model.DEFAULT_FILL.items():
        if value is not None:
            shown = f'`"{value}"`' if isinstance(value, str) else str(value)
            assert f"{shown} for `{kind}`" in text.replace("\n", " ")


@pytest.mark.parametrize(
    ("heading", "words"),
    [("How things end", [*Status]), ("Plugins and their states", [*PluginState])],
)
def test_the_words_for_states_are_exactly_those_listed(heading: str, words: list[str]) -> None:
    assert first_cells(section(CONCEPTS, heading)) == {str(word) for word in words}


def test_every_kind_of_failure_is_named() -> None:
    assert {str(kind) for kind in Failure if kind} <= ticked(section(CONCEPTS, "How things end"))


def test_every_exit_code_is_listed() -> None:
    codes = {value for name, value in vars(errors).items() if name.startswith("EXIT_")}
    listed = re.findall(r"^\| (\d+) \|", section(CONCEPTS, "Exit codes"), re.MULTILINE)
    assert {int(code) for code in listed} == codes


@pytest.fixture
def command_line(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The extension that writes the page of the command line."""
    monkeypatch.syspath_prepend(DOCS / "_ext")
    yield import_module("command_line")
    sys.modules.pop("command_line", None)


def test_the_page_of_the_command_line_has_every_command_and_option(command_line: Any) -> None:
    assert "```{command-line}" in pages()["docs/cli.md"]
    from csstcore.cli.main import COMMANDS

    listed = command_line.commands()
    assert {path.split()[1] for path in listed} == set(COMMANDS)
    for path, context in listed.items():
        shown = command_line.section(path, context).astext()
        options = [each for each in context.command.params if isinstance(each, click.Option)]
        spellings = {spelling for each in options for spelling in each.opts}
        assert all(spelling in shown for spelling in spellings), path


def test_every_option_of_a_run_has_a_sentence() -> None:
    from csstcore.cli.run import command

    options = [each for each in command.params if isinstance(each, click.Option)]
    assert [each.name for each in options if not each.help] == []


def test_the_table_of_proposals_misses_no_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(DOCS / "_ext")
    proposed = import_module("proposed")
    for path in (ROOT / "plugins").glob("*/src/**/*.toml"):
        text = path.read_text(encoding="utf-8")
        marks = re.findall(r"\bproposed = true\b", text)
        assert len(list(proposed.marked(tomllib.loads(text), ""))) == len(marks), path
    listed = dict(proposed.found())
    assert "PROJECT" in listed["plugins/msc/src/csst_msc/definitions/l0.toml"]
    assert "prnu" in listed["plugins/sim/src/csst_sim/references/msc_detector_ranges.toml"]


def test_every_benchmark_program_is_listed() -> None:
    programs = {path.name for path in (ROOT / "benchmarks").glob("*.py")}
    assert programs == first_cells(pages()["docs/benchmarks/how_to_measure.md"])


def test_no_page_names_a_machine_path() -> None:
    for page, text in pages().items():
        assert not re.search(r"(?<![\w.])/(?:home|work|tmp|Users|root)/", text), page


def test_every_link_between_pages_leads_somewhere() -> None:
    for page, text in pages().items():
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", text):
            assert ((ROOT / page).parent / target).exists(), f"{page}: {target}"
