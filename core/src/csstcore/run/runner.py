"""A run: jobs from files, workers, records, summary."""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from csstcore.errors import ConfigurationError, CsstError, FileError
from csstcore.plugin import Layout
from csstcore.plugins.registry import Registry
from csstcore.references.library import is_remote
from csstcore.report import write_report
from csstcore.report.layout import load_layout
from csstcore.run.call import now
from csstcore.run.environment import Environment, Setup
from csstcore.run.execute import remove_leftovers
from csstcore.run.executor import Executor, Outcome, Task
from csstcore.run.fingerprint import plan_parts
from csstcore.run.index import Index, open_index, peek_index
from csstcore.run.jobs import Job, Jobs, explain_empty, in_shard, make_jobs
from csstcore.run.lock import locked
from csstcore.run.logs import last_stage
from csstcore.run.record import FileRecord, JobRecord, from_json, save_record, write_atomically
from csstcore.run.request import DryRun, JobSummary, Request, Summary
from csstcore.run.resume import Decision, complete, decide
from csstcore.run.scan import scan
from csstcore.run.status import Failure, Status

FEW_JOBS = 20
"""Up to this many jobs get pictures unless told otherwise."""


class Progress(Protocol):
    """Shows how a run goes."""

    def start(self, total: int, kept: int) -> None:
        """Begin with `total` jobs to run and `kept` ones unchanged."""

    def ended(self, job: JobSummary) -> None:
        """One more job has ended."""

    def finish(self) -> None:
        """No more will come."""


@dataclass
class _Prepared:
    env: Environment
    jobs: Jobs


def dry_run(request: Request, registry: Registry) -> DryRun:
    """Return what `run` would do and why, for every job; nothing is written.

    Raises
    ------
    CsstError
        If the pipeline, the settings or the paths are wrong, or there is nothing to do.
    """
    prepared = _prepare(request, registry)
    output = prepared.env.setup.folder
    with peek_index(output) as index:
        decisions = _decide(request, prepared, index)
    return DryRun(prepared.env.plan.name, decisions, prepared.jobs.unused)


def run(
    request: Request,
    registry: Registry,
    executor: Callable[[Path], Executor],
    progress: Progress,
) -> Summary:
    """Run a pipeline on files.

    Parameters
    ----------
    executor
        Makes the executor of the jobs, given the run folder.
    progress
        Is told as jobs end.

    Raises
    ------
    CsstError
        If the pipeline, the settings or the paths are wrong, there is nothing to do, or
        another run uses the output folder.
    """
    start = time.perf_counter()
    prepared = _prepare(request, registry)
    output = prepared.env.setup.folder
    _make_folder(output)
    with locked(output), open_index(output) as index:
        remove_leftovers(output)
        index.synchronise()
        decisions = _decide(request, prepared, index)
        summary = _Run(request, prepared, decisions, index, progress).execute(executor)
    summary.wall_s = time.perf_counter() - start
    return summary


def _prepare(request: Request, registry: Registry) -> _Prepared:
    setup = Setup(
        pipeline=_absolute_pipeline(request.pipeline),
        output=os.path.abspath(request.output),
        settings=dict(request.settings),
        references=_absolute_store(request.references),
        context=request.context,
        overrides={name: os.path.abspath(path) for name, path in request.overrides.items()},
        seed=request.seed,
    )
    env = Environment.of(setup, registry)
    setup = replace(setup, run=_run_name(env.plan.name))
    env.setup = setup
    jobs = make_jobs(env.plan, scan(env.plan, env.definitions, request.paths))
    if not jobs.jobs:
        raise ConfigurationError(explain_empty(env.plan, jobs))
    if request.shard is not None:
        jobs.jobs = [job for job in jobs.jobs if in_shard(job, request.shard)]
    complete(env, jobs.jobs, plan_parts(env.plan, registry, request.seed))
    return _Prepared(env, jobs)


def _absolute_pipeline(name: str) -> str:
    """Return a path absolute, for workers; a name as it is."""
    return os.path.abspath(name) if name.endswith(".toml") else name


def _absolute_store(location: Path | str | None) -> str | None:
    """Return a folder absolute, for workers; a remote location as it is."""
    if location is None or is_remote(str(location)):
        return None if location is None else str(location)
    return os.path.abspath(location)


def _run_name(pipeline: str) -> str:
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    return f"{moment}-{pipeline}-{secrets.token_hex(2)}"


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"output folder {folder}: {error.strerror}") from error


def _decide(request: Request, prepared: _Prepared, index: Index) -> list[Decision]:
    name = prepared.env.plan.name
    latest = {job: row for (_, job), row in index.latest(name).items()}
    decisions, hashes = decide(
        prepared.jobs.jobs,
        latest,
        index.hashes(),
        prepared.env.setup.folder,
        retry=request.retry,
        superseded=request.superseded,
        threads=request.jobs,
    )
    index.add_hashes(hashes)
    return decisions


class _Run:
    """The part of a run that writes, under the lock of the output folder."""

    def __init__(
        self,
        request: Request,
        prepared: _Prepared,
        decisions: list[Decision],
        index: Index,
        progress: Progress,
    ) -> None:
        self.request, self.index, self.progress = request, index, progress
        self.env, self.jobs = prepared.env, prepared.jobs
        self.decisions = decisions
        figures = request.figures
        to_run = [decision.job for decision in decisions if decision.run]
        if figures is None:
            figures = len(to_run) <= FEW_JOBS
        self.env.setup = replace(self.env.setup, figures=figures)
        self.to_run = {job.id: job for job in to_run}
        self.started = now()
        self.folder = self.env.setup.run_folder
        self.layouts = _layouts(self.env)
        self.summary = Summary(
            self.env.setup.run,
            self.env.plan.name,
            self.folder,
            planned=len(decisions),
            unused=self.jobs.unused,
        )

    def execute(self, executor: Callable[[Path], Executor]) -> Summary:
        """Run what is to be run, and write the summary and the report."""
        kept = [decision for decision in self.decisions if not decision.run]
        for decision in kept:
            if decision.earlier is not None:
                status = Status(decision.earlier.status)
                why = decision.earlier.why
                self.summary.jobs.append(JobSummary(decision.job.id, status, why, kept=True))
        if not self.to_run:
            self.summary.folder = self.env.setup.folder
            return self.summary
        _make_folder(self.folder / "jobs")
        _make_folder(self.folder / "log")
        self._save("running")
        self.progress.start(len(self.to_run), len(kept))
        try:
            self._work(executor(self.folder))
        except KeyboardInterrupt:
            self.summary.interrupted = True
        finally:
            self.progress.finish()
            remove_leftovers(self.env.setup.folder)
        try:
            self.summary.report = _report(self.folder)
            self._save("interrupted" if self.summary.interrupted else "ended")
        except FileError as error:
            self.summary.problem = str(error)
        return self.summary

    def _work(self, executor: Executor) -> None:
        for job in self.to_run.values():
            if job.problem:
                self._ended(self._failed(job, job.problem, Failure.ERROR))
        tasks = (Task(job.id, job.to_json()) for job in self.to_run.values() if not job.problem)
        try:
            for outcome in executor.run(self.env.setup.to_json(), tasks):
                self._ended(self._record_of(outcome))
        finally:
            executor.kill()

    def _record_of(self, outcome: Outcome) -> JobRecord:
        if outcome.result:
            return from_json(outcome.result)
        stage = last_stage(self.folder / "log" / f"{outcome.name}.jsonl")
        why = f"{outcome.death} in stage {stage}" if stage else outcome.death
        return self._failed(self.to_run[outcome.name], why, Failure.DIED, stage)

    def _failed(self, job: Job, why: str, failure: Failure, stage: str = "") -> JobRecord:
        """Record a job that no worker could record."""
        record = JobRecord(
            job=job.id,
            pipeline=self.env.plan.name,
            run=self.env.setup.run,
            status=Status.FAILED,
            keys=job.keys,
            why=why,
            failure=failure,
            failed_stage=stage,
            started=now(),
            ended=now(),
            versions=dict(self.env.versions),
            seed=self.env.setup.seed,
            context=self.env.context,
            fingerprint=job.fingerprint,
            inputs=[
                FileRecord(name, path, "", definition=definition)
                for name, units in job.inputs.items()
                for unit in units
                for definition, path in unit.files
            ],
        )
        try:
            save_record(record, self.folder / "jobs")
        except FileError as error:
            record.why = f"{record.why}; {error}"
        return record

    def _ended(self, record: JobRecord) -> None:
        self.index.add(record)
        job = JobSummary(record.job, record.status, record.why)
        self.summary.jobs.append(job)
        self.progress.ended(job)

    def _save(self, state: str) -> None:
        """Write ``run.json``: what was asked, and which jobs an earlier run had done."""
        setup = self.env.setup
        content: dict[str, Any] = {
            "run": setup.run,
            "pipeline": self.env.plan.name,
            "pipeline_path": str(self.env.plan.path),
            "summary": self.env.plan.summary,
            "state": state,
            "started": self.started,
            "ended": "" if state == "running" else now(),
            "settings": setup.settings,
            "references": setup.references,
            "overrides": setup.overrides,
            "seed": setup.seed,
            "shard": self.request.shard,
            "workers": self.request.jobs,
            "context": self.env.context,
            "versions": dict(self.env.versions),
            "to_run": list(self.to_run),
            "kept": {
                decision.job.id: decision.earlier.path
                for decision in self.decisions
                if not decision.run and decision.earlier
            },
            "counts": self.summary.counts,
            "unused": {str(path): why for path, why in self.summary.unused.items()},
            "layouts": self.layouts,
        }
        write_atomically(
            self.folder / "run.json", json.dumps(content, indent=1, default=str).encode()
        )


def _layouts(env: Environment) -> list[dict[str, Any]]:
    """Return the layouts in which the report shows jobs: of the plugins that know the inputs.

    Raises
    ------
    CsstError
        If one is not as declared.
    """
    known = {name.partition(".")[0] for item in env.plan.inputs for name in item.definitions}
    found = [
        load_layout(declared.path)
        for name, declared in env.registry.declared(Layout).items()
        if name.partition(".")[0] in known
    ]
    return [model.model_dump() for model in found if model.layout.key in env.plan.group_by]


def _report(folder: Path) -> Path | None:
    """Write the HTML report; there is none without a record.

    Raises
    ------
    FileError
        If the system refuses.
    """
    try:
        return write_report(folder)
    except CsstError:
        return None
    except OSError as error:
        raise FileError(f"report of {folder}: {error.strerror}") from error
