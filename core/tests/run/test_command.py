"""``csstcore run`` and ``csstcore status`` as processes: kills, Ctrl-C, workers, exit codes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from .conftest import ONE, Command, write_raw

ADD = ONE + '[[stage]]\nuse = "lab.add"\n[outputs]\nimage = "lab.reduced"\n'
SLOW = ONE + (
    '[[stage]]\nuse = "lab.wait"\nparams = { seconds = 0.3 }\n'
    '[[stage]]\nuse = "lab.add"\n[outputs]\nimage = "lab.reduced"\n'
)
DIE = ONE + '[[stage]]\nuse = "lab.die"\n[outputs]\ncatalog = "lab.catalog"\n'


@pytest.fixture
def pipeline(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "test.toml"
        path.write_text(text)
        return path

    return write


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    for number in range(4):
        write_raw(tmp_path / "raw", 100 + number, 6 + number % 2, 10.0 + number)
    return tmp_path / "raw"


def finish(process: subprocess.Popen[str], timeout: float = 90) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=timeout)
    return process.returncode, out, err


def wait_for(condition: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in found.split()]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def records(output: Path) -> list[Path]:
    return list(output.glob("runs/*/jobs/*.json"))


def test_a_run_tells_what_it_did_and_where_it_is(
    command: Command, pipeline: Callable[[str], Path], raw: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    code, text, progress = finish(command("run", pipeline(ADD), raw, "-o", out, "-j", 2))
    assert code == 0, progress
    assert "4 done" in text
    for name in ("products:", "records:", "report:"):
        line = next(line for line in text.splitlines() if line.startswith(name))
        assert Path(line.split()[1]).exists()
    assert progress.count("done") == 4
    assert "\x1b" not in progress
    code, text, _ = finish(command("run", pipeline(ADD), raw, "-o", out, "--no-figures", "--json"))
    content = json.loads(text)
    assert (code, content["kept"], content["counts"]) == (0, 4, {"done": 4})


def test_a_dead_worker_fails_its_job_alone_and_names_the_stage(
    command: Command, pipeline: Callable[[str], Path], raw: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    code, text, _ = finish(command("run", pipeline(DIE), raw, "-o", out, "--no-figures", "--json"))
    jobs = {job["job"]: job for job in json.loads(text)["jobs"]}
    assert code == 4
    assert [jobs[job]["status"] for job in ("100_6", "101_7", "102_6", "103_7")] == [
        "done",
        "failed",
        "done",
        "failed",
    ]
    assert jobs["101_7"]["why"] == "worker died (signal 9, out of memory?) in stage die"
    code, text, _ = finish(command("status", out))
    assert code == 0
    assert "2 done, 2 failed" in text
    assert "to redo" in text
    (run,) = (out / "runs").iterdir()
    code, text, _ = finish(command("status", run, "--json", "--failed"))
    assert [job["job"] for job in json.loads(text)["jobs"]] == ["101_7", "103_7"]


def test_a_killed_parent_leaves_no_orphan_and_the_next_run_does_the_rest(
    command: Command, pipeline: Callable[[str], Path], raw: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    process = command("run", pipeline(SLOW), raw, "-o", out, "--no-figures")
    wait_for(lambda: records(out))
    workers = children(process.pid)
    assert workers
    process.kill()
    finish(process)
    wait_for(lambda: not any(alive(worker) for worker in workers), seconds=10)
    done = {path.stem for path in records(out)}
    assert 1 <= len(done) < 4
    (run,) = (out / "runs").iterdir()
    assert "killed" in finish(command("status", run))[1]
    code, text, _ = finish(command("run", pipeline(SLOW), raw, "-o", out, "--no-figures", "--json"))
    jobs = {job["job"]: job["kept"] for job in json.loads(text)["jobs"]}
    assert code == 0
    assert {job for job, kept in jobs.items() if kept} == done
    assert not list(out.rglob("work"))
    assert not list(out.rglob("*.part"))
    for number in range(4):
        detector = 6 + number % 2
        job = f"{100 + number}_{detector}"
        with fits.open(out / "products" / "test" / job / f"RED_{job}.fits") as hdus:
            np.testing.assert_array_equal(hdus[1].data, 11.0 + number)


def test_ctrl_c_keeps_what_is_finished_and_leaves_nothing_half_done(
    command: Command, pipeline: Callable[[str], Path], raw: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    process = command("run", pipeline(SLOW), raw, "-o", out, "-j", 1, "--no-figures")
    wait_for(lambda: records(out))
    workers = children(process.pid)
    process.send_signal(signal.SIGINT)
    code, text, err = finish(process, timeout=20)
    assert code == 130
    assert "Traceback" not in err
    assert "interrupted" in text
    assert not any(alive(worker) for worker in workers)
    assert not list(out.rglob("work"))
    (run,) = (out / "runs").iterdir()
    assert json.loads((run / "run.json").read_text())["state"] == "interrupted"
    assert 1 <= len(records(out)) < 4
    assert "not run" in finish(command("status", run))[1]


def test_shards_share_the_jobs(
    command: Command, pipeline: Callable[[str], Path], raw: Path, tmp_path: Path
) -> None:
    seen: list[str] = []
    for shard in ("1/2", "2/2"):
        words = ("run", pipeline(ADD), raw, "-o", tmp_path / "out", "--shard", shard)
        _, text, _ = finish(command(*words, "--dry-run", "--json"))
        seen += [job["job"] for job in json.loads(text)["jobs"]]
    assert sorted(seen) == ["100_6", "101_7", "102_6", "103_7"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--shard", "3/2"], "--shard '3/2': I must be from 1 to N"),
        (["--shard", "x"], "expected I/N"),
        (["--set", "add.value"], "expected STAGE.PARAMETER=VALUE"),
        (["--set", "add.valu=2"], "did you mean 'value'?"),
        (["--ref", "bias"], "expected TYPE=PATH"),
        (["nothing.fits"], "nothing.fits: no such file"),
    ],
)
def test_a_wrong_command_line_is_refused_before_anything_is_written(
    pipeline: Callable[[str], Path],
    raw: Path,
    tmp_path: Path,
    lab: object,
    words: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from csstcore.cli.main import main

    out = tmp_path / "out"
    code = main(["run", str(pipeline(ADD)), str(raw), "-o", str(out), *words])
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert code == 2
    assert not (out / "products").exists()


def test_threads_times_processes_fit_the_machine(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    from csstcore.run import pool

    monkeypatch.setattr(pool, "cores", lambda: 8)
    monkeypatch.setenv("OMP_NUM_THREADS", "64")
    monkeypatch.delenv("NUMBA_NUM_THREADS", raising=False)
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "4")
    for name in ("MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    seen: dict[str, str] = {}

    class Stopped(Exception):
        pass

    def popen(*_: object, env: dict[str, str], **__: object) -> None:
        seen.update(env)
        raise Stopped

    monkeypatch.setattr(subprocess, "Popen", popen)
    crew = pool.ProcessPool(4, Path(os.devnull))
    with pytest.raises(Stopped):
        list(crew.run("{}", [pool.Task("a", "{}")]))
    assert (seen["OMP_NUM_THREADS"], seen["NUMBA_NUM_THREADS"]) == ("2", "2")
    blas = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
    assert [seen[name] for name in blas] == ["1"] * 3  # stages share work by `each`


def test_a_worker_in_the_midst_of_a_stage_dies_with_its_parent(
    command: Command, pipeline: Callable[[str], Path], raw: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    long = pipeline(SLOW.replace("seconds = 0.3", "seconds = 60.0"))
    process = command("run", long, raw, "-o", out, "--no-figures")
    wait_for(lambda: any("started" in log.read_text() for log in out.glob("runs/*/log/*.jsonl")))
    (worker,) = children(process.pid)
    process.kill()
    wait_for(lambda: not alive(worker), seconds=10)
