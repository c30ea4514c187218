"""The record of a job: everything needed to know and repeat it."""

from __future__ import annotations

import hashlib
from importlib.metadata import version
from pathlib import Path

from .observatory import DETECTOR, JOB, SKY_OBS_ID, Observatory, csstcore


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_files_are_named_by_their_contents(observatory: Observatory) -> None:
    record = observatory.record
    (raw,) = record.inputs
    assert (raw.definition, raw.sha256) == ("msc.l0", sha256(Path(raw.path)))
    assert raw.size == Path(raw.path).stat().st_size
    assert len(record.references) >= 7
    assert [file.sha256 for file in record.references] == [
        sha256(Path(file.path)) for file in record.references
    ]
    written = [observatory.level1 / file.path for file in record.outputs]
    assert [file.sha256 for file in record.outputs] == [sha256(path) for path in written]
    assert sorted(written) == sorted((observatory.level1 / "products").rglob("*.fits"))


def test_job_and_code_are_identified(observatory: Observatory) -> None:
    record = observatory.record
    assert (record.pipeline, record.job) == ("mbi.l1", JOB)
    assert record.keys == {"obs_id": SKY_OBS_ID, "detector": DETECTOR}
    for name in ("csstcore", "csst-mbi", "csst-calib", "numpy", "astropy"):
        assert record.versions[name] == version(name)
    assert {stage.distribution for stage in record.stages} == {"csst-calib", "csst-imaging"}
    assert all(stage.version == version(stage.distribution) for stage in record.stages)


def test_parameters_are_recorded_with_their_origin(
    observatory: Observatory, tmp_path: Path
) -> None:
    origins = {
        parameter.origin
        for stage in observatory.record.stages
        for parameter in stage.parameters.values()
    }
    assert origins <= {"default", "pipeline"}
    other = Observatory(tmp_path)
    observatory.run_level1(
        *("--set", "detect_sources.threshold=5.0", "--no-figures"), output=other.level1
    )
    (stage,) = (stage for stage in other.record.stages if stage.id == "detect_sources")
    threshold = stage.parameters["threshold"]
    assert (threshold.value, threshold.origin) == (5.0, "command line")
    (before,) = (s for s in observatory.record.stages if s.id == "detect_sources")
    assert stage.metrics["sources"] < before.metrics["sources"]  # type: ignore[operator]


def test_quality_is_recorded_as_read_and_as_written(observatory: Observatory) -> None:
    checks = observatory.record.checks
    assert {check.when for check in checks} == {"read", "written"}
    assert all(check.ok and check.value is not None for check in checks)


def test_cost_of_every_stage_is_recorded(observatory: Observatory) -> None:
    record = observatory.record
    ran = [stage for stage in record.stages if stage.status == "done"]
    assert all(stage.wall_s > 0 and stage.peak_bytes > 0 for stage in ran)
    assert sum(stage.wall_s for stage in ran) < record.wall_s


def test_log_of_the_job_is_beside_its_record(observatory: Observatory) -> None:
    log = observatory.run_folder / "log" / f"{JOB}.jsonl"
    assert "calib.subtract_bias" in log.read_text() or "subtract_bias" in log.read_text()


def test_what_stages_can_be_asked_is_described_with_origins() -> None:
    shown = csstcore("describe", "mbi.l1", "--set", "detect_sources.threshold=5.0").out
    (line,) = (line for line in shown.splitlines() if "threshold" in line and "5.0" in line)
    assert "command line" in line
