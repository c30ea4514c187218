"""Files become jobs: grouping, conditions, joins, and what to say when they do not."""

from __future__ import annotations

from pathlib import Path

import pytest

from csstcore.errors import ConfigurationError
from csstcore.run.environment import Environment, Setup
from csstcore.run.jobs import Job, Jobs, in_shard, make_jobs
from csstcore.run.scan import find_files, scan

from .conftest import HEAD, ONE, Bench, write_raw

STAGE = '[[stage]]\nuse = "lab.add"\nin = { image = "image" }\n'
OUTPUT = '[outputs]\nimage = "lab.reduced"\n'


def make(bench: Bench, text: str, *paths: Path) -> Jobs:
    setup = Setup(bench.pipeline(text), str(bench.output))
    env = Environment.of(setup, bench.registry)
    return make_jobs(env.plan, scan(env.plan, env.definitions, paths or [bench.raw]))


def files(job: Job) -> dict[str, list[str]]:
    return {
        name: [Path(path).name for unit in units for _, path in unit.files]
        for name, units in job.inputs.items()
    }


def test_one_job_for_each_combination_of_keys(bench: Bench) -> None:
    for obs_id, detector in ((101, 7), (101, 10), (102, 7)):
        write_raw(bench.raw / "deep" / "er", obs_id, detector)
    jobs = make(bench, ONE + STAGE + OUTPUT).jobs
    assert [job.id for job in jobs] == ["101_7", "101_10", "102_7"]
    assert files(jobs[0]) == {"image": ["RAW_101_7.fits"]}
    assert jobs[0].keys == {"obs_id": "101", "detector": 7}


@pytest.mark.parametrize(
    ("where", "detectors"),
    [
        ("detector = 7", [7]),
        ("detector = [6, 8]", [6, 8]),
        ("detector = { minimum = 7 }", [7, 8]),
        ("detector = { minimum = 7, maximum = 7 }", [7]),
        ('obs_id = "101"', [6, 7, 8]),
        ('obs_id = "999"', []),
    ],
)
def test_where_selects_files(bench: Bench, where: str, detectors: list[int]) -> None:
    for detector in (6, 7, 8):
        write_raw(bench.raw, 101, detector)
    text = ONE.replace('"lab.raw"', f'"lab.raw", where = {{ {where} }}') + STAGE + OUTPUT
    made = make(bench, text)
    assert [job.keys["detector"] for job in made.jobs] == detectors
    assert len(made.unused) == 3 - len(detectors)


def test_an_empty_plan_says_why_each_file_was_not_taken(bench: Bench) -> None:
    write_raw(bench.raw, 101, 6)
    (bench.raw / "notes.txt").write_text("hello")
    text = ONE.replace('"lab.raw"', '"lab.raw", where = { detector = [7, 8] }') + STAGE + OUTPUT
    with pytest.raises(ConfigurationError) as caught:
        bench(text)
    assert "input image: detector is 6; the input wants 7 or 8" in str(caught.value)
    assert "notes.txt: input image: no lab.raw" in str(caught.value)


def test_a_file_whose_key_has_several_values_is_in_several_jobs(bench: Bench) -> None:
    write_raw(bench.raw, 101, 7, BRICKS="1 2")
    write_raw(bench.raw, 102, 7, BRICKS="2 3")
    text = HEAD.replace('"obs_id", "detector"', '"sky"')
    text += '[inputs]\nimages = { definition = "lab.raw", many = true }\n'
    text += '[[stage]]\nuse = "lab.combine"\n[outputs]\ncombined = "lab.combined"\n'
    jobs = make(bench, text).jobs
    assert {job.id: files(job)["images"] for job in jobs} == {
        "1": ["RAW_101_7.fits"],
        "2": ["RAW_101_7.fits", "RAW_102_7.fits"],
        "3": ["RAW_102_7.fits"],
    }


def joined(by: str, more: str = "") -> str:
    inputs = 'image = { definition = "lab.raw", where = { file_type = "SCIE" } }\n'
    inputs += (
        'flats = { definition = "lab.raw", where = { file_type = "FLAT" }, '
        f"many = true, by = {by}{more} }}\n"
    )
    return HEAD + "[inputs]\n" + inputs + STAGE + OUTPUT


def test_an_input_joins_the_jobs_that_agree_on_a_subset_of_keys(bench: Bench) -> None:
    for obs_id, detector in ((101, 6), (101, 7), (102, 7)):
        write_raw(bench.raw, obs_id, detector, TYPE="SCIE")
    for obs_id, detector in ((1, 7), (2, 7), (3, 8)):
        write_raw(bench.raw, obs_id, detector, TYPE="FLAT")
    made = make(bench, joined('["detector"]'))
    assert {job.id: files(job)["flats"] for job in made.jobs} == {
        "101_6": [],
        "101_7": ["RAW_1_7.fits", "RAW_2_7.fits"],
        "102_7": ["RAW_1_7.fits", "RAW_2_7.fits"],
    }
    assert made.jobs[0].problem == "input flats: no file (lab.raw)"
    assert [path.name for path in made.unused] == ["RAW_3_8.fits"]


def test_an_input_joins_by_the_sky_that_a_file_of_the_job_touches(bench: Bench) -> None:
    write_raw(bench.raw, 101, 6, TYPE="SCIE", BRICKS="1 2")
    for obs_id, brick in ((1, "1"), (2, "2"), (3, "3")):
        write_raw(bench.raw, obs_id, 30, TYPE="FLAT", BRICKS=brick)
    made = make(bench, joined('["sky"]'))
    assert {job.id: files(job)["flats"] for job in made.jobs} == {
        "101_6": ["RAW_1_30.fits", "RAW_2_30.fits"]
    }
    assert [path.name for path in made.unused] == ["RAW_3_30.fits"]


def test_an_optional_input_may_be_absent_and_makes_no_job(bench: Bench) -> None:
    write_raw(bench.raw, 101, 6, TYPE="SCIE")
    write_raw(bench.raw, 3, 8, TYPE="FLAT")
    made = make(bench, joined('["detector"]', ", optional = true"))
    assert [(job.id, job.problem) for job in made.jobs] == [("101_6", "")]


def test_too_many_files_for_a_single_input_fail_the_job_by_name(bench: Bench) -> None:
    write_raw(bench.raw / "a", 101, 7)
    write_raw(bench.raw / "b", 101, 7)
    record = bench.one(ONE + STAGE + OUTPUT)
    assert record.status == "failed"
    assert "input image: takes one file, found 2: RAW_101_7.fits, RAW_101_7.fits" in record.why


def test_a_damaged_file_fails_a_job_of_its_own_and_stops_no_other(bench: Bench) -> None:
    write_raw(bench.raw, 101, 7)
    bad = write_raw(bench.raw, 102, 7)
    bad.write_bytes(b"no FITS")
    records = bench(ONE + STAGE + OUTPUT)
    good, failed = sorted(records)
    assert (good, records[good].status) == ("101_7", "done")
    assert failed.startswith("file_RAW_102_7.fits__")
    assert records[failed].status == "failed"
    assert f"{bad}: not a FITS file" in records[failed].why
    assert bench.last is not None
    assert bench.last.exit_code == 4


def test_a_truncated_file_fails_its_job_with_the_cause(bench: Bench) -> None:
    bad = write_raw(bench.raw, 102, 7, shape=(200, 200))
    bad.write_bytes(bad.read_bytes()[:-80000])
    record = bench.one(ONE + STAGE + OUTPUT)
    assert record.status == "failed"
    assert bad.name in record.why
    assert not (bench.output / "products").exists()


def test_a_path_that_does_not_exist_is_named(bench: Bench) -> None:
    with pytest.raises(ConfigurationError, match="missing: no such file or folder"):
        bench(ONE + STAGE + OUTPUT, bench.folder / "missing")


def test_records_of_an_output_folder_are_not_taken_for_inputs(bench: Bench) -> None:
    write_raw(bench.raw, 101, 7)
    bench.one(ONE + STAGE + OUTPUT)
    found = {path.name for path, _ in find_files([bench.output], {})}
    assert found == {"RED_101_7.fits"}


def test_a_file_named_twice_is_read_once(bench: Bench) -> None:
    path = write_raw(bench.raw, 101, 7)
    (job,) = make(bench, ONE + STAGE + OUTPUT, path, bench.raw, path).jobs
    assert job.problem == ""


def test_ids_of_jobs_are_safe_and_unique(bench: Bench) -> None:
    first = write_raw(bench.raw / "a", 1, 7, TYPE="../x")
    second = write_raw(bench.raw / "b", 2, 7, TYPE="..-x")
    text = ONE.replace('"obs_id", "detector"', '"file_type"') + STAGE + OUTPUT
    ids = [job.id for job in make(bench, text, first, second).jobs]
    assert len(set(ids)) == 2
    assert all("/" not in job and not job.startswith(".") for job in ids)


def test_shards_are_disjoint_complete_and_stable() -> None:
    jobs = [Job(f"{number}_7", {}) for number in range(200)]
    shards = [[job.id for job in jobs if in_shard(job, (i, 3))] for i in (1, 2, 3)]
    assert sorted(job for shard in shards for job in shard) == sorted(job.id for job in jobs)
    assert all(40 < len(shard) < 95 for shard in shards)
    assert [job.id for job in jobs[:50] if in_shard(job, (1, 3))] == [
        job for job in shards[0] if job in {job.id for job in jobs[:50]}
    ]


def test_several_definitions_make_one_product(bench: Bench) -> None:
    write_raw(bench.raw, 101, 7)
    write_raw(bench.raw, 101, 7, 4.0, kind="BIAS", name="BIAS")
    write_raw(bench.raw, 102, 7)
    text = ONE.replace('"lab.raw"', '["lab.raw", "lab.bias"]') + STAGE + OUTPUT
    first, second = make(bench, text).jobs
    assert files(first) == {"image": ["RAW_101_7.fits", "BIAS_101_7.fits"]}
    assert second.problem == "input image: RAW_102_7.fits comes without lab.bias"
    assert bench(text)["101_7"].status == "done"


def test_keys_of_the_job_go_to_parameters_of_that_name(bench: Bench) -> None:
    write_raw(bench.raw, 101, 7, BRICKS="4 5")
    text = HEAD.replace('"obs_id", "detector"', '"sky"')
    text += '[inputs]\nimages = { definition = "lab.raw", many = true }\n'
    text += '[[stage]]\nuse = "lab.name_brick"\n[outputs]\nmerged = "lab.merged"\n'
    records = bench(text)
    assert {job: record.stages[0].metrics["sky"] for job, record in records.items()} == {
        "4": 4,
        "5": 5,
    }
    parameter = records["4"].stages[0].parameters["sky"]
    assert (parameter.value, parameter.origin) == (4, "job key")
    assert Path(records["4"].outputs[0].path).name == "MERGED_4.fits"
