"""Mistakes in TOML are refused with the name of the file and of the key."""

from __future__ import annotations

from pathlib import Path

import pytest

from csstcore.errors import EXIT_ALL_FAILED, EXIT_PLUGINS, EXIT_USAGE
from csstcore.plugin import Definition
from csstcore.testing.registries import isolated, plugin_module

from .harness import Refusal, call, judge
from .toml_cases import DEFINITION, KINDS, PIPELINE, PLAN, RULES, Case, Kind, cases

CASES = {kind.name: cases(kind) for kind in KINDS}


def refusal(kind: Kind, text: bytes, folder: Path) -> tuple[Refusal, Path]:
    """Write the file, and have it read by the command that reads such files."""
    path = folder / f"{kind.name}.toml"
    if kind is RULES:
        path = folder / "store" / "rules" / "calib.bias.toml"
        path.parent.mkdir(parents=True)
    path.write_bytes(text)
    if kind is RULES:
        return call("refs", "list", "calib.bias", "--refs", folder / "store"), path
    if kind is PLAN:
        return call("validate", path, "--definition", "sim.plan"), path
    if kind is PIPELINE:
        return call("describe", path), path
    with isolated() as registry:
        declared = Definition("frame", path.name, "A frame")
        registry(lab=plugin_module("lab_plugin", declared, folder=folder))
        return call("describe", "lab.frame"), path


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_the_file_before_the_mistake_is_good(kind: Kind, tmp_path: Path) -> None:
    said, _ = refusal(kind, kind.text.encode(), tmp_path)
    assert said.code == 0, said


CODES = {
    PIPELINE.name: (EXIT_USAGE, EXIT_PLUGINS),
    DEFINITION.name: (EXIT_USAGE,),
    RULES.name: (EXIT_USAGE,),
    PLAN.name: (EXIT_ALL_FAILED,),
}


@pytest.mark.parametrize(
    ("kind", "case"),
    [pytest.param(kind, case, id=case.name) for kind in KINDS for case in CASES[kind.name]],
)
def test_a_mistake_is_named(kind: Kind, case: Case, tmp_path: Path) -> None:
    said, path = refusal(kind, case.text, tmp_path)
    judge(said, CODES[kind.name], [path.name, *case.causes])
