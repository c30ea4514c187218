"""Unchanged jobs are not run again; what changed is named."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from csstcore.run import fingerprint, runner
from csstcore.run.index import open_index
from csstcore.run.record import load_record

from .conftest import ONE, Bench, write_raw

ADD = ONE + '[[stage]]\nuse = "lab.add"\n[outputs]\nimage = "lab.reduced"\n'
REFUSE = ONE + (
    '[[stage]]\nuse = "lab.refuse"\nparams = { below = 15.0 }\n[outputs]\nimage = "lab.reduced"\n'
)


@pytest.fixture
def done(bench: Bench) -> Bench:
    for obs_id in (101, 102):
        write_raw(bench.raw, obs_id, 7)
    assert len(bench(ADD)) == 2
    return bench


def why(bench: Bench, text: str = ADD, **options: Any) -> dict[str, str]:
    """Why each job would run; an empty text if it would not."""
    plan = runner.dry_run(bench.request(text, **options), bench.registry)
    return {decision.job.id: decision.why if decision.run else "" for decision in plan.decisions}


def test_unchanged_jobs_are_kept_with_their_status(done: Bench) -> None:
    assert done(ADD) == {}
    assert done.last is not None
    assert [(job.job, job.status, job.kept) for job in done.last.jobs] == [
        ("101_7", "done", True),
        ("102_7", "done", True),
    ]
    assert done.last.exit_code == 0
    assert len(list((done.output / "runs").iterdir())) == 1


def test_a_dry_run_writes_nothing_and_says_run_or_skip_for_every_job(bench: Bench) -> None:
    write_raw(bench.raw, 101, 7)
    assert why(bench) == {"101_7": "new"}
    assert not bench.output.exists()


def test_a_changed_file_runs_its_job_alone(done: Bench) -> None:
    write_raw(done.raw, 102, 7, 20.0)
    assert why(done) == {"101_7": "", "102_7": "input image changed"}
    assert list(done(ADD)) == ["102_7"]


def test_a_file_that_was_only_touched_changes_nothing(done: Bench) -> None:
    os.utime(done.raw / "RAW_101_7.fits", ns=(1, 1))
    assert set(why(done).values()) == {""}


def test_parameters_pipeline_and_seed_count(done: Bench) -> None:
    assert set(why(done, settings={"add.value": 2.0}).values()) == {"parameters changed"}
    assert set(why(done, seed=1).values()) == {"seed changed"}
    assert set(why(done, ADD + "# a note\n").values()) == {"pipeline changed"}


def test_code_counts(done: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fingerprint, "_sources", lambda name, _: "+x" if "lab" in name else "")
    assert all("code of csst-lab changed" in reason for reason in why(done).values())


def test_a_reference_that_appears_counts(bench: Bench) -> None:
    write_raw(bench.raw, 101, 7)
    text = ONE + '[[stage]]\nuse = "lab.offset"\n[outputs]\nimage = "lab.reduced"\n'
    bench.one(text)
    assert why(bench, text) == {"101_7": ""}
    bias = write_raw(bench.folder / "refs", 1, 7, 4.0, kind="BIAS", name="BIAS")
    assert why(bench, text, overrides={"lab.bias": bias}) == {"101_7": "reference lab.bias changed"}


def test_a_missing_or_changed_product_is_made_again(done: Bench) -> None:
    first, second = sorted((done.output / "products").rglob("*.fits"))
    first.unlink()
    second.write_bytes(second.read_bytes() + b"\0" * 2880)
    reasons = why(done)
    assert reasons["101_7"].endswith("RED_101_7.fits is missing")
    assert reasons["102_7"].endswith("RED_102_7.fits has changed")


def test_unprocessable_data_is_tried_again_only_on_request(bench: Bench) -> None:
    write_raw(bench.raw, 101, 7)
    bench.one(REFUSE)
    assert why(bench, REFUSE) == {"101_7": ""}
    assert bench(REFUSE) == {}
    assert bench.last is not None
    assert bench.last.exit_code == 5
    assert why(bench, REFUSE, retry=True)["101_7"].startswith("tried again: stage refuse")


def test_other_failures_are_always_tried_again(bench: Bench) -> None:
    write_raw(bench.raw, 101, 7)
    text = ADD.replace("lab.add", "lab.fail").replace('image = "lab.red', 'image = "lab.red')
    bench.one(text)
    assert why(bench, text)["101_7"].startswith("failed before: stage fail: ValueError")


def test_the_index_is_rebuilt_from_the_records(done: Bench) -> None:
    for path in done.output.glob("index.sqlite*"):
        path.unlink()
    assert set(why(done).values()) == {""}
    (done.output / "index.sqlite").write_bytes(b"this is no database" * 100)
    assert done(ADD) == {}
    with open_index(done.output) as index:
        assert [row.job for row in index.latest("test").values()] == ["101_7", "102_7"]


def test_a_damaged_record_means_run_again(done: Bench) -> None:
    (record, _) = sorted(done.output.glob("runs/*/jobs/*.json"))
    record.write_text("{")
    assert why(done)["101_7"] == "its record is damaged"


def test_hashes_are_computed_once(done: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    import hashlib

    opened = []
    original = hashlib.file_digest
    monkeypatch.setattr(
        hashlib, "file_digest", lambda file, name: opened.append(file) or original(file, name)
    )
    assert done(ADD) == {}
    assert opened == []


def test_leftovers_of_a_killed_run_are_removed(done: Bench) -> None:
    (run,) = (done.output / "runs").iterdir()
    (run / "work" / "101_7").mkdir(parents=True)
    (run / "work" / "101_7" / "half.fits").write_text("half")
    (run / "jobs" / ".103_7.json.99.part").write_text("half")
    done(ADD, seed=5)
    assert not list(done.output.rglob("work"))
    assert not list(done.output.rglob("*.part"))


def test_an_output_folder_may_be_moved(done: Bench, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    shutil.move(done.output, moved)
    done.output = moved
    assert set(why(done).values()) == {""}


def test_a_record_survives_writing_and_reading(done: Bench) -> None:
    path = sorted(done.output.glob("runs/*/jobs/*.json"))[0]
    record = load_record(path)
    assert record.stages[0].use == "lab.add"
    assert load_record(path) == record
