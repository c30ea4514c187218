"""``kill -9`` at any moment costs the jobs that were at work and nothing else."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from csstcore.run.record import load_record

from .observatory import csstcore, finish, start

JOBS = 12
PLAN = """
name = "kill"
kind = "calibration"
readout = "920x608"
detectors = [8]
"""
EXPOSURE = """
[[exposure]]
obs_id = "102{number:08d}"
time = 2027-08-02T00:{number:02d}:00Z
file_type = "BIAS"
exposure_time_s = 0.0
"""
MARK = "CSST_TEST_KILL"
EXPECTED = re.compile(
    r"products/sim\.msc_calibration/\w+/\w+\.fits"
    r"|runs/[\w.-]+/((jobs/\w+\.json)|(log/\w+\.jsonl)|run\.json|report\.html|workers\.txt)"
    r"|index\.sqlite|\.csstcore\.lock"
)
"""Every file that a run may leave."""
MAY_DIFFER = re.compile(r"DATE|STM_\w+|RUNID|CHECKSUM|DATASUM")


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("kill") / "kill.toml"
    path.write_text(PLAN + "".join(EXPOSURE.format(number=n) for n in range(1, JOBS + 1)))
    return path


@pytest.fixture(scope="module")
def undisturbed(plan: Path) -> Path:
    """Output folder of a run that nobody disturbed."""
    output = plan.parent / "undisturbed"
    csstcore(*words(plan, output))
    return output


def words(plan: Path, output: Path) -> tuple[object, ...]:
    return ("run", "sim.msc_calibration", plan, "-o", output, "-j", 2, "--no-figures", "--json")


def wait_for(condition: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


def records(output: Path) -> list[Path]:
    return list(output.glob("runs/*/jobs/[!.]*.json"))


def children(process: subprocess.Popen[str]) -> list[int]:
    try:
        text = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    except OSError:
        return []
    return [int(child) for child in text.split()]


def marked(mark: str) -> list[int]:
    """Processes, wherever they hang, that a command started with this mark."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={mark}".encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def kill_at_random(process: subprocess.Popen[str], output: Path, seed: int) -> bool:
    """Kill the parent or a worker of a running command; return whether it was the parent."""
    random = np.random.default_rng(seed)
    parent = bool(random.integers(2))
    ended = int(random.integers(JOBS - 1))
    wait_for(lambda: len(records(output)) >= ended and children(process))
    time.sleep(random.uniform(0.0, 0.15))
    victims = [process.pid] if parent else children(process)
    os.kill(int(random.choice(victims)), signal.SIGKILL)
    return parent


def cards(header: fits.Header) -> list[tuple[str, Any]]:
    return [(c.keyword, c.value) for c in header.cards if not MAY_DIFFER.fullmatch(c.keyword)]


def products(output: Path) -> Iterator[Path]:
    return (path.relative_to(output) for path in sorted((output / "products").rglob("*.fits")))


def assert_same_products(output: Path, expected: Path) -> None:
    assert list(products(output)) == list(products(expected))
    for path in products(expected):
        with fits.open(output / path) as found, fits.open(expected / path) as wanted:
            for one, other in zip(found, wanted, strict=True):
                assert cards(one.header) == cards(other.header)
                if other.data is None:
                    assert one.data is None
                else:
                    assert one.data.dtype == other.data.dtype
                    assert one.data.tobytes() == other.data.tobytes()


def unexpected(output: Path) -> list[str]:
    found = (p.relative_to(output).as_posix() for p in output.rglob("*") if not p.is_dir())
    return [name for name in found if not EXPECTED.fullmatch(name)]


def disturb(plan: Path, undisturbed: Path, output: Path, seed: int) -> None:
    """Kill a run, run again, and compare with the undisturbed one."""
    mark = f"{os.getpid()}-{seed}"
    process = start(*words(plan, output), **{MARK: mark})
    parent = kill_at_random(process, output, seed)
    killed = finish(process)
    assert killed.code == -signal.SIGKILL if parent else killed.code in (0, 4)
    wait_for(lambda: not marked(mark), seconds=10)
    done = {path.stem for path in records(output) if load_record(path).status == "done"}
    assert len(done) < JOBS or not parent
    again = csstcore(*words(plan, output)).json()
    assert again["counts"] == {"done": JOBS}
    assert {job["job"] for job in again["jobs"] if job["kept"]} == done
    assert_same_products(output, undisturbed)
    assert not unexpected(output)


@pytest.mark.parametrize("seed", [1, 2, 6])
def test_a_killed_run_is_completed_by_the_next(
    plan: Path, undisturbed: Path, tmp_path: Path, seed: int
) -> None:
    disturb(plan, undisturbed, tmp_path / "out", seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 120))
def test_twenty_killed_runs_are_completed(
    plan: Path, undisturbed: Path, tmp_path: Path, seed: int
) -> None:
    disturb(plan, undisturbed, tmp_path / "out", seed)


def test_kills_hit_parents_and_workers() -> None:
    """The seeds above are no one-sided choice."""
    parents = [bool(np.random.default_rng(seed).integers(2)) for seed in (1, 2, 6)]
    assert 0 < sum(parents) < 3
