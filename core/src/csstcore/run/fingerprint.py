"""What decides whether a job must be run again, part by part so that it can be explained."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import csstcore
from csstcore.pipeline.plan import Plan
from csstcore.plugins.registry import Registry
from csstcore.run.chosen import Chosen
from csstcore.run.hashes import hash_folder
from csstcore.run.jobs import Job

LIBRARIES = ("numpy", "astropy", "scipy", "numba", "sep", "onnxruntime")


def plan_parts(plan: Plan, registry: Registry, seed: int) -> dict[str, str]:
    """Return the parts that all jobs of a run share: pipeline, parameters, seed, code."""
    values = {
        f"{step.id}.{name}": value.value
        for step in plan.steps
        for name, value in step.parameters.items()
    }
    return {
        "pipeline": plan.text_sha256,
        "parameters": _sha256(values),
        "seed": str(seed),
        **{f"code of {name}": code for name, code in code_versions(plan, registry).items()},
    }


def job_parts(job: Job, chosen: Chosen) -> dict[str, str]:
    """Return the parts of one job; an input whose files are not hashed yet is left out."""
    parts = {f"reference {name}": sha for name, sha in chosen.sha256_by_type().items()}
    return parts | input_parts(job)


def input_parts(job: Job) -> dict[str, str]:
    """Return one hash per input over the contents of its files, in their order."""
    parts = {}
    for name, units in job.inputs.items():
        paths = [path for unit in units for _, path in unit.files]
        if all(path in job.hashes for path in paths):
            parts[f"input {name}"] = _sha256([job.hashes[path] for path in paths])
    return parts


def differences(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """Return which parts changed, came, or went."""
    changed = [name for name in new if name in old and old[name] != new[name]]
    return [
        *(f"{name} changed" for name in changed),
        *(f"{name} is new" for name in new if name not in old),
        *(f"{name} is gone" for name in old if name not in new),
    ]


def code_versions(plan: Plan, registry: Registry) -> dict[str, str]:
    """Return version, and for an editable install a hash of the sources, of all code used.

    That is the core, and the distributions of the stages, definitions and reference types
    that the pipeline names.
    """
    folders: dict[str, Path | None] = {"csstcore": Path(csstcore.__file__).parent}
    used = {step.use.partition(".")[0] for step in plan.steps}
    used |= {name.partition(".")[0] for name in _named(plan)}
    versions = {"csstcore": csstcore.__version__}
    for plugin in registry.plugins:
        if plugin.namespace in used or plugin.distribution in plan.distributions:
            folders[plugin.distribution] = plugin.folder
            versions[plugin.distribution] = plugin.version
    return {name: f"{versions[name]}{_sources(name, folder)}" for name, folder in folders.items()}


def library_versions() -> dict[str, str]:
    """Return the versions of Python and the main libraries, those that are installed."""
    import platform

    versions = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            versions[name] = distribution(name).version
        except PackageNotFoundError:
            continue
    return versions


def _named(plan: Plan) -> Iterable[str]:
    for item in plan.inputs:
        yield from item.definitions
    for output in plan.outputs:
        yield from output.definitions
    for step in plan.steps:
        yield from (b.name for b in step.bindings.values() if b.kind == "reference")


@cache
def _sources(name: str, folder: Path | None) -> str:
    """Return ``+`` and a hash of the sources, or nothing for an ordinary installation."""
    try:
        url = json.loads(distribution(name).read_text("direct_url.json") or "{}")
        editable = bool(url.get("dir_info", {}).get("editable"))
    except PackageNotFoundError:
        editable = True
    return f"+{hash_folder(folder)[:16]}" if editable and folder is not None else ""


def _sha256(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()
