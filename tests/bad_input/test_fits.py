"""Damaged frames are refused by name and cause, by ``validate`` and by ``run``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from csstcore.errors import EXIT_ALL_FAILED, EXIT_USAGE
from csstcore.testing.in_process import InProcess

from .fits_cases import NAME, Case, cases, good_frame
from .harness import Refusal, call, judge, left_behind

CASES = cases()
RUN = [case for case in CASES if "SUM" not in "".join(case.causes)][::15]
"""Some of every kind, as a run costs ten times a validation; sums only `validate` compares."""
PIPELINE = """
[pipeline]
name = "overscan"
summary = "A test"
group_by = ["obs_id", "detector"]
[requires]
csst-calib = ">=0.1"
csst-msc = ">=0.1"
[inputs]
image = { definition = "msc.l0" }
[[stage]]
use = "calib.subtract_overscan"
[[stage]]
use = "calib.apply_gain"
[[stage]]
use = "calib.estimate_variance"
params = { photon_noise = false }
[outputs]
image = "calib.bias"
"""
READOUT = """
channel_columns = 6
channel_rows = 20
channels_x = 8
channels_y = 2
"""


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return good_frame(tmp_path_factory.mktemp("good"))


def damaged(case: Case, good: bytes, folder: Path) -> Path:
    path = folder / case.file_name
    path.write_bytes(case.change(good))
    return path


def test_the_frame_before_the_damage_is_good(good: bytes, tmp_path: Path) -> None:
    path = tmp_path / NAME
    path.write_bytes(good)
    assert call("validate", path, "--definition", "msc.l0").code == 0


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_damaged_frame_is_refused(case: Case, good: bytes, tmp_path: Path) -> None:
    path = damaged(case, good, tmp_path)
    refusal = call("validate", path, "--definition", "msc.l0")
    judge(refusal, [EXIT_ALL_FAILED], [f"{path}: bad", *case.causes])


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Refusal]:
    """Run a pipeline on the folder ``raw``, jobs in this process."""
    monkeypatch.setattr("csstcore.run.pool.ProcessPool", InProcess)
    (tmp_path / "raw").mkdir()
    pipeline, readout = tmp_path / "overscan.toml", tmp_path / "readout.toml"
    pipeline.write_text(PIPELINE)
    readout.write_text(READOUT)
    words = ("run", pipeline, tmp_path / "raw", "-o", tmp_path / "out", "--no-figures")
    return lambda: call(*words, "--ref", f"calib.readout={readout}")


def test_the_frame_before_the_damage_is_processed(
    run: Callable[[], Refusal], good: bytes, tmp_path: Path
) -> None:
    (tmp_path / "raw" / NAME).write_bytes(good)
    assert run().code == 0
    assert len(list(left_behind(tmp_path / "out"))) == 1


@pytest.mark.parametrize("case", RUN, ids=lambda case: case.name)
def test_a_run_refuses_a_damaged_frame_and_writes_nothing(
    case: Case, run: Callable[[], Refusal], good: bytes, tmp_path: Path
) -> None:
    path = damaged(case, good, tmp_path / "raw")
    judge(run(), [EXIT_USAGE, EXIT_ALL_FAILED], [path.name, *case.causes])
    assert not list(left_behind(tmp_path / "out"))
