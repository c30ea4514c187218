'''The contract tests: what every plugin package must keep, run by the package on itself.

One test module of the package holds one line and two names::

    from csstcore.testing.contract import *  # noqa: F403

    PLUGIN = "calib"                      # the namespace


    def examples():
        """Return a small call of every stage."""
        return {"subtract_bias": ((Image(...), Image(...)), {"scale": 1.0})}

`examples` maps the name of each stage to the arguments ``(args, kwargs)`` of one call on small
products. Every stage needs one, and nothing else may have one; a plugin without stages leaves
the function out. It is called anew for every test, so examples may be changed in place.
'''

# ruff: noqa: S101 - these are tests
from __future__ import annotations

import inspect
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import pytest

from csstcore.errors import NotApplicable, Problems, UnprocessableData
from csstcore.plugin import (
    Declaration,
    Definition,
    Layout,
    Pipeline,
    ReferenceRules,
    ReferenceType,
    Stage,
)
from csstcore.plugins.discovery import discover
from csstcore.plugins.hooks import HOOKS
from csstcore.plugins.importing import load
from csstcore.plugins.registry import Declared, Plugin, PluginState, Registry
from csstcore.testing.imports import forbidden_imports

__all__ = [
    "contract_plugin",
    "pytest_generate_tests",
    "test_definition_loads",
    "test_every_stage_has_an_example",
    "test_pipeline_passes_the_static_check",
    "test_plugin_is_active",
    "test_plugin_module_is_cheap_to_import",
    "test_plugin_sees_only_the_public_core_and_no_other_plugin",
    "test_reference_rules_load",
    "test_stage_leaves_its_inputs_unchanged",
    "test_stage_returns_what_it_declares",
    "test_stage_signature_is_accepted",
    "test_summary_is_that_of_the_code",
    "test_target_is_importable",
]

HEAVY = ("numpy", "astropy", "pydantic")
Call = tuple[tuple[Any, ...], Mapping[str, Any]]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test once per declaration it is about."""
    about: dict[str, Callable[[Declaration], bool]] = {
        "contract_stage": lambda each: isinstance(each, Stage),
        "contract_definition": lambda each: isinstance(each, Definition),
        "contract_pipeline": lambda each: isinstance(each, Pipeline),
        "contract_rules": lambda each: isinstance(each, ReferenceRules),
        "contract_target": lambda each: _target(each) is not None,
        "contract_declaration": lambda each: (
            not isinstance(each, ReferenceType)
            and (hasattr(each, "target") or isinstance(each, (Definition, Pipeline, Layout)))
        ),
    }
    for fixture in about.keys() & set(metafunc.fixturenames):
        found = [each for each in _declared(metafunc.module) if about[fixture](each.declaration)]
        ids = [f"{type(each.declaration).__name__}-{each.full_name}" for each in found]
        metafunc.parametrize(fixture, found, ids=ids)


@pytest.fixture
def contract_plugin(request: pytest.FixtureRequest) -> Plugin:
    """Return the plugin that the test module names."""
    return _plugin(request.module)


def test_plugin_is_active(contract_plugin: Plugin) -> None:
    """The installed plugin is active; otherwise `csstcore doctor` says more."""
    if contract_plugin.state is not PluginState.ACTIVE:
        pytest.fail(
            f"{contract_plugin.namespace} is {contract_plugin.state}: {contract_plugin.why}\n"
            f"{contract_plugin.traceback}"
        )


def test_plugin_module_is_cheap_to_import(contract_plugin: Plugin) -> None:
    """``plugin.py`` loads in a fresh process without numpy, astropy and pydantic."""
    program = (
        f"import sys, importlib; importlib.import_module({contract_plugin.module!r}); "
        f"print(*[name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0, done.stderr
    assert not done.stdout.strip(), (
        f"importing {contract_plugin.module} imports {done.stdout.strip()}"
    )


def test_plugin_sees_only_the_public_core_and_no_other_plugin(contract_plugin: Plugin) -> None:
    """Only csstcore.plugin in ``plugin.py``; elsewhere of the core only csstcore.api."""
    assert contract_plugin.folder is not None, "the plugin is not active"
    others = {plugin.module.partition(".")[0] for plugin in discover().plugins}
    own = contract_plugin.module.partition(".")[0]
    assert not forbidden_imports(contract_plugin.folder, own, others - {own})


def test_target_is_importable(contract_target: Declared[Any]) -> None:
    """Every declared import string names something that exists."""
    target = _target(contract_target.declaration)
    assert target is not None
    load(target)


def test_summary_is_that_of_the_code(contract_declaration: Declared[Any]) -> None:
    """The declared summary is the docstring's first line without full stop, or the TOML's."""
    declaration = contract_declaration.declaration
    if isinstance(declaration, (Definition, Pipeline, Layout)):
        table = _toml(contract_declaration)[type(declaration).__name__.lower()]
        assert declaration.name == table["name"]
        expected = table["summary"]
    else:
        lines = (inspect.getdoc(load(declaration.target)) or "").splitlines() or [""]
        expected = lines[0].removesuffix(".")
    assert declaration.summary == expected


def test_stage_signature_is_accepted(contract_stage: Declared[Stage]) -> None:
    """The signature is one that pipelines can wire."""
    _signature(contract_stage)


def test_definition_loads(contract_definition: Declared[Definition]) -> None:
    """The definition is valid."""
    from csstcore.definitions.load import load_definition

    load_definition(contract_definition.path)


def test_reference_rules_load(contract_rules: Declared[ReferenceRules]) -> None:
    """The shipped rules are valid, and every file they name is there."""
    from csstcore.references.rules import read_rules

    rules = read_rules(contract_rules.path, contract_rules.declaration.name, need_sha256=False)
    folder = contract_rules.path.parent
    missing = [rule.file for rule in rules.rule if not (folder / rule.file).is_file()]
    assert not missing, f"{contract_rules.path} names files that are not there: {missing}"


def test_pipeline_passes_the_static_check(contract_pipeline: Declared[Pipeline]) -> None:
    """The pipeline fits what is installed, or all it lacks are distributions it requires."""
    from csstcore.definitions.catalog import Definitions
    from csstcore.pipeline.check import build_plan

    registry = discover()
    try:
        build_plan(registry, Definitions(registry), contract_pipeline.full_name)
    except Problems as error:
        missing = _missing(_toml(contract_pipeline).get("requires", {}))
        rest = [line for line in error.problems if not any(name in line for name in missing)]
        if rest or not missing:
            raise


def test_every_stage_has_an_example(
    contract_plugin: Plugin, request: pytest.FixtureRequest
) -> None:
    """The test module's `examples` covers every stage, and nothing else."""
    stages = {each.declaration.name for each in _declared(request.module, Stage)}
    given = set(_examples(request.module))
    assert not stages - given, f"examples() lacks the stages {sorted(stages - given)}"
    assert not given - stages, f"examples() has {sorted(given - stages)}, which are no stages"


def test_stage_leaves_its_inputs_unchanged(
    contract_stage: Declared[Stage], request: pytest.FixtureRequest
) -> None:
    """Only what is marked `InPlace` may change; proved by hashes before and after."""
    from csstcore.testing.fingerprint import fingerprint

    function, call = _example(contract_stage, request.module)
    bound = inspect.signature(function).bind(*call[0], **call[1])
    signature = _signature(contract_stage)
    kept = {each.name for each in signature.inputs if not each.in_place}
    kept |= {each.name for each in signature.references}
    products = {name: value for name, value in bound.arguments.items() if name in kept}
    before = {name: fingerprint(value) for name, value in products.items()}
    _call(function, call)
    changed = [name for name, value in products.items() if fingerprint(value) != before[name]]
    assert not changed, f"{contract_stage.full_name} changed its inputs {changed}"


def test_stage_returns_what_it_declares(
    contract_stage: Declared[Stage], request: pytest.FixtureRequest
) -> None:
    """As many products as the return annotation names, of those types."""
    function, call = _example(contract_stage, request.module)
    outputs = _signature(contract_stage).outputs
    returned = _call(function, call)
    products = (returned,) if len(outputs) == 1 else returned
    assert isinstance(products, tuple)
    assert len(products) == len(outputs)
    for output, product in zip(outputs, products, strict=True):
        elements = product if output.series else [product]
        for element in elements:
            absent = output.optional_elements and element is None
            assert absent or isinstance(element, output.type), (
                f"output {output.name!r} is {type(element).__name__}, not {output.type.__name__}"
            )


def _plugin(module: Any) -> Plugin:
    """Return the plugin that a test module is about."""
    namespace = getattr(module, "PLUGIN", None)
    if not isinstance(namespace, str):
        pytest.fail(f'{module.__name__} must set PLUGIN = "namespace" for the contract tests')
    found = [plugin for plugin in discover().plugins if plugin.namespace == namespace]
    if not found:
        pytest.fail(f"no installed plugin has the namespace {namespace!r}; pip install -e .")
    return found[0]


def _declared(module: Any, *kinds: type[Any]) -> list[Declared[Any]]:
    """Return what the plugin of a test module declares; nothing if there is no such plugin."""
    registry: Registry = discover()
    every = kinds or [kind for returned in HOOKS.values() for kind in returned]
    return [
        each
        for kind in every
        for each in registry.declared(kind).values()
        if each.plugin.namespace == getattr(module, "PLUGIN", None)
    ]


def _target(declaration: Any) -> str | None:
    """Return the import string of a declaration, if it has one."""
    target: str | None = getattr(declaration, "target", getattr(declaration, "product", None))
    return target


def _signature(stage: Declared[Stage]) -> Any:
    from csstcore.pipeline.signature import inspect_stage

    return inspect_stage(load(stage.declaration.target), stage.full_name)


def _examples(module: Any) -> Mapping[str, Call]:
    """Return the examples of a test module, made anew."""
    make = getattr(module, "examples", dict)
    found: Mapping[str, Call] = make()
    return found


def _example(stage: Declared[Stage], module: Any) -> tuple[Callable[..., Any], Call]:
    """Return the function of a stage and its example."""
    name = stage.declaration.name
    examples = _examples(module)
    if name not in examples:
        pytest.fail(f"stage {name!r} has no example: add it to examples() of this test module")
    return load(stage.declaration.target), examples[name]


def _call(function: Callable[..., Any], call: Call) -> Any:
    """Call a stage on its example, which must be one that it can process."""
    try:
        return function(*call[0], **call[1])
    except (NotApplicable, UnprocessableData) as error:
        pytest.fail(f"the example does not suit the stage: {type(error).__name__}: {error}")


def _toml(declared: Declared[Any]) -> dict[str, Any]:
    """Return the declared TOML file."""
    return tomllib.loads(declared.path.read_text(encoding="utf-8"))


def _missing(requires: Mapping[str, str]) -> list[str]:
    """Return the distributions that a pipeline requires and that are not installed."""
    missing = []
    for distribution in requires:
        try:
            version(distribution)
        except PackageNotFoundError:
            missing.append(distribution)
    return missing
