"""What lies in real folders and on real disks: pipes, links, odd names, no space."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from csstcore.cli.run import print_summary
from csstcore.cli.status import command as status_command
from csstcore.errors import ConfigurationError
from csstcore.run import record as record_module
from csstcore.run.index import NAME, open_index
from csstcore.run.jobs import job_id
from csstcore.run.progress import TerminalProgress
from csstcore.run.request import JobSummary
from csstcore.run.runner import dry_run
from csstcore.run.scan import find_files
from csstcore.run.standing import standing
from csstcore.run.status import Status

from .conftest import ONE, Bench, write_raw

ADD = ONE + '[[stage]]\nuse = "lab.add"\n[outputs]\nimage = "lab.reduced"\n'


def names(folder: Path) -> tuple[list[str], dict[str, str]]:
    left: dict[Path, str] = {}
    found = [path.relative_to(folder).as_posix() for path, _ in find_files([folder], left)]
    return found, {path.name: why for path, why in left.items()}


def test_a_pipe_is_left_alone_and_listed(bench: Bench) -> None:
    write_raw(bench.raw, 101, 7)
    os.mkfifo(bench.raw / "RAW_102_7.fits")
    records = bench(ADD)
    assert list(records) == ["101_7"]
    assert bench.last is not None
    assert bench.last.unused == {bench.raw / "RAW_102_7.fits": "no regular file"}


def test_a_dangling_link_is_listed(tmp_path: Path) -> None:
    (tmp_path / "gone.fits").symlink_to(tmp_path / "nowhere")
    assert names(tmp_path) == ([], {"gone.fits": "cannot be read: No such file or directory"})


def test_a_name_that_is_no_text_is_listed_escaped_and_stops_nothing(bench: Bench) -> None:
    write_raw(bench.raw, 101, 7)
    Path(os.fsdecode(os.fsencode(bench.raw) + b"/RAW_\xff.fits")).write_bytes(b"")
    assert bench.one(ADD).status is Status.DONE
    assert bench.last is not None
    ((path, why),) = bench.last.unused.items()
    assert (path.name, why) == ("RAW_\\xff.fits", "its name is not valid UTF-8")
    str(path).encode()


def test_linked_folders_are_followed_once(tmp_path: Path) -> None:
    night = tmp_path / "disk" / "night"
    write_raw(night, 101, 7)
    data = tmp_path / "data"
    data.mkdir()
    (data / "a").symlink_to(night)
    (data / "b").symlink_to(night)
    (night / "loop").symlink_to(data)
    assert names(data) == (["a/RAW_101_7.fits"], {})


@pytest.mark.parametrize(
    ("first", "second"),
    [(("a_b", "c"), ("a", "b_c")), (("../x",), ("..-x",)), (("a b",), ("a-b",)), ((".x",), ("x",))],
)
def test_different_keys_have_different_ids(first: tuple[str, ...], second: tuple[str, ...]) -> None:
    assert job_id(first) != job_id(second)
    for text in (job_id(first), job_id(second)):
        assert "/" not in text
        assert text[0] not in ".-"


def test_the_id_of_a_job_depends_on_its_keys_alone(bench: Bench) -> None:
    """Products of an earlier run are never those of a job of other keys."""
    text = ADD.replace('"obs_id", "detector"', '"file_type", "obs_id"')
    write_raw(bench.raw, 101, 7, TYPE="a_b")
    first = bench.one(text)
    write_raw(bench.raw, 101, 7, TYPE="a-b")
    second = bench.one(text)
    assert first.job != second.job
    assert all((bench.output / f.path).is_file() for f in (*first.outputs, *second.outputs))
    assert job_id(("101", 7)) == "101_7"


def fill_the_disk(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Refuse to flush files whose name contains `name`."""
    original = os.fsync

    def full(descriptor: int) -> None:
        if name in os.readlink(f"/proc/self/fd/{descriptor}"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        original(descriptor)

    monkeypatch.setattr(record_module.os, "fsync", full)


def test_a_full_disk_fails_the_job_and_the_run_ends(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_raw(bench.raw, 101, 7)
    write_raw(bench.raw, 102, 7)
    fill_the_disk(monkeypatch, "101_7.json")
    bench(ADD)
    assert bench.last is not None
    assert bench.last.exit_code == 4
    failed = {job.job: job.why for job in bench.last.jobs if job.status is Status.FAILED}
    assert list(failed) == ["101_7"]
    assert "cannot be written: No space left on device" in failed["101_7"]
    monkeypatch.undo()


def test_a_disk_that_is_full_at_the_end_is_told(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_raw(bench.raw, 101, 7)
    calls: list[Any] = []
    original = os.fsync

    def full(descriptor: int) -> None:
        if "run.json" in os.readlink(f"/proc/self/fd/{descriptor}"):
            calls.append(descriptor)
            if len(calls) > 1:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        original(descriptor)

    monkeypatch.setattr(record_module.os, "fsync", full)
    bench(ADD)
    assert bench.last is not None
    assert bench.last.exit_code == 4
    assert "run.json cannot be written: No space left" in bench.last.problem


def test_an_index_that_cannot_be_opened_is_wrong_usage(tmp_path: Path) -> None:
    (tmp_path / NAME).mkdir()
    with pytest.raises(ConfigurationError, match=NAME) as caught, open_index(tmp_path):
        pass
    assert caught.value.exit_code == 2


def test_a_repaired_file_is_no_failure_any_more(bench: Bench) -> None:
    bad = write_raw(bench.raw, 101, 7)
    bad.write_bytes(b"no FITS")
    assert bench.one(ADD).status is Status.FAILED
    assert [row.status for row in standing(bench.output).rows] == ["failed"]
    write_raw(bench.raw, 101, 7)
    assert [row.status for row in standing(bench.output).rows] == ["failed"], "not yet run"
    bench.one(ADD)
    assert [(row.job, row.status) for row in standing(bench.output).rows] == [("101_7", "done")]


def test_a_file_that_is_gone_is_no_failure_any_more(bench: Bench) -> None:
    bad = write_raw(bench.raw, 101, 7)
    bad.write_bytes(b"no FITS")
    bench.one(ADD)
    bad.unlink()
    assert standing(bench.output).rows == []


def test_jobs_that_an_interrupted_run_left_are_known(bench: Bench) -> None:
    for obs_id in (101, 102, 103):
        write_raw(bench.raw, obs_id, 7)
    bench(ADD)
    assert standing(bench.output).not_run == {}
    assert bench.last is not None
    for job in ("102_7", "103_7"):
        (bench.last.folder / "jobs" / f"{job}.json").unlink()
    (pipeline, left), *others = standing(bench.output).not_run.items()
    assert (pipeline, left, others) == (bench.last.pipeline, ["102_7", "103_7"], [])
    text = CliRunner().invoke(status_command, [str(bench.output)]).output
    assert "1 done, 2 not run" in text
    assert "to redo" in text


def test_a_reason_of_several_lines_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    progress = TerminalProgress()
    progress.start(1, 0)
    progress.ended(JobSummary("101_7", Status.FAILED, "two problems\n  - one\n  - two"))
    assert capsys.readouterr().err.splitlines() == [
        "1 jobs to run",
        "[1/1] 101_7: failed: two problems - one - two",
    ]


def test_a_shard_without_a_job_says_so_and_names_no_path(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    write_raw(bench.raw, 101, 7)
    shards = [dry_run(bench.request(ADD, shard=(i, 2)), bench.registry) for i in (1, 2)]
    empty = 1 + [bool(plan.decisions) for plan in shards].index(False)
    bench(ADD, shard=(empty, 2))
    assert bench.last is not None
    print_summary(bench.last, bench.output, as_json=False)
    assert capsys.readouterr().out == "this shard has no job\n"


def test_a_store_that_is_not_there_matters_only_where_a_reference_is_wanted(bench: Bench) -> None:
    write_raw(bench.raw, 101, 7)
    missing = bench.folder / "no_store"
    assert bench.one(ADD, references=missing).status is Status.DONE
    with pytest.raises(ConfigurationError, match="no_store: no such folder"):
        bench(ADD.replace("lab.add", "lab.offset"), references=missing)
