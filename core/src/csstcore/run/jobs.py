"""From files with keys to jobs: one per combination of the pipeline's ``group_by`` keys."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import product as combinations
from pathlib import Path
from typing import Any

from csstcore.errors import Problems
from csstcore.pipeline.plan import Plan, PlanInput
from csstcore.products.meta import Meta
from csstcore.run.scan import IDENTITY_KEYS, Scan, Taken

Key = tuple[Any, ...]

_PLAIN = re.compile(r"[A-Za-z0-9+][A-Za-z0-9.+-]*")
_LONGEST = 100


@dataclass(slots=True)
class Unit:
    """The files that together make the products of one element of an input."""

    files: list[tuple[str, str]]
    """Definition and path of each."""
    keys: dict[str, Any]
    """Keys with a single value."""


@dataclass(slots=True)
class Job:
    """One run of a pipeline on one combination of keys."""

    id: str
    """A function of the keys alone (`job_id`), unique in the pipeline, safe as a file name."""
    keys: dict[str, Any]
    inputs: dict[str, list[Unit]] = field(default_factory=dict)
    problem: str = ""
    """Why the job cannot be run."""
    hashes: dict[str, str] = field(default_factory=dict)
    """sha256 of those of its files that are hashed already, by path."""
    fingerprint: dict[str, str] = field(default_factory=dict)
    metas: dict[str, list[Meta]] = field(default_factory=dict)
    """Meta of the first file of each unit, by input; not passed to workers."""

    @property
    def paths(self) -> list[Path]:
        """All files of the job."""
        return [
            Path(path) for units in self.inputs.values() for unit in units for _, path in unit.files
        ]

    def to_json(self) -> str:
        """Return the job for a worker."""
        content = asdict(self)
        del content["metas"]
        return json.dumps(content)

    @classmethod
    def from_json(cls, text: str) -> Job:
        """Return the job that `to_json` wrote."""
        content = json.loads(text)
        inputs = {
            name: [Unit([(d, p) for d, p in unit["files"]], unit["keys"]) for unit in units]
            for name, units in content.pop("inputs").items()
        }
        return cls(inputs=inputs, **content)


@dataclass(slots=True)
class Jobs:
    """All jobs of a run, and the files that are in none."""

    jobs: list[Job]
    unused: dict[Path, str]
    """File to the reason why no job has it."""


def make_jobs(plan: Plan, found: Scan) -> Jobs:
    """Group the files of a scan into jobs.

    Inputs that have all `group_by` keys make the jobs (optional ones only join); an input
    with ``by`` joins the jobs whose keys, or whose files' keys, agree with its own.
    """
    group_by = plan.group_by
    makers = [item for item in plan.inputs if item.model.by in (None, group_by)]
    required = [item for item in makers if not item.model.optional]
    if not makers:
        raise Problems(
            f"pipeline {plan.name}",
            [f"no input has all keys of group_by ({', '.join(group_by)}), so nothing makes a job"],
        )
    unused = {path: _reasons(reasons) for path, reasons in found.refused.items()}
    unused |= found.no_files
    groups: dict[Key, dict[str, list[Taken]]] = {}
    for item in required or makers:
        for taken in found.taken[item.name]:
            values = _values(taken, group_by, unused)
            for key in values:
                groups.setdefault(key, {}).setdefault(item.name, []).append(taken)
    made = {item.name for item in required or makers}
    joined: set[Path] = set()
    jobs = []
    for key in sorted(groups, key=_sortable):
        inputs = groups[key]
        for item in plan.inputs:
            if item.name not in made:
                inputs[item.name] = _join(
                    item, dict(zip(group_by, key, strict=True)), inputs, found
                )
                joined.update(taken.path for taken in inputs[item.name])
        jobs.append(_job(plan, key, inputs))
    for item in plan.inputs:
        for taken in found.taken[item.name]:
            if item.name not in made and taken.path not in joined:
                unused.setdefault(taken.path, f"input {item.name}: no job has its keys")
    jobs += [_unreadable(path, why) for path, why in found.unreadable.items()]
    _require_unique(plan, jobs)
    return Jobs(jobs, unused)


def explain_empty(plan: Plan, jobs: Jobs) -> str:
    """Return why there is no job, per file."""
    lines = [f"nothing to do: no job for pipeline {plan.name}"]
    if not jobs.unused:
        lines.append("  no files were found")
    shown = list(jobs.unused.items())[:20]
    lines += [f"  {path}: {why}" for path, why in shown]
    if len(jobs.unused) > len(shown):
        lines.append(f"  ... and {len(jobs.unused) - len(shown)} more files")
    return "\n".join(lines)


def in_shard(job: Job, shard: tuple[int, int]) -> bool:
    """Return whether a job belongs to shard ``i`` of ``n``; the id alone decides."""
    index, count = shard
    return int(hashlib.sha256(job.id.encode()).hexdigest(), 16) % count == index - 1


def _reasons(reasons: Mapping[str, str]) -> str:
    return " | ".join(f"input {name}: {why}" for name, why in reasons.items())


def _values(taken: Taken, names: Sequence[str], unused: dict[Path, str]) -> Iterator[Key]:
    """Yield every combination of the file's values of the named keys."""
    missing = [name for name in names if not taken.keys.get(name)]
    if missing:
        unused[taken.path] = f"it has no value for {', '.join(missing)}, by which jobs are grouped"
        return
    yield from combinations(*(taken.keys[name] for name in names))


def _join(
    item: PlanInput, keys: Mapping[str, Any], inputs: Mapping[str, list[Taken]], found: Scan
) -> list[Taken]:
    """Return the files of an input whose ``by`` keys agree with a job."""
    by = item.model.by if item.model.by is not None else tuple(keys)
    wanted: dict[str, set[Any]] = {}
    for name in by:
        wanted[name] = (
            {keys[name]}
            if name in keys
            else {
                value
                for files in inputs.values()
                for taken in files
                for value in taken.keys.get(name, ())
            }
        )
    return [
        taken
        for taken in found.taken[item.name]
        if all(wanted[name].intersection(taken.keys.get(name, ())) for name in by)
    ]


def _job(plan: Plan, key: Key, inputs: Mapping[str, list[Taken]]) -> Job:
    keys = dict(zip(plan.group_by, key, strict=True))
    job = Job(job_id(key), keys)
    problems = []
    for item in plan.inputs:
        units, metas, problem = _units(plan, item, keys, inputs.get(item.name, []))
        job.inputs[item.name], job.metas[item.name] = units, metas
        if problem:
            problems.append(f"input {item.name}: {problem}")
    job.problem = "; ".join(problems)
    return job


def _units(
    plan: Plan, item: PlanInput, job_keys: Mapping[str, Any], files: Iterable[Taken]
) -> tuple[list[Unit], list[Meta], str]:
    """Bundle the files of one input by element; also say what is wrong with them."""
    names = list(dict.fromkeys((*plan.group_by, *(item.model.by or ()), *IDENTITY_KEYS)))
    bundles: dict[Key, list[Taken]] = {}
    several = len(item.definitions) > 1
    for taken in sorted(files, key=lambda taken: (_identity(taken, names), str(taken.path))):
        identity = _identity(taken, names) if several else (str(taken.path),)
        bundles.setdefault(identity, []).append(taken)
    units, metas, problems = [], [], []
    for bundle in bundles.values():
        bundle.sort(key=lambda taken: item.definitions.index(taken.definition))
        found = Counter(taken.definition for taken in bundle)
        missing = [name for name in item.definitions if name not in found]
        twice = [name for name, count in found.items() if count > 1]
        if missing:
            problems.append(f"{bundle[0].path.name} comes without {', '.join(missing)}")
        if twice:
            problems.append(f"{bundle[0].path.name}: several files of {', '.join(twice)}")
        single = {name: v[0] for name, v in bundle[0].keys.items() if len(v) == 1 and name in names}
        units.append(
            Unit([(taken.definition, str(taken.path)) for taken in bundle], {**single, **job_keys})
            if not item.model.many
            else Unit([(taken.definition, str(taken.path)) for taken in bundle], single)
        )
        metas.append(bundle[0].meta)
    if not units and not item.model.optional:
        problems.append(f"no file ({' or '.join(item.definitions)})")
    if len(units) > 1 and not item.model.many:
        names_of = ", ".join(Path(unit.files[0][1]).name for unit in units)
        problems.append(f"takes one file, found {len(units)}: {names_of}")
    return units, metas, "; ".join(problems)


def _identity(taken: Taken, names: Sequence[str]) -> Key:
    return _sortable(tuple(taken.keys.get(name, ()) for name in names))


def _sortable(key: Key) -> Key:
    """Make keys of mixed types comparable: numbers before text."""
    return tuple(
        _sortable(value)
        if isinstance(value, tuple)
        else (0, value, "")
        if isinstance(value, (int, float))
        else (1, 0, str(value))
        for value in key
    )


def _unreadable(path: Path, why: str) -> Job:
    """Return the job, which fails, of a file that cannot be read; its key is the path."""
    return Job(f"file_{_hashed(path.name, str(path))}", {"file": str(path)}, problem=why)


def job_id(values: Sequence[Any]) -> str:
    """Return the id of a job, which depends on the values of its keys and on nothing else.

    Plain values (letters, digits and ``. + -``) are joined by ``_``, which none of them holds:
    different keys have different ids. With any other value the id is made safe as a file name
    and ends with ``__`` and a hash.
    """
    texts = [str(value) for value in values]
    text = "_".join(texts) or "all"
    if all(_PLAIN.fullmatch(part) for part in texts) and len(text) <= _LONGEST:
        return text
    return _hashed(text, json.dumps(texts))


def _hashed(text: str, identity: str) -> str:
    safe = re.sub(r"[^A-Za-z0-9._+-]+", "-", text).strip(".-")[:_LONGEST] or "job"
    return f"{safe}__{hashlib.sha256(identity.encode()).hexdigest()[:16]}"


def _require_unique(plan: Plan, jobs: Sequence[Job]) -> None:
    """Refuse keys that differ by their type only: one definition gives 7, another "7".

    Raises
    ------
    Problems
        Naming them.
    """
    counts = Counter(job.id for job in jobs)
    twice = [f"job {job.id}: {job.keys}" for job in jobs if counts[job.id] > 1]
    if twice:
        raise Problems(f"pipeline {plan.name}: keys that differ by type only", twice)
