"""Which reference each stage gets, chosen for all stages before the first one runs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from csstcore.errors import ReferenceFileError
from csstcore.pipeline.plan import Plan, Step
from csstcore.products.meta import Meta
from csstcore.references.choose import Choice, NoReferenceError
from csstcore.references.observation import Observation
from csstcore.references.store import ReferenceStore

NONE = "none"
"""What a record says where an optional reference does not exist."""


@dataclass(slots=True)
class Chosen:
    """References by type, and for a series by element."""

    by_element: dict[tuple[str, str, int], Choice | None] = field(default_factory=dict)
    """By type, name of the input that was observed, and index of its element."""
    problems: list[str] = field(default_factory=list)
    """Everything that is missing."""

    def sha256_by_type(self) -> dict[str, str]:
        """Return what identifies the chosen files of each type, ``none`` included.

        That is the sha256 of the one file, or where elements choose different ones a hash of
        which element chose which.
        """
        result: dict[str, list[tuple[str, int, str]]] = {}
        for (name, root, index), choice in sorted(self.by_element.items(), key=lambda c: c[0]):
            found = (root, index, choice.sha256 if choice else NONE)
            result.setdefault(name, []).append(found)
        return {name: _identity(found) for name, found in result.items()}

    def files(self) -> dict[str, dict[Path, Choice]]:
        """Return every chosen file, by type and path."""
        result: dict[str, dict[Path, Choice]] = {}
        for (name, _, _), choice in self.by_element.items():
            for file in choice.files if choice is not None else ():
                result.setdefault(name, {})[file.path] = file
        return result


def observed_inputs(plan: Plan) -> dict[str, str]:
    """Return, by stage id, the pipeline input whose `Meta` chooses the stage's references.

    It is the one from which the stage's first product comes.
    """
    roots = {item.name: item.name for item in plan.inputs}
    first = plan.inputs[0].name
    result: dict[str, str] = {}
    for step in plan.steps:
        names = [
            step.bindings[item.name].name
            for item in step.signature.inputs
            if step.bindings[item.name].kind == "product"
        ]
        root = next((roots[name] for name in names if name in roots), first)
        result[step.id] = root
        roots.update(dict.fromkeys(step.outputs.values(), root))
    return result


def choose_references(
    plan: Plan, store: ReferenceStore, metas: Mapping[str, Sequence[Meta]]
) -> Chosen:
    """Choose every reference of a job, for each element of a series its own.

    Parameters
    ----------
    metas
        `Meta` of the inputs as read, by input, one for each element.
    """
    chosen = Chosen()
    observed = observed_inputs(plan)
    missing: dict[str, dict[tuple[str, int], str]] = {}
    observations = {name: [Observation(meta) for meta in found] for name, found in metas.items()}
    for step in plan.steps:
        root = observed[step.id]
        for name, optional in _wanted(step):
            for index, observation in enumerate(observations.get(root, ())):
                key = (name, root, index)
                if chosen.by_element.get(key) is not None:
                    continue
                try:
                    chosen.by_element[key] = store.choose(name, observation)
                except ReferenceFileError as error:
                    if optional and isinstance(error, NoReferenceError):
                        chosen.by_element[key] = None
                    else:
                        missing.setdefault(name, {}).setdefault((root, index), str(error))
    chosen.problems = [_first_of([*causes.values()]) for causes in missing.values()]
    return chosen


def _first_of(causes: Sequence[str]) -> str:
    """Return the first of many causes, and how many elements have one."""
    others = len(causes) - 1
    return f"{causes[0]} (and so for {others} more elements)" if others else causes[0]


def _identity(found: Sequence[tuple[str, int, str]]) -> str:
    distinct = {sha256 for _, _, sha256 in found}
    if len(distinct) == 1:
        return distinct.pop()
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()


def _wanted(step: Step) -> Iterable[tuple[str, bool]]:
    for item in step.signature.references:
        binding = step.bindings[item.name]
        if binding.kind == "reference":
            yield binding.name, item.optional
