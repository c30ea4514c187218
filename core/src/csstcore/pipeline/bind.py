"""Wire one stage of a pipeline: products to inputs, types, references, outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from csstcore.errors import CsstError, nearest
from csstcore.pipeline.model import StageModel
from csstcore.pipeline.parameters import resolve_parameters
from csstcore.pipeline.plan import Binding, Step
from csstcore.pipeline.signature import Input, ReferenceInput, StageSignature, inspect_stage
from csstcore.plugin import ReferenceType, Stage
from csstcore.plugins.importing import load
from csstcore.plugins.registry import Declared, Registry


@dataclass(frozen=True, slots=True)
class Slot:
    """What is known about a product while the graph is walked."""

    type: type | None
    """None if its maker is not installed."""
    series: bool | None


def bind_step(
    stage: StageModel,
    declared: Declared[Stage],
    slots: dict[str, Slot],
    *,
    registry: Registry,
    group_by: Sequence[str],
    settings: Mapping[str, object],
    problems: list[str],
    incomplete: bool,
    later: Sequence[str],
) -> Step | None:
    """Resolve one stage against the products made so far and add its outputs to `slots`.

    Parameters
    ----------
    slots
        Products so far; changed.
    problems
        Everything that is wrong is appended here.
    incomplete
        Some plugin is not installed: products nobody makes are not reported again.
    later
        Ids of the stages that follow, to tell a misplaced stage from an unknown product.

    Returns
    -------
    Step or None
        None if the stage could not be loaded.
    """
    try:
        function = load(declared.declaration.target)
        signature = inspect_stage(function, declared.full_name)
    except CsstError as error:
        problems.append(stage_problem(stage.step, error))
        return None
    where = f"stage {stage.step}"
    _check_names(stage, signature, problems)
    bindings: dict[str, Binding] = {}
    for item in signature.inputs:
        bindings[item.name] = _bind_input(stage, item, slots, problems, incomplete, later)
    for reference in signature.references:
        bindings[reference.name] = _bind_reference(stage, reference, slots, registry, problems)
    mapped = _is_mapped(where, signature, bindings, slots, problems)
    if not stage.required and any(item.in_place for item in signature.inputs):
        problems.append(
            f"{where}: it changes its input in place, so it cannot have required = false"
        )
    outputs = _bind_outputs(stage, signature, bindings, mapped, slots, problems)
    return Step(
        id=stage.step,
        use=stage.use,
        function=function,
        distribution=declared.plugin.distribution,
        version=declared.plugin.version,
        signature=signature,
        bindings=bindings,
        parameters=resolve_parameters(stage, signature, group_by, settings, problems),
        outputs=outputs,
        required=stage.required,
        mapped=mapped,
        live_after=frozenset(),
    )


def stage_problem(step: str, error: CsstError) -> str:
    """Return a line for an error that may itself begin with ``stage NAME``."""
    return f"stage {step}: {str(error).removeprefix('stage ')}"


def _check_names(stage: StageModel, signature: StageSignature, problems: list[str]) -> None:
    """Names on the left of ``in``, ``out`` and ``references`` are the stage's own."""
    outputs = [output.name for output in signature.outputs]
    references = [reference.name for reference in signature.references]
    tables: tuple[tuple[str, Mapping[str, str], Sequence[str]], ...] = (
        ("in", stage.bindings, signature.order),
        ("out", stage.out, outputs),
        ("references", stage.references, references),
    )
    for table, given, valid in tables:
        for name in given:
            if name not in valid:
                listed = ", ".join(valid) or "none"
                problems.append(
                    f"stage {stage.step}: {table} names {name!r}{nearest(name, valid)}; "
                    f"{stage.use} has {listed}"
                )


def _bind_input(
    stage: StageModel,
    item: Input,
    slots: Mapping[str, Slot],
    problems: list[str],
    incomplete: bool,
    later: Sequence[str],
) -> Binding:
    product = stage.bindings.get(item.name, item.name)
    slot = slots.get(product)
    where = f"stage {stage.step}, input {item.name!r}"
    if slot is None:
        if item.optional and item.name not in stage.bindings:
            return Binding("nothing")
        if not incomplete:
            hint = nearest(product, slots)
            if product in later:
                hint = f"; the stage {product!r} comes after this one"
            made = ", ".join(slots) or "none"
            problems.append(f"{where}: no product is called {product!r} here{hint}; so far: {made}")
        return Binding("product", product)
    _check_type(where, item.type, product, slot, problems)
    if item.series and slot.series is False:
        problems.append(
            f"{where}: it takes a series, {product!r} is one product; "
            "a series comes from an input with many = true"
        )
    return Binding("product", product)


def _check_type(where: str, wanted: type, product: str, slot: Slot, problems: list[str]) -> None:
    if slot.type is not None and not issubclass(slot.type, wanted):
        problems.append(f"{where}: it takes {wanted.__name__}, {product!r} is {slot.type.__name__}")


def _bind_reference(
    stage: StageModel,
    item: ReferenceInput,
    slots: Mapping[str, Slot],
    registry: Registry,
    problems: list[str],
) -> Binding:
    where = f"stage {stage.step}, reference {item.name!r}"
    if item.name in stage.bindings:
        product = stage.bindings[item.name]
        slot = slots.get(product)
        if slot is None:
            problems.append(
                f"{where}: no product is called {product!r} here{nearest(product, slots)}"
            )
        else:
            _check_type(where, item.type, product, slot, problems)
        if item.name in stage.references:
            problems.append(f"{where}: it is bound twice, by in and by references")
        return Binding("product", product)
    full_name = stage.references.get(item.name, f"{stage.use.partition('.')[0]}.{item.name}")
    known = registry.declared(ReferenceType)
    if full_name not in known:
        problems.append(
            f"{where}: no plugin declares the reference type {full_name!r}"
            f"{nearest(full_name, known)}"
        )
    return Binding("reference", full_name)


def _is_mapped(
    where: str,
    signature: StageSignature,
    bindings: Mapping[str, Binding],
    slots: Mapping[str, Slot],
    problems: list[str],
) -> bool:
    """Whether the stage is called once per element of a series."""

    def is_series(name: str) -> bool:
        slot = slots.get(bindings[name].name)
        return bindings[name].kind == "product" and slot is not None and slot.series is True

    single = [item.name for item in signature.inputs if not item.series and is_series(item.name)]
    single += [item.name for item in signature.references if is_series(item.name)]
    whole = [item.name for item in signature.inputs if item.series]
    if single and whole:
        problems.append(
            f"{where}: {single[0]!r} takes one product and is given a series, while "
            f"{whole[0]!r} takes a whole series; a stage is either mapped or takes the series"
        )
    returned = [output.name for output in signature.outputs if output.series]
    if returned and single:
        problems.append(
            f"{where}: it returns the series {returned[0]!r} for each element of {single[0]!r}; "
            "a stage returns a series once"
        )
    return bool(single)


def _bind_outputs(
    stage: StageModel,
    signature: StageSignature,
    bindings: Mapping[str, Binding],
    mapped: bool,
    slots: dict[str, Slot],
    problems: list[str],
) -> dict[str, str]:
    outputs: dict[str, str] = {}
    for output in signature.outputs:
        default = bindings[output.name].name if output.replaces else output.name
        product = stage.out.get(output.name, default)
        if product in outputs.values():
            problems.append(f"stage {stage.step}: out gives two products the name {product!r}")
        outputs[output.name] = product
        before = slots.get(product)
        slot = Slot(output.type, mapped or output.series)
        if before is not None and before.type is not None and not stage.required:
            if not issubclass(output.type, before.type):
                problems.append(
                    f"stage {stage.step}: it may fail, and {product!r} is then still "
                    f"{before.type.__name__}, not {output.type.__name__}; "
                    "give the output another name with out"
                )
            slot = Slot(before.type, slot.series)
        slots[product] = slot
    return outputs
