"""Kills at random moments: whatever is lost is made again, and nothing else."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from .conftest import ONE, Command, write_raw
from .test_command import children, finish, pipeline, records

__all__ = ["pipeline"]

JOBS = 12
WORK = ONE + (
    '[[stage]]\nuse = "lab.noise"\n'
    '[[stage]]\nuse = "lab.wait"\nparams = { seconds = 0.2 }\n'
    '[[stage]]\nuse = "lab.measure"\n'
    '[outputs]\nimage = "lab.reduced"\ncatalog = "lab.catalog"\n'
)
VOLATILE = {"CHECKSUM", "DATASUM", "DATE", "RUN"}


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    for number in range(JOBS):
        write_raw(tmp_path / "raw", 100 + number, 7, float(number), shape=(300, 300))
    return tmp_path / "raw"


def words(pipeline: Path, raw: Path, output: Path) -> tuple[object, ...]:
    return "run", pipeline, raw, "-o", output, "-j", 2, "--no-figures", "--json"


def committed(output: Path) -> dict[str, int]:
    """Jobs that are done, with the time of their products."""
    done = {}
    for path in records(output):
        record = json.loads(path.read_text())
        if record["status"] == "done":
            done[record["job"]] = max(file["mtime_ns"] for file in record["outputs"])
    return done


def content(output: Path) -> dict[str, list[tuple[object, bytes]]]:
    """Headers but for dates, run and checksums, and the bytes of all data."""
    found = {}
    for path in sorted((output / "products").rglob("*.fits")):
        with fits.open(path) as hdus:
            found[path.name] = [
                (
                    [card[:2] for card in hdu.header.cards if card[0] not in VOLATILE],
                    b"" if hdu.data is None else np.asarray(hdu.data).tobytes(),
                )
                for hdu in hdus
            ]
    return found


def disturb(command: Command, line: tuple[object, ...], rng: random.Random, victim: str) -> None:
    """Start a run and kill it, or one of its workers, at some moment."""
    process = command(*line)
    time.sleep(rng.uniform(0.5, 6.0))
    if victim == "parent":
        process.kill()
    else:
        with suppress(OSError):
            for worker in children(process.pid)[:1]:
                os.kill(worker, signal.SIGKILL)
    finish(process)


def check_recovery(
    command: Command, line: tuple[object, ...], output: Path, undisturbed: object
) -> None:
    """Run again: all is done, what was committed was not touched, and the result is the same."""
    before = committed(output)
    code, text, error = finish(command(*line))
    assert code == 0, error
    jobs = json.loads(text)["jobs"]
    assert len(jobs) == JOBS
    assert {job["job"] for job in jobs if job["kept"]} == set(before)
    after = committed(output)
    assert {job: after[job] for job in before} == before
    assert not [path for path in output.rglob("*") if path.name == "work" or ".part" in path.name]
    assert content(output) == undisturbed


@pytest.mark.parametrize("victim", ["worker", "parent"])
def test_a_kill_at_a_random_moment_loses_only_unfinished_jobs(
    command: Command, pipeline: Callable[[str], Path], raw: Path, tmp_path: Path, victim: str
) -> None:
    kill_again_and_again(command, pipeline(WORK), raw, tmp_path, victims=[victim])


@pytest.mark.slow
def test_twenty_kills_lose_only_unfinished_jobs(
    command: Command, pipeline: Callable[[str], Path], raw: Path, tmp_path: Path
) -> None:
    kill_again_and_again(command, pipeline(WORK), raw, tmp_path, ["worker", "parent"] * 10)


def kill_again_and_again(
    command: Command, pipeline: Path, raw: Path, folder: Path, victims: list[str]
) -> None:
    assert finish(command(*words(pipeline, raw, folder / "undisturbed")))[0] == 0
    undisturbed = content(folder / "undisturbed")
    assert len(undisturbed) == 2 * JOBS
    rng = random.Random(20270801)  # noqa: S311
    for number, victim in enumerate(victims):
        output = folder / f"out{number}"
        line = words(pipeline, raw, output)
        disturb(command, line, rng, victim)
        check_recovery(command, line, output, undisturbed)
