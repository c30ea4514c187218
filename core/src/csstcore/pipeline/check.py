"""The static check: a pipeline and everything it names becomes a plan, or one list of problems."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from csstcore.definitions.catalog import Definitions
from csstcore.definitions.products import product_type
from csstcore.errors import CsstError, Problems, nearest
from csstcore.pipeline.bind import Slot, bind_step, stage_problem
from csstcore.pipeline.find import find_pipeline
from csstcore.pipeline.model import InputModel, PipelineModel, load_pipeline
from csstcore.pipeline.parameters import check_setting_names
from csstcore.pipeline.plan import Plan, PlanInput, PlanOutput, Step
from csstcore.pipeline.requirements import check_requirements
from csstcore.pipeline.where import impossible_conditions
from csstcore.plugin import Stage
from csstcore.plugins.registry import Registry
from csstcore.products.meta import META_FIELDS


@dataclass
class _Check:
    """The state of one static check."""

    model: PipelineModel
    registry: Registry
    definitions: Definitions
    settings: Mapping[str, Any]
    absent: frozenset[str]
    problems: list[str]

    def product_type(self, definition: str, where: str) -> type | None:
        if definition.partition(".")[0] in self.absent:
            return None
        try:
            return product_type(self.definitions.get(definition).definition.product)
        except CsstError as error:
            self.problems.append(f"{where}: {error}")
            return None

    def keys(self, definition: str) -> set[str]:
        """Keys by which files of a definition may be grouped, selected and joined."""
        return {*META_FIELDS, *self.definitions.get(definition).keys}

    def keys_of_others(self, name: str) -> set[str]:
        """Keys of the inputs that make jobs, to which the input called `name` may be joined."""
        found: set[str] = set()
        for other, item in self.model.inputs.items():
            for definition in item.definitions if other != name and item.by is None else ():
                with suppress(CsstError):
                    found |= self.keys(definition)
        return found


def build_plan(
    registry: Registry,
    definitions: Definitions,
    pipeline: str,
    settings: Mapping[str, Any] | None = None,
) -> Plan:
    """Check a pipeline against everything installed and resolve every name in it.

    Parameters
    ----------
    pipeline
        Full name, alias, or path of a TOML file.
    settings
        Parameters from the command line: ``{"stage_id.parameter": value}``.

    Raises
    ------
    Problems
        With every problem of the pipeline at once.
    """
    found = find_pipeline(registry, pipeline)
    model, text = load_pipeline(found.path)
    own = found.declared.plugin.distribution if found.declared else None
    problems, absent = check_requirements(model, registry, own)
    check = _Check(model, registry, definitions, settings or {}, absent, problems)
    inputs = _inputs(check)
    problems += check_setting_names(model, check.settings)
    steps, slots = _steps(check, inputs)
    outputs = _outputs(check, slots)
    if problems:
        raise Problems(f"pipeline {found.name} ({found.path.name})", problems)
    distributions = {step.distribution: step.version for step in steps}
    if found.declared:
        distributions[found.declared.plugin.distribution] = found.declared.plugin.version
    return Plan(
        name=found.name if found.declared else model.pipeline.name,
        path=found.path,
        text_sha256=hashlib.sha256(text.encode()).hexdigest(),
        model=model,
        inputs=tuple(inputs),
        steps=_with_lifetimes(steps, outputs),
        outputs=tuple(outputs),
        distributions=dict(sorted(distributions.items())),
    )


def _inputs(check: _Check) -> list[PlanInput]:
    result = []
    for name, item in check.model.inputs.items():
        where = f"input {name}"
        types = {check.product_type(full, where) for full in item.definitions} - {None}
        if len(types) > 1:
            shown = ", ".join(sorted(kind.__name__ for kind in types if kind))
            check.problems.append(f"{where}: its definitions are of different types: {shown}")
        _check_keys(check, name, item)
        kind = next(iter(types), None)
        if kind is not None:
            result.append(PlanInput(name, kind, item))
    return result


def _check_keys(check: _Check, name: str, item: InputModel) -> None:
    """Every key that groups or selects must be one the definition gives."""
    group_by = check.model.pipeline.group_by
    joined = check.keys_of_others(name)
    for stray in sorted(set(item.by or ()) - {*group_by, *joined}):
        check.problems.append(
            f"input {name}: by names {stray!r}, which is neither in group_by nor a key of "
            f"another input{nearest(stray, (*group_by, *joined))}"
        )
    wanted = {*(group_by if item.by is None else item.by), *item.where}
    for definition in item.definitions:
        if definition.partition(".")[0] in check.absent:
            continue
        try:
            known = check.keys(definition)
        except CsstError:
            return
        impossible = impossible_conditions(item, check.definitions.get(definition))
        check.problems += [f"input {name}: {definition}: {line}" for line in impossible]
        for key in sorted(wanted - known):
            check.problems.append(
                f"input {name}: {definition} has no key {key!r}{nearest(key, known)}; "
                "group_by and where use meta fields and the definition's [keys]"
            )


def _steps(check: _Check, inputs: list[PlanInput]) -> tuple[list[Step], dict[str, Slot]]:
    slots = {item.name: Slot(item.type, item.model.many) for item in inputs}
    for name in check.model.inputs:
        slots.setdefault(name, Slot(None, check.model.inputs[name].many))
    stages = check.registry.declared(Stage)
    steps: list[Step] = []
    seen: set[str] = set()
    for position, stage in enumerate(check.model.stage, 1):
        if stage.step in seen:
            check.problems.append(
                f"stage {position} ({stage.use}): the id {stage.step!r} is taken; give it an id"
            )
        seen.add(stage.step)
        if stage.use.partition(".")[0] in check.absent:
            slots |= {name: Slot(None, None) for name in _possible_outputs(stage.out, stage.step)}
            continue
        try:
            declared = stages.get(stage.use) or check.registry.get(Stage, stage.use)
        except CsstError as error:
            check.problems.append(stage_problem(stage.step, error))
            continue
        later = [item.step for item in check.model.stage[position:]]
        step = bind_step(
            stage,
            declared,
            slots,
            registry=check.registry,
            group_by=check.model.pipeline.group_by,
            settings=check.settings,
            problems=check.problems,
            incomplete=bool(check.absent),
            later=later,
        )
        if step is not None:
            steps.append(step)
    return steps, slots


def _possible_outputs(out: Mapping[str, str], step: str) -> list[str]:
    """Products a stage that is not installed may give, so that one cause makes one problem."""
    return [*out.values(), step]


def _outputs(check: _Check, slots: Mapping[str, Slot]) -> list[PlanOutput]:
    result = []
    for name, value in check.model.outputs.items():
        names = (value,) if isinstance(value, str) else value
        where = f"output {name}"
        slot = slots.get(name)
        if slot is None and not check.absent:
            check.problems.append(
                f"{where}: no stage makes a product of that name{nearest(name, slots)}"
            )
        for definition in names:
            kind = check.product_type(definition, where)
            if kind and slot and slot.type and not issubclass(slot.type, kind):
                check.problems.append(
                    f"{where}: {definition} holds {kind.__name__}, "
                    f"the product is {slot.type.__name__}"
                )
        if slot is not None and slot.type is not None:
            result.append(PlanOutput(name, slot.type, names, bool(slot.series)))
    return result


def _with_lifetimes(steps: list[Step], outputs: list[PlanOutput]) -> tuple[Step, ...]:
    """Note after every step which products are still read."""
    live = frozenset(output.name for output in outputs)
    result: list[Step] = []
    for step in reversed(steps):
        result.append(replace(step, live_after=live))
        read = {item.name for item in step.bindings.values() if item.kind == "product"}
        live = live | read
    return tuple(reversed(result))
