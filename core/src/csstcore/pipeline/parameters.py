"""Resolve a stage's parameters: default, pipeline, command line, job key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError, create_model

from csstcore.errors import Problems, nearest
from csstcore.pipeline.model import PipelineModel, StageModel
from csstcore.pipeline.plan import Origin, Step, Value
from csstcore.pipeline.signature import StageSignature


def check_setting_names(model: PipelineModel, settings: Mapping[str, Any]) -> list[str]:
    """Return a problem for every command-line setting that names no stage of the pipeline."""
    ids = [stage.step for stage in model.stage]
    problems = []
    for name in settings:
        step, dot, parameter = name.partition(".")
        if not dot or not parameter:
            problems.append(f"setting {name!r}: write STAGE.PARAMETER=VALUE")
        elif step not in ids:
            problems.append(f"setting {name!r}: no stage has the id {step!r}{nearest(step, ids)}")
    return problems


def resolve_parameters(
    stage: StageModel,
    signature: StageSignature,
    group_by: Sequence[str],
    settings: Mapping[str, Any],
    problems: list[str],
) -> dict[str, Value]:
    """Validate a stage's parameters and note where each value comes from.

    A parameter named like a key of the job is left to the run, as ``Value(key, "job key")``.
    """
    fields = signature.parameters.model_fields
    own = f"{stage.step}."
    from_command_line = {
        name.removeprefix(own): value for name, value in settings.items() if name.startswith(own)
    }
    given = {**stage.params, **from_command_line}
    keys = {name for name in fields if name in group_by}
    for name in sorted(set(given) & keys):
        problems.append(f"stage {stage.step}: {name!r} is a key of the job and cannot be set")
        del given[name]
    for name in sorted(set(given) - set(fields)):
        problems.append(
            f"stage {stage.step}: {stage.use} has no parameter {name!r}{nearest(name, fields)}"
        )
        del given[name]
    values = _validate(stage, signature, keys, given, problems)
    result: dict[str, Value] = {}
    for name in fields:
        origin: Origin = "default"
        if name in keys:
            result[name] = Value(name, "job key")
            continue
        if name in from_command_line:
            origin = "command line"
        elif name in stage.params:
            origin = "pipeline"
        result[name] = Value(values.get(name), origin)
    return result


def call_parameters(step: Step, keys: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keyword arguments of one call of a step, job keys included.

    Raises
    ------
    ConfigurationError
        If a job's key does not fit the parameter's type.
    """
    given = {
        name: keys[value.value] if value.origin == "job key" else value.value
        for name, value in step.parameters.items()
    }
    try:
        checked = step.signature.parameters.model_validate(given)
    except ValidationError as error:
        lines = [
            f"{item['loc'][0]}: {item['msg']}; found {item['input']!r}" for item in error.errors()
        ]
        raise Problems(f"stage {step.id}: a key of the job does not fit", lines) from error
    return {name: getattr(checked, name) for name in given}


def _validate(
    stage: StageModel,
    signature: StageSignature,
    keys: set[str],
    given: Mapping[str, Any],
    problems: list[str],
) -> dict[str, Any]:
    """Validate everything but the keys of the job, whose values are not known yet."""
    fields: dict[str, Any] = {
        name: (field.annotation, field)
        for name, field in signature.parameters.model_fields.items()
        if name not in keys
    }
    model = create_model("parameters", __config__=signature.parameters.model_config, **fields)
    try:
        checked = model.model_validate(given)
    except ValidationError as error:
        problems += [_problem(stage, item) for item in error.errors()]
        return {}
    return {name: getattr(checked, name) for name in fields}


def _problem(stage: StageModel, item: Any) -> str:
    name = str(item["loc"][0])
    if item["type"] == "missing":
        return (
            f"stage {stage.step}: parameter {name!r} of {stage.use} has no value; "
            "set it in params, or group by it"
        )
    deeper = ".".join(str(part) for part in item["loc"])
    return f"stage {stage.step}: parameter {deeper!r}: {item['msg']}; found {item['input']!r}"
