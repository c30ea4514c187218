"""A plan as a text graph: every stage, wire and value with its origin."""

from __future__ import annotations

from collections.abc import Iterator

from csstcore.pipeline.plan import Plan, Step


def describe_plan(plan: Plan) -> str:
    """Return the graph of a plan as text, one line per wire and per value."""
    return "\n".join(_lines(plan))


def _lines(plan: Plan) -> Iterator[str]:
    grouped = ", ".join(plan.group_by) or "nothing: all files are one job"
    yield f"{plan.name}  {plan.summary}"
    yield f"one job per  {grouped}"
    yield f"versions     {', '.join(f'{name} {v}' for name, v in plan.distributions.items())}"
    yield ""
    yield "inputs"
    for item in plan.inputs:
        conditions = [f"{key} = {_plain(value)}" for key, value in item.model.where.items()]
        if item.model.many:
            conditions.append(f"many, at least {item.model.minimum or 1}")
        if item.model.by is not None:
            conditions.append(f"joined by {', '.join(item.model.by)}")
        if item.model.optional:
            conditions.append("optional")
        rest = f"  [{'; '.join(conditions)}]" if conditions else ""
        yield f"  {item.name}: {item.type.__name__}  <- {' + '.join(item.definitions)}{rest}"
    yield ""
    yield "stages"
    for number, step in enumerate(plan.steps, 1):
        yield from _step_lines(number, step)
    yield ""
    yield "outputs"
    for output in plan.outputs:
        series = "series of " if output.series else ""
        yield (
            f"  {output.name}: {series}{output.type.__name__}  -> {' + '.join(output.definitions)}"
        )


def _step_lines(number: int, step: Step) -> Iterator[str]:
    notes = [f"{step.distribution} {step.version}"]
    if not step.required:
        notes.append("may fail")
    if step.mapped:
        notes.append("once per element")
    yield f"  {number:2d} {step.id}  {step.use}  ({', '.join(notes)})"
    for item in step.signature.inputs:
        binding = step.bindings[item.name]
        how = " (changed in place)" if item.in_place else ""
        source = "nothing" if binding.kind == "nothing" else binding.name
        yield f"       {item.name} <- {source}{how}"
    for reference in step.signature.references:
        binding = step.bindings[reference.name]
        kind = "product" if binding.kind == "product" else "reference"
        optional = " (may be absent)" if reference.optional else ""
        yield f"       {reference.name} <- {kind} {binding.name}{optional}"
    for name, value in step.parameters.items():
        shown = f"key {value.value}" if value.origin == "job key" else repr(value.value)
        yield f"       {name} = {shown}  ({value.origin})"
    for name, product in step.outputs.items():
        yield f"       {name} -> {product}"


def _plain(value: object) -> str:
    if isinstance(value, tuple):
        return " | ".join(str(item) for item in value)
    return str(value)
