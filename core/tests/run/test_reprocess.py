"""Reprocessing under other references: --superseded, --context, uses, diff, make."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from csstcore.cli.main import main
from csstcore.definitions.catalog import Definitions
from csstcore.plugins import discovery
from csstcore.references import ReferenceStore
from csstcore.run import fingerprint, runner
from csstcore.run.affected import changes_of_jobs

from .conftest import HEAD, ONE, Bench, Command, write_raw

OFFSET = ONE + '[[stage]]\nuse = "lab.offset"\n[outputs]\nimage = "lab.reduced"\n'
MAKE = (
    HEAD
    + '[inputs]\nimages = { definition = "lab.raw", many = true, by = ["detector"] }\n'
    + '[[stage]]\nuse = "lab.combine"\nout = { combined = "bias" }\n[outputs]\nbias = "lab.bias"\n'
)


def add_bias(bench: Bench, name: str, detector: int, value: float, **rule: Any) -> Path:
    path = write_raw(bench.folder / name, 100, detector, value, name="BIAS", kind="BIAS")
    path = path.rename(path.with_name(f"{name}.fits"))
    store = ReferenceStore(bench.folder / "refs", bench.registry)
    return store.add("lab.bias", path, {"detector": detector}, **rule).path


@pytest.fixture
def done(bench: Bench) -> Bench:
    """Detectors 6 and 7 reduced, each with its own bias, under the context `y1`."""
    for detector in (6, 7):
        write_raw(bench.raw, 101, detector)
        add_bias(bench, f"old_{detector}", detector, 1.0)
    assert len(bench(OFFSET, references=bench.folder / "refs")) == 2
    ReferenceStore(bench.folder / "refs", bench.registry).freeze("y1")
    return bench


def replace_bias(bench: Bench) -> None:
    """Withdraw the bias of detector 7 for a better one."""
    rules = bench.folder / "refs" / "rules" / "lab.bias.toml"
    head, six, _ = rules.read_text().split("[[rule]]")
    rules.write_text(f"{head}[[rule]]{six}")
    add_bias(bench, "new_7", 7, 2.0)


def test_superseded_redoes_exactly_the_jobs_whose_references_changed(
    done: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    refs = done.folder / "refs"
    assert done(OFFSET, references=refs, superseded=True) == {}
    replace_bias(done)
    monkeypatch.setattr(fingerprint, "code_versions", lambda *_: {"csstcore": "other"})
    write_raw(done.raw, 101, 6, 30.0)
    write_raw(done.raw, 102, 7)
    plan = runner.dry_run(done.request(OFFSET, references=refs, superseded=True), done.registry)
    assert {d.job.id: (d.run, d.why.partition(",")[0]) for d in plan.decisions} == {
        "101_6": (False, plan.decisions[0].why.partition(",")[0]),
        "101_7": (True, "reference lab.bias changed"),
        "102_7": (False, "never run"),
    }
    (record,) = done(OFFSET, references=refs, superseded=True).values()
    assert record.job == "101_7"
    assert done.data(record).mean() == 8.0
    assert done(OFFSET, references=refs, superseded=True) == {}


def test_a_run_under_a_context_chooses_by_it_and_records_it(done: Bench) -> None:
    replace_bias(done)
    assert done(OFFSET, references=done.folder / "refs", context="y1") == {}
    records = done(OFFSET, references=done.folder / "refs", context="y1", seed=2)
    assert {record.context.partition("@")[0] for record in records.values()} == {"y1"}
    (file,) = records["101_7"].references
    assert (Path(file.path).name, file.source) == ("old_7.fits", "store")


def test_an_override_is_recorded(done: Bench) -> None:
    (done.folder / "my.fits").write_bytes((done.folder / "old_6" / "old_6.fits").read_bytes())
    records = done(
        OFFSET,
        references=done.folder / "refs",
        overrides={"lab.bias": done.folder / "my.fits"},
        seed=2,
    )
    assert [file.source for file in records["101_6"].references] == ["override"]


def test_uses_names_the_products_that_a_reference_made_last(
    done: Bench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def uses(reference: object) -> list[str]:
        assert main(["refs", "uses", str(reference), str(done.output), "--json"]) == 0
        return [job["job"] for job in json.loads(capsys.readouterr().out)]

    assert uses("old_7.fits") == ["101_7"]
    assert uses(done.folder / "old_7" / "old_7.fits") == ["101_7"]
    replace_bias(done)
    done(OFFSET, references=done.folder / "refs")
    assert (uses("old_7.fits"), uses("new_7.fits"), uses("old_6.fits")) == (
        [],
        ["101_7"],
        ["101_6"],
    )
    (done.output / "index.sqlite").unlink()
    assert uses("new_7.fits") == ["101_7"]
    assert main(["refs", "uses", "old_6.fits", str(done.output)]) == 0
    assert "products/" in capsys.readouterr().out


def test_diff_names_the_jobs_that_would_get_other_references(done: Bench) -> None:
    replace_bias(done)
    refs = done.folder / "refs"
    old, new = (ReferenceStore(refs, done.registry, context=c) for c in ("y1", None))
    definitions = Definitions(done.registry)
    changes = list(changes_of_jobs(done.output, definitions, old, new))
    assert [(c.subject, c.type, c.old, c.new) for c in changes] == [
        ("test 101_7", "lab.bias", "old_7.fits", "new_7.fits")
    ]
    (done.raw / "RAW_101_6.fits").unlink()
    assert "RAW_101_6.fits" in next(changes_of_jobs(done.output, definitions, old, new)).new


def test_one_command_leads_from_frames_to_a_reference(bench: Bench, command: Command) -> None:
    for obs_id in (101, 102):
        write_raw(bench.raw, obs_id, 7, float(obs_id))
    pipeline = bench.pipeline(MAKE.replace('"obs_id", "detector"', '"detector"'))
    refs = bench.folder / "refs"
    words = ("refs", "make", pipeline, bench.raw, "-o", bench.output, "--refs", refs)
    process = command(*words, "--useafter", "2027-03-01")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert "lab.bias: rule 1 of" in out
    (entry,) = ReferenceStore(refs, bench.registry).list("lab.bias")
    assert entry.rule.match == {"detector": (7,)}
    assert entry.rule.useafter == datetime(2027, 3, 1, tzinfo=UTC)
    process = command(*words, "--useafter", "2027-03-01")
    process.communicate(timeout=120)
    assert len(ReferenceStore(refs, bench.registry).list("lab.bias")) == 1


@pytest.mark.parametrize(
    ("old", "new", "cause"),
    [
        ('"lab.bias"', '"lab.combined"', "no output is of a declared reference type"),
        ("bias", "master", "may be lab.bias or lab.flat; call it like one of them"),
    ],
)
def test_a_pipeline_that_makes_no_reference_is_not_run(
    bench: Bench,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    old: str,
    new: str,
    cause: str,
) -> None:
    monkeypatch.setattr(discovery, "discover", lambda: bench.registry)
    write_raw(bench.raw, 101, 7)
    text = (
        MAKE.replace(old, new)
        if old != "bias"
        else MAKE.replace('"bias"', '"master"').replace("\nbias =", "\nmaster =")
    )
    words = ["refs", "make", bench.pipeline(text), str(bench.raw), "-o", str(bench.output)]
    assert main([*words, "--refs", str(bench.folder / "refs")]) == 2
    assert cause in capsys.readouterr().err
    assert not bench.output.exists()
