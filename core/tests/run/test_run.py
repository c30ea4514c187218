"""One run from files to files: products, record, statuses."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from csstcore.errors import ConfigurationError, FileError
from csstcore.products import Table
from csstcore.run import runner, writing
from csstcore.run.lock import locked
from csstcore.run.status import Failure, Status

from .conftest import HEAD, ONE, Bench, write_raw

REDUCE = (
    ONE
    + """
[[stage]]
use = "lab.add"
params = { value = 5.0 }
[[stage]]
use = "lab.measure"
[outputs]
image = "lab.reduced"
catalog = "lab.catalog"
"""
)


def test_a_job_reads_runs_writes_and_records(bench: Bench) -> None:
    write_raw(bench.raw, 101, 7)
    record = bench.one(REDUCE)
    assert record.status is Status.DONE, record.why
    assert (record.job, record.keys) == ("101_7", {"obs_id": "101", "detector": 7})
    assert (bench.data(record) == 15).all()
    with bench.product(record) as hdus:
        header = hdus[0].header
    assert (header["STA_MEAS"], header["MEAN"], header["LEVEL"]) == (0, 15.0, 15.0)


def test_the_record_holds_everything_needed_to_repeat_the_job(bench: Bench) -> None:
    path = write_raw(bench.raw, 101, 7)
    record = bench.one(REDUCE)
    (source,) = record.inputs
    assert (source.name, source.path, source.definition) == ("image", str(path), "lab.raw")
    assert source.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    for output in record.outputs:
        content = (bench.output / output.path).read_bytes()
        assert output.sha256 == hashlib.sha256(content).hexdigest()
    add, measure = record.stages
    assert (add.use, add.distribution, add.status) == ("lab.add", "csst-lab", Status.DONE)
    assert (add.parameters["value"].value, add.parameters["value"].origin) == (5.0, "pipeline")
    assert measure.metrics == {"mean": 15.0}
    assert add.peak_bytes > 10e6
    assert add.wall_s > 0
    assert {"csstcore", "csst-lab", "numpy", "python"} <= record.versions.keys()
    assert {
        "pipeline",
        "parameters",
        "input image",
        "code of csst-lab",
    } <= record.fingerprint.keys()


def test_a_setting_of_the_command_line_wins_and_is_recorded_as_such(bench: Bench) -> None:
    write_raw(bench.raw, 101, 7)
    record = bench.one(REDUCE, settings={"add.value": 1.5})
    assert (bench.data(record) == 11.5).all()
    assert record.stages[0].parameters["value"].origin == "command line"


def test_nothing_but_products_records_and_logs_is_left(bench: Bench) -> None:
    write_raw(bench.raw, 101, 7)
    bench.one(REDUCE)
    left = {path.relative_to(bench.output).parts[0] for path in bench.output.rglob("*")}
    assert left == {".csstcore.lock", "index.sqlite", "products", "runs"}
    assert not list(bench.output.rglob("*.part"))
    assert not list(bench.output.rglob("work"))


def optional(stage: str) -> str:
    return (
        ONE
        + f"""
[[stage]]
use = "lab.{stage}"
required = false
[outputs]
image = "lab.reduced"
catalog = "lab.catalog"
"""
    )


@pytest.mark.parametrize(
    ("stage", "stage_status", "job_status", "why"),
    [
        ("skip", Status.SKIPPED, Status.DONE, "nothing to measure"),
        ("fail", Status.FAILED, Status.CAVEATS, "ValueError: a bug in the stage"),
        ("fail_without_text", Status.FAILED, Status.CAVEATS, "Speechless: (its text cannot be"),
        ("wrong", Status.FAILED, Status.CAVEATS, "'catalog' is Image; declared Table"),
    ],
)
def test_the_product_is_written_though_an_optional_stage_gives_nothing(
    bench: Bench, stage: str, stage_status: Status, job_status: Status, why: str
) -> None:
    write_raw(bench.raw, 101, 7)
    record = bench.one(optional(stage))
    assert record.stages[0].status is stage_status
    assert why in record.stages[0].why
    assert record.status is job_status
    assert [file.name for file in record.outputs] == ["image"]
    assert why in record.not_written["catalog"]


def test_a_bug_fails_the_job_and_leaves_its_traceback_in_the_log(bench: Bench) -> None:
    write_raw(bench.raw, 101, 7)
    record = bench.one(optional("fail").replace("required = false", ""))
    assert (record.status, record.failure, record.failed_stage) == (
        Status.FAILED,
        Failure.BUG,
        "fail",
    )
    assert not (bench.output / "products").exists()
    assert bench.last is not None
    log = bench.last.folder / "log" / "101_7.jsonl"
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert any(line["message"] == "about to fail on 101" for line in lines)
    assert any("raise ValueError" in line.get("traceback", "") for line in lines)
    assert all(line["stage"] == "fail" for line in lines)


def test_stages_after_a_required_failure_are_blocked_by_it(bench: Bench) -> None:
    write_raw(bench.raw, 101, 7)
    text = (
        ONE
        + """
[[stage]]
use = "lab.refuse"
params = { below = 99.0 }
[[stage]]
use = "lab.measure"
[outputs]
image = "lab.reduced"
"""
    )
    record = bench.one(text)
    assert record.failure is Failure.UNPROCESSABLE
    assert record.why == "stage refuse: mean is 10.0, below 99.0"
    assert record.stages[1].status is Status.BLOCKED
    assert record.stages[1].why == "blocked by refuse"
    assert bench.last is not None
    assert bench.last.exit_code == 5


def test_a_stage_without_its_input_is_blocked_by_whoever_did_not_deliver(bench: Bench) -> None:
    write_raw(bench.raw, 101, 7)
    text = (
        ONE
        + """
[[stage]]
use = "lab.nothing"
required = false
[[stage]]
use = "lab.pair"
in = { other = "second" }
required = false
[outputs]
image = "lab.reduced"
"""
    )
    record = bench.one(text)
    assert record.stages[1].status is Status.BLOCKED
    assert record.stages[1].why == "blocked by nothing (skipped: no second image)"


def test_caveats_of_stages_and_checks_outside_their_limits_reach_the_job(bench: Bench) -> None:
    write_raw(bench.raw, 101, 7, value=600.0)
    text = ONE + '[[stage]]\nuse = "lab.warn"\n[outputs]\nimage = "lab.reduced"\n'
    record = bench.one(text)
    assert record.status is Status.CAVEATS
    assert "stage warn: the sky is cloudy" in record.caveats
    (read, written) = record.checks
    assert (read.id, read.when, read.ok) == ("raw_level", "read", True)
    assert (written.id, written.when, written.ok, written.value) == ("level", "written", False, 600)
    assert any("above the maximum 500" in caveat for caveat in record.caveats)


def test_a_random_stream_depends_on_seed_and_job_alone(bench: Bench) -> None:
    write_raw(bench.raw, 101, 7)
    write_raw(bench.raw, 102, 7)
    text = ONE + '[[stage]]\nuse = "lab.noise"\n[outputs]\nimage = "lab.reduced"\n'
    first = bench(text, seed=3)
    a, b = (bench.data(first[job]) for job in ("101_7", "102_7"))
    other = bench.data(bench(text, seed=4)["101_7"])
    again = bench.data(bench(text, seed=3)["101_7"])
    np.testing.assert_array_equal(a, again)
    assert (a != b).all()
    assert (a != other).all()


def test_a_reference_is_chosen_recorded_and_may_be_overridden(bench: Bench) -> None:
    write_raw(bench.raw, 101, 7)
    bias = write_raw(bench.folder / "refs", 1, 7, value=4.0, kind="BIAS", name="BIAS")
    text = ONE + '[[stage]]\nuse = "lab.offset"\n[outputs]\nimage = "lab.reduced"\n'
    without = bench.one(text)
    assert (bench.data(without) == 10).all()
    assert without.stages[0].references == {"bias": "none"}
    record = bench.one(text, overrides={"lab.bias": bias})
    assert (bench.data(record) == 6).all()
    (reference,) = record.references
    assert (reference.name, reference.path) == ("lab.bias", str(bias))
    with bench.product(record) as hdus:
        assert hdus[0].header["BIAS"] == bias.name


def test_figures_are_drawn_for_few_jobs_and_not_when_refused(bench: Bench) -> None:
    write_raw(bench.raw, 101, 7)
    text = ONE + '[[stage]]\nuse = "lab.warn"\n[outputs]\nimage = "lab.reduced"\n'
    (figure,) = bench.one(text, figures=None).figures
    assert bench.last is not None
    assert (bench.last.folder / figure.path).read_bytes().startswith(b"\x89PNG")
    assert bench.one(text, seed=1, figures=False).figures == []
    for number in range(runner.FEW_JOBS):
        write_raw(bench.raw, 200 + number, 7)
    assert not any(record.figures for record in bench(text, seed=2, figures=None).values())


def test_a_failed_write_leaves_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    write_raw(bench.raw, 101, 7)

    def full(definition: object, products: list[Table], *_: object) -> None:
        raise FileError("the disk is full")

    original = writing.write_product
    monkeypatch.setattr(
        writing,
        "write_product",
        lambda d, p, s, f: (full if isinstance(p[0], Table) else original)(d, p, s, f),
    )
    record = bench.one(REDUCE)
    assert (record.status, record.why) == (Status.FAILED, "the disk is full")
    assert not list(bench.output.rglob("*.fits"))


def test_products_of_an_earlier_run_of_the_job_do_not_linger(bench: Bench) -> None:
    write_raw(bench.raw, 101, 7)
    assert len(bench.one(REDUCE).outputs) == 2
    record = bench.one(REDUCE.replace('catalog = "lab.catalog"\n', ""))
    products = [path.name for path in bench.output.rglob("*.fits")]
    assert products == [Path(record.outputs[0].path).name]


def test_host_logging_is_as_it_was(bench: Bench) -> None:
    write_raw(bench.raw, 101, 7)
    root = logging.getLogger()
    before = (root.level, list(root.handlers))
    bench.one(REDUCE)
    assert (root.level, list(root.handlers)) == before


def test_two_runs_in_one_folder_are_refused_with_the_holder(bench: Bench) -> None:
    write_raw(bench.raw, 101, 7)
    bench.output.mkdir()
    with locked(bench.output), pytest.raises(ConfigurationError, match=rf"process {os.getpid()}"):
        bench.one(REDUCE)


MASTER = HEAD + (
    '[inputs]\nimage = { definition = "lab.raw" }\n'
    '[[stage]]\nuse = "lab.master"\n[[stage]]\nuse = "lab.flatten"\n'
    '[outputs]\nimage = "lab.reduced"\n'
)


def test_all_missing_references_are_named_before_anything_runs(bench: Bench) -> None:
    write_raw(bench.raw, 101, 7)
    record = bench.one(MASTER)
    assert record.status is Status.FAILED
    assert "lab.bias: there are no rules" in record.why
    assert "lab.flat: there are no rules" in record.why
    assert record.stages == []


def test_whole_series_need_one_reference_for_all_elements(bench: Bench) -> None:
    rules = '[reference]\ntype = "lab.bias"\n'
    store = bench.folder / "store"
    (store / "rules").mkdir(parents=True)
    for obs_id, value in ((1, 4.0), (2, 5.0)):
        write_raw(bench.raw, 100 + obs_id, 7)
        bias = write_raw(bench.folder, obs_id, 7, value, kind="BIAS", name="BIAS")
        sha256 = hashlib.sha256(bias.read_bytes()).hexdigest()
        (store / "files" / sha256[:2]).mkdir(parents=True)
        shutil.move(bias, store / "files" / sha256[:2] / bias.name)
        rules += f'[[rule]]\nfile = "{bias.name}"\nsha256 = "{sha256}"\n'
        rules += f'match = {{ obs_id = "{100 + obs_id}" }}\n'
    (store / "rules" / "lab.bias.toml").write_text(rules)
    series = HEAD.replace('"obs_id", "detector"', '"detector"')
    series += '[inputs]\nimages = { definition = "lab.raw", many = true }\n'
    mapped = '[[stage]]\nuse = "lab.offset"\nin = { image = "images" }\n'
    record = bench.one(series + mapped + '[outputs]\nimages = "lab.reduced"\n', references=store)
    assert [call.references for call in record.stages[0].elements] == [
        {"bias": "BIAS_1_7.fits"},
        {"bias": "BIAS_2_7.fits"},
    ]
    assert {Path(file.path).name for file in record.references} == {
        "BIAS_1_7.fits",
        "BIAS_2_7.fits",
    }
    whole = '[[stage]]\nuse = "lab.offset_all"\n[outputs]\ncombined = "lab.combined"\n'
    record = bench.one(series + whole, references=store)
    assert "choose different files: BIAS_1_7.fits, BIAS_2_7.fits" in record.why


@pytest.mark.parametrize(
    ("error", "failure", "why"),
    [
        (MemoryError(), Failure.ERROR, "out of memory"),
        (OSError(28, "No space left on device"), Failure.ERROR, "No space left on device"),
        (KeyError("x"), Failure.BUG, "KeyError: 'x'"),
    ],
)
def test_whatever_goes_wrong_outside_stages_is_recorded(
    bench: Bench,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    failure: Failure,
    why: str,
) -> None:
    def refuse(*_: object) -> None:
        raise error

    monkeypatch.setattr(writing, "write_product", refuse)
    write_raw(bench.raw, 101, 7)
    record = bench.one(REDUCE)
    assert (record.status, record.failure) == (Status.FAILED, failure)
    assert why in record.why
    assert not list(bench.output.rglob("work"))


def test_a_stage_out_of_memory_is_no_bug(bench: Bench) -> None:
    write_raw(bench.raw, 101, 7)
    text = ONE + '[[stage]]\nuse = "lab.hoard"\n[outputs]\nimage = "lab.reduced"\n'
    record = bench.one(text)
    assert (record.failure, record.stages[0].why) == (Failure.ERROR, "out of memory: 1 TB")


def test_two_files_of_one_name_are_refused(bench: Bench) -> None:
    write_raw(bench.raw, 101, 7)
    text = ONE + '[[stage]]\nuse = "lab.blur"\n[outputs]\n'
    text += 'image = "lab.reduced"\nblurred = "lab.reduced"\n'
    assert "two files of this job would be called RED_101_7.fits" in bench.one(text).why
