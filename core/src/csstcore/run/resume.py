"""Which jobs to run, and why: unchanged ones are not run again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from csstcore.errors import FileError
from csstcore.run.chosen import choose_references
from csstcore.run.environment import Environment
from csstcore.run.fingerprint import differences, input_parts, job_parts
from csstcore.run.hashes import FileHash, Stamp, hash_file, hash_files
from csstcore.run.index import Row
from csstcore.run.jobs import Job
from csstcore.run.record import JobRecord, load_record
from csstcore.run.status import Failure, Status


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do with a job."""

    job: Job
    run: bool
    why: str
    earlier: Row | None = None
    """The last record of the job; of an unchanged job it stays valid."""


def complete(env: Environment, jobs: Iterable[Job], parts: Mapping[str, str]) -> None:
    """Give every job its fingerprint, and note references that cannot be chosen.

    Parameters
    ----------
    parts
        What all jobs share (`csstcore.run.fingerprint.plan_parts`).
    """
    for job in jobs:
        chosen = choose_references(env.plan, env.store, job.metas)
        if chosen.problems:
            job.problem = "; ".join(filter(None, [job.problem, *chosen.problems]))
        job.fingerprint = {**parts, **job_parts(job, chosen)}


def decide(
    jobs: Iterable[Job],
    latest: Mapping[str, Row],
    known: Mapping[Stamp, str],
    output: Path,
    *,
    retry: bool,
    threads: int,
    superseded: bool = False,
) -> tuple[list[Decision], list[FileHash]]:
    """Decide for every job whether it runs.

    With `superseded` those run that were run before and whose best references changed since.

    Files are hashed only of jobs that were run before and whose other parts are unchanged.

    Returns
    -------
    decisions, hashes
        The latter new, to be remembered.
    """
    jobs = list(jobs)
    earlier = {job.id: _load(latest.get(job.id), output) for job in jobs}
    paths = {
        path
        for job in jobs
        if (record := earlier[job.id]) is not None and _comparable(record) and not superseded
        for path in job.paths
    }
    hashes = hash_files(sorted(paths), known, threads)
    decisions = []
    for job in jobs:
        job.hashes |= {
            str(path): hashes[str(path)].sha256 for path in job.paths if str(path) in hashes
        }
        job.fingerprint |= input_parts(job)
        row, record = latest.get(job.id), earlier[job.id]
        if superseded:
            why = _why_superseded(job, record)
        else:
            why = _why_run(job, row, record, output, retry=retry)
        text = why or (f"unchanged ({row.status}, run {row.run})" if row else "never run")
        decisions.append(Decision(job, bool(why), text, row))
    return decisions, list(hashes.values())


def _load(row: Row | None, output: Path) -> JobRecord | None:
    if row is None:
        return None
    try:
        return load_record(output / row.path)
    except FileError:
        return None


def _comparable(record: JobRecord) -> bool:
    return record.status is not Status.FAILED or record.failure is Failure.UNPROCESSABLE


def _why_run(
    job: Job, row: Row | None, record: JobRecord | None, output: Path, *, retry: bool
) -> str:
    """Return why a job must run, or an empty string."""
    if row is None:
        return "new"
    if record is None:
        return "its record is damaged"
    if not _comparable(record):
        return f"failed before: {record.why}"
    changes = differences(record.fingerprint, job.fingerprint)
    if changes:
        return ", ".join(changes)
    if record.status is Status.FAILED:
        return f"tried again: {record.why}" if retry else ""
    return _changed_output(record, output)


def _why_superseded(job: Job, record: JobRecord | None) -> str:
    """Return which best references changed since a job was run, or an empty string."""
    if record is None:
        return ""
    old, new = (
        {name: part for name, part in parts.items() if name.startswith("reference ")}
        for parts in (record.fingerprint, job.fingerprint)
    )
    return ", ".join(differences(old, new))


def _changed_output(record: JobRecord, output: Path) -> str:
    """Return which product is not as it was written, or an empty string."""
    for file in record.outputs:
        path = output / file.path
        known = {(str(path), file.size, file.mtime_ns): file.sha256}
        try:
            found = hash_file(path, known)
        except FileError:
            return f"{file.path} is missing"
        if found.sha256 != file.sha256:
            return f"{file.path} has changed"
    return ""
