"""Execute one job from files to files, and record it."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from csstcore.errors import CsstError, FileError, ReferenceFileError
from csstcore.notes import collecting
from csstcore.references.choose import Choice
from csstcore.references.digest import begin_sha256
from csstcore.run.call import now
from csstcore.run.chosen import choose_references
from csstcore.run.environment import Environment
from csstcore.run.fingerprint import input_parts
from csstcore.run.hashes import hash_file, stamp
from csstcore.run.jobs import Job
from csstcore.run.logs import JobLog, job_log
from csstcore.run.memory import peak_bytes, reset_peak
from csstcore.run.reading import read_inputs
from csstcore.run.record import FileRecord, JobRecord, StageRecord, save_record
from csstcore.run.spool import Spool
from csstcore.run.stages import Stages
from csstcore.run.status import Failure, Status
from csstcore.run.writing import Staged, Writer, commit

logger = logging.getLogger("csstcore.run")


def run_job(env: Environment, job: Job) -> JobRecord:
    """Execute a job; its files and its record are on disk when this returns.

    Whatever goes wrong is in the record, also that the record itself could not be written.
    """
    setup = env.setup
    record = JobRecord(
        job=job.id,
        pipeline=env.plan.name,
        run=setup.run,
        status=Status.FAILED,
        keys=job.keys,
        started=now(),
        versions=dict(env.versions),
        seed=setup.seed,
        context=env.context,
        fingerprint=dict(job.fingerprint),
    )
    work = work_folder(setup.run_folder) / job.id
    wall, cpu = time.perf_counter(), time.process_time()
    try:
        with job_log(setup.run_folder / "log" / f"{job.id}.jsonl") as log:
            _execute(_Execution(env, job, record, work), log)
    except OSError as error:  # The log.
        _fail(record, f"log: {error.strerror}", Failure.ERROR)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    record.ended = now()
    record.wall_s, record.cpu_s = time.perf_counter() - wall, time.process_time() - cpu
    record.peak_bytes = max([record.peak_bytes, *(s.peak_bytes for s in record.stages)])
    try:
        save_record(record, setup.run_folder / "jobs")
    except FileError as error:
        _fail(record, str(error), Failure.ERROR)
    return record


def _execute(execution: _Execution, log: JobLog) -> None:
    """Execute a job; whatever goes wrong goes into its record."""
    record = execution.record
    try:
        execution.run(log)
    except CsstError as error:
        _fail(record, str(error), Failure.ERROR)
        logger.error("%s", error)
    except MemoryError:
        _fail(record, "out of memory", Failure.ERROR)
    except OSError as error:
        _fail(record, str(error), Failure.ERROR)
        logger.exception("the system refused")
    except Exception as error:
        _fail(record, f"{type(error).__name__}: {error}", Failure.BUG)
        logger.exception("bug in the framework")


def _fail(record: JobRecord, why: str, failure: Failure) -> None:
    record.status, record.why, record.failure = Status.FAILED, why, failure


def work_folder(run_folder: Path) -> Path:
    """Return the folder for spools and unfinished files of a run; it never outlives a run."""
    return run_folder / "work"


def product_folder(output: Path, pipeline: str, job: str) -> Path:
    """Return the folder of a job's products, which belongs to that job alone.

    It is ``products/<pipeline>/<job>``: names that the core has checked, never from a header.
    """
    return output / "products" / pipeline.replace("/", "_") / job


class _Execution:
    """The parts of one job, in order."""

    def __init__(self, env: Environment, job: Job, record: JobRecord, work: Path) -> None:
        self.env, self.job, self.record, self.work = env, job, record, work

    def run(self, log: JobLog) -> None:
        """Run the whole job."""
        with self._hashing():
            self._hash_inputs()
        spool = Spool(self.work / "spool")
        with self._phase("reading_s"), collecting() as notes:
            values = read_inputs(self.env, self.job, spool, self.record)
        self.record.caveats += dict.fromkeys(notes.caveats)
        metas = {name: [e.meta for e in elements] for name, elements in values.elements.items()}
        chosen = choose_references(self.env.plan, self.env.store, metas)
        if chosen.problems:
            raise ReferenceFileError("; ".join(chosen.problems))
        self._record_references(chosen.files())
        stages = Stages(self.env, self.job, values, chosen, spool, log, self.record.stages)
        stages.run()
        for root, gone in values.dropped.items():
            labels = {e.index: e.label for e in values.elements[root]}
            self.record.dropped |= {f"{root}: {labels[i]}": why for i, why in gone.items()}
        if stages.stopped is not None:
            self._fail(stages.stopped)
            return
        with self._phase("writing_s"):
            staging = self.work / "products"
            writer = Writer(self.env, self.job, values, stages, self.record, staging)
            staged = writer.write()
        self._conclude(bool(staged))
        if staged:
            folder = product_folder(self.env.setup.folder, self.env.plan.name, self.job.id)
            paths = commit(staged, folder)
            self._record_outputs(zip(staged, paths, strict=True))

    def _hash_inputs(self) -> None:
        for name, units in self.job.inputs.items():
            for definition, path in (file for unit in units for file in unit.files):
                known = self.job.hashes.get(path)
                marks = stamp(Path(path))
                found = hash_file(Path(path), {marks: known} if known else None)
                self.job.hashes[path] = found.sha256
                self.record.inputs.append(
                    FileRecord(name, path, found.sha256, found.size, found.mtime_ns, definition)
                )
        self.record.fingerprint |= input_parts(self.job)

    def _record_references(self, files: dict[str, dict[Path, Choice]]) -> None:
        for name, choices in files.items():
            for path, choice in choices.items():
                _, size, mtime_ns = stamp(path)
                begin_sha256(path)  # Meanwhile the first stages run.
                self.record.references.append(
                    FileRecord(name, str(path), choice.sha256, size, mtime_ns, source=choice.source)
                )

    def _record_outputs(self, files: Iterable[tuple[Staged, Path]]) -> None:
        for file, path in files:
            written, cpu_s = file.digest.result()
            _, size, mtime_ns = stamp(path)
            relative = path.relative_to(self.env.setup.folder).as_posix()
            self.record.outputs.append(
                FileRecord(file.output, relative, written.sha256, size, mtime_ns, file.definition)
            )
            self.record.hashing_s += cpu_s

    def _fail(self, stage: StageRecord) -> None:
        self.record.status = Status.FAILED
        self.record.failed_stage = stage.id
        self.record.why = f"stage {stage.id}: {stage.why}"
        kinds = {s.failure for s in self.record.stages} | {
            call.failure for s in self.record.stages for call in s.elements
        }
        order = (Failure.BUG, Failure.ERROR, Failure.UNPROCESSABLE)
        self.record.failure = next((k for k in order if k in kinds), Failure.UNPROCESSABLE)

    def _conclude(self, written: bool) -> None:
        """Judge a job whose required stages all went well."""
        record = self.record
        if not written:
            skipped = [stage for stage in record.stages if stage.status is Status.SKIPPED]
            reasons = "; ".join(f"{name}: {why}" for name, why in record.not_written.items())
            record.status = Status.SKIPPED if skipped else Status.FAILED
            record.why = f"nothing to write ({reasons})"
            record.failure = Failure.NONE if skipped else Failure.UNPROCESSABLE
            return
        for stage in record.stages:
            if stage.status in (Status.FAILED, Status.BLOCKED):
                record.caveats.append(f"stage {stage.id} {stage.status}: {stage.why}")
            record.caveats += [f"stage {stage.id}: {caveat}" for caveat in stage.caveats]
        record.caveats += [f"{name} dropped: {why}" for name, why in record.dropped.items()]
        record.status = Status.CAVEATS if record.caveats else Status.DONE
        more = f" (and {len(record.caveats) - 1} more)" if len(record.caveats) > 1 else ""
        record.why = f"{record.caveats[0]}{more}" if record.caveats else ""

    @contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        reset_peak()
        start = time.perf_counter()
        try:
            yield
        finally:
            setattr(self.record, name, time.perf_counter() - start)
            self.record.peak_bytes = max(self.record.peak_bytes, peak_bytes())

    @contextmanager
    def _hashing(self) -> Iterator[None]:
        start = time.process_time()
        try:
            yield
        finally:
            self.record.hashing_s += time.process_time() - start


def remove_leftovers(output: Path) -> None:
    """Remove what killed runs left: unfinished files, and spools.

    To be called while the lock of the output folder is held.
    """
    for work in (output / "runs").glob("*/work"):
        shutil.rmtree(work, ignore_errors=True)
    for part in (output / "runs").glob("*/*/.*.part"):
        part.unlink(missing_ok=True)
    for part in (output / "runs").glob("*/.*.part"):
        part.unlink(missing_ok=True)
