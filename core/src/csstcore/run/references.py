"""The products of a run that are references, for ``csstcore refs make``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from csstcore.errors import ConfigurationError
from csstcore.pipeline.plan import Plan
from csstcore.plugin import ReferenceType
from csstcore.plugins.registry import Registry
from csstcore.run.index import peek_index
from csstcore.run.record import load_record
from csstcore.run.request import Summary


@dataclass(frozen=True, slots=True)
class Made:
    """A file that a pipeline made, and what it is good for."""

    type: str
    path: Path
    why_not: str
    """Why it is no reference to trust: the checks that it failed."""


def reference_outputs(plan: Plan, registry: Registry) -> dict[tuple[str, str], str]:
    """Return the reference type of those outputs of a pipeline that are references.

    Returns
    -------
    dict
        By output and definition. Of several types of one definition it is the one that is
        called like the output.

    Raises
    ------
    ConfigurationError
        If there is no such output, or several types fit one.
    """
    by_definition: dict[str, list[str]] = {}
    for name, declared in registry.declared(ReferenceType).items():
        if declared.declaration.kind == "fits" and declared.declaration.definition is not None:
            by_definition.setdefault(declared.declaration.definition, []).append(name)
    found = {}
    for output in plan.outputs:
        for definition in output.definitions:
            types = by_definition.get(definition, [])
            named = [name for name in types if name.partition(".")[2] == output.name]
            if len(types) > 1 and len(named) != 1:
                raise ConfigurationError(
                    f"pipeline {plan.name}: output {output.name!r} may be "
                    f"{' or '.join(types)}; call it like one of them"
                )
            if types:
                found[output.name, definition] = (named or types)[0]
    if not found:
        raise ConfigurationError(f"pipeline {plan.name}: no output is of a declared reference type")
    return found


def made(summary: Summary, output: Path, types: dict[tuple[str, str], str]) -> Iterator[Made]:
    """Yield the references among the products of a run, those of unchanged jobs too."""
    with peek_index(output) as index:
        latest = index.latest(summary.pipeline)
    for job in summary.jobs:
        if not job.status.delivered:
            continue
        record = load_record(output / latest[summary.pipeline, job.job].path)
        for file in record.outputs:
            if (file.name, file.definition) in types:
                failed = [
                    f"check {check.id}: {check.why}"
                    for check in record.checks
                    if not check.ok and check.when == "written" and check.product == file.name
                ]
                path = output / file.path
                yield Made(types[file.name, file.definition], path, "; ".join(failed))
