"""Worker processes, seen from the parent."""

from __future__ import annotations

import io
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from csstcore.run import pool
from csstcore.run.executor import Task
from csstcore.run.lock import is_locked, locked
from csstcore.run.memory import measuring, peak_bytes
from csstcore.run.progress import TerminalProgress, duration
from csstcore.run.request import JobSummary
from csstcore.run.runner import run
from csstcore.run.status import Status
from csstcore.testing.in_process import Silent

from .conftest import ONE, Bench, write_raw

DIE = ONE + '[[stage]]\nuse = "lab.die"\n[outputs]\ncatalog = "lab.catalog"\n'
WAIT = ONE + (
    '[[stage]]\nuse = "lab.wait"\nparams = { seconds = 30.0 }\n[outputs]\nimage = "lab.reduced"\n'
)


def crew(jobs: int) -> Callable[[Path], pool.ProcessPool]:
    return lambda folder: pool.ProcessPool(jobs, folder / "workers.txt")


def test_a_dead_worker_is_replaced_and_fails_its_job_alone(bench: Bench) -> None:
    for obs_id, detector in ((101, 7), (102, 6), (103, 6)):
        write_raw(bench.raw, obs_id, detector)
    summary = run(bench.request(DIE), bench.registry, crew(1), Silent())
    assert {job.job: str(job.status) for job in summary.jobs} == {
        "101_7": "failed",
        "102_6": "done",
        "103_6": "done",
    }
    record = bench.records(summary)["101_7"]
    assert (record.failure, record.failed_stage) == ("died", "die")
    assert record.why == "worker died (signal 9, out of memory?) in stage die"
    assert [Path(file.path).name for file in record.inputs] == ["RAW_101_7.fits"]
    assert not (summary.folder / "work").exists()


def test_an_interrupt_kills_running_jobs_and_keeps_finished_ones(bench: Bench) -> None:
    write_raw(bench.raw, 101, 7)
    (bench.raw / "RAW_102_7.fits").write_text("no FITS")

    class Impatient(Silent):
        def ended(self, job: JobSummary) -> None:
            raise KeyboardInterrupt

    summary = run(bench.request(WAIT), bench.registry, crew(1), Impatient())
    assert summary.interrupted
    assert summary.exit_code == 130
    (job,) = bench.records(summary)
    assert job.startswith("file_RAW_102_7.fits__")
    assert json.loads((summary.folder / "run.json").read_text())["state"] == "interrupted"


def test_a_worker_that_cannot_begin_points_to_what_it_printed(tmp_path: Path) -> None:
    log = tmp_path / "workers.txt"
    outcomes = list(pool.ProcessPool(1, log).run('{"nonsense": 1}', [Task("a", "{}")]))
    assert [(o.name, o.result) for o in outcomes] == [("a", "")]
    assert "exit status 1; what workers printed is in workers.txt" in outcomes[0].death
    assert "setup of another version of csstcore" in log.read_text()


def test_no_more_workers_than_tasks_are_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[object] = []
    original = subprocess.Popen

    def counting(*words: object, **options: object) -> object:
        started.append(words)
        return original(*words, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(subprocess, "Popen", counting)
    list(pool.ProcessPool(5, tmp_path / "workers.txt").run("{}", [Task("a", "{}")]))
    assert len(started) == 1


def test_a_lock_ends_with_its_holder(tmp_path: Path) -> None:
    assert not is_locked(tmp_path)
    with locked(tmp_path):
        assert is_locked(tmp_path)
        assert (tmp_path / ".csstcore.lock").read_text().strip() == str(os.getpid())
    assert not is_locked(tmp_path)


def test_the_peak_is_that_of_the_block() -> None:
    with measuring() as large:
        block = bytearray(80_000_000)
        block[::4096] = b"x" * len(block[::4096])
    del block
    with measuring() as small:
        pass
    assert large.peak_bytes - small.peak_bytes > 50e6
    assert peak_bytes() > 0


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("stream", "moving"), [(Terminal(), True), (io.StringIO(), False)])
def test_progress_moves_on_a_terminal_and_is_plain_elsewhere(
    stream: io.StringIO, moving: bool
) -> None:
    progress = TerminalProgress(stream)
    progress.start(2, kept=3)
    progress.ended(JobSummary("a", Status.DONE))
    progress.ended(JobSummary("b", Status.FAILED, "no light"))
    progress.finish()
    text = stream.getvalue()
    assert "2 jobs to run, 3 unchanged" in text
    assert "[2/2] b: failed: no light" in text
    assert ("\r" in text) is moving
    assert ("[1/2] a: done" in text) is not moving


def test_durations_read_as_people_write_them() -> None:
    assert [duration(s) for s in (1.25, 61, 7260)] == ["1.2 s", "1 min 01 s", "2 h 01 min"]


def test_a_worker_that_printed_nothing_points_nowhere(tmp_path: Path) -> None:
    crew_of_one = pool.ProcessPool(1, tmp_path / "workers.txt")
    assert crew_of_one._cause(3) == "worker died (exit status 3)"
