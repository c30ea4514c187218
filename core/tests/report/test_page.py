from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from csstcore.errors import FileError
from csstcore.report import write_report
from csstcore.run.record import load_record, save_record
from csstcore.run.status import Status

MakeRun = Callable[..., Path]


class Page(HTMLParser):
    """Collects the tags of a page and checks that they are balanced."""

    VOID = frozenset({"meta", "br", "img", "link", "input", "hr"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def count(self, tag: str, **attributes: str) -> int:
        return sum(
            found == tag and attributes.items() <= values.items() for found, values in self.tags
        )


def read(path: Path) -> tuple[str, Page]:
    text = path.read_text(encoding="utf-8")
    return text, Page(text)


def test_every_job_has_a_row_and_a_section(make_run: MakeRun) -> None:
    text, page = read(write_report(make_run(9)))
    assert page.count("details", **{"class": "job"}) == 9
    assert "10100000000-06" in text
    assert "detector 6" in text
    links = re.findall(r'href="#(\w+)"', text)
    targets = {values["id"] for _, values in page.tags if "id" in values}
    assert set(links) <= targets


def test_failures_come_first_with_their_reason_and_jobs(make_run: MakeRun) -> None:
    text, _ = read(write_report(make_run(21)))
    reason = "no reference of type calib.flat"
    assert text.index("What was not delivered") < text.index(reason) < text.index('id="jobs"')
    assert "<b>3 jobs</b> in <code>divide_flat</code>" in text


def test_checks_show_value_limits_and_verdict(make_run: MakeRun) -> None:
    text, _ = read(write_report(make_run(4)))
    assert "0.071 is above the maximum 0.05" in text
    assert "≤ 0.05" in text
    assert 'class="chip failed">out<' in text
    assert 'class="chip done">ok<' in text


def test_stage_times_memory_metrics_parameters_and_files_are_told(make_run: MakeRun) -> None:
    text, _ = read(write_report(make_run(2)))
    for expected in ("cosmic_ray_pixels", "Peak memory", "threshold", "bias_07.fits", "2.31 GB"):
        assert expected in text
    assert "the frame is empty" in text


def test_elements_of_a_series_are_told_only_where_they_differ(make_run: MakeRun) -> None:
    text, _ = read(write_report(make_run(2)))
    assert "2 elements" in text
    assert "frame 1" in text
    assert "frame 0" not in text
    assert ">10 … 12<" in text
    assert "frame 3" in text


def test_a_trend_needs_several_jobs(make_run: MakeRun) -> None:
    assert 'id="trends"' not in write_report(make_run(1)).read_text()
    assert 'id="trends"' in write_report(make_run(2)).read_text()


def test_the_page_needs_nothing_from_elsewhere(make_run: MakeRun) -> None:
    text, page = read(write_report(make_run(3, figures=True)))
    assert page.count("script") == page.count("link") == 0
    sources = [values["src"] or "" for tag, values in page.tags if tag == "img"]
    assert len(sources) > 3
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert not re.search(r"url\(|https?://|@import", re.sub(r'src="data:[^"]*"', "", text))


def test_what_a_stage_says_is_text_and_never_markup(make_run: MakeRun) -> None:
    folder = make_run(1)
    (path,) = (folder / "jobs").glob("*.json")
    record = load_record(path)
    evil = "<script>alert('x')</script>"
    record.why = record.stages[0].why = record.keys["obs_id"] = evil
    record.caveats = record.stages[1].caveats = [evil]
    record.status = Status.FAILED
    save_record(record, folder / "jobs")
    text, _ = read(write_report(folder))
    assert "<script" not in text
    assert html.escape(evil, quote=False).split("'")[0] in text


def test_a_caveat_is_amber_and_told_once_in_the_details(make_run: MakeRun) -> None:
    folder = make_run(1)
    (path,) = (folder / "jobs").glob("*.json")
    record = load_record(path)
    said = "stage solve_position: few stars"
    record.status, record.why, record.caveats = Status.CAVEATS, said, [said]
    save_record(record, folder / "jobs")
    text, page = read(write_report(folder))
    assert page.count("div", **{"class": "problem"}) == 0
    assert page.count("ul", **{"class": "plain caveats"}) == 1
    assert text[text.index('id="details"') :].count(said) == 1


def test_a_figure_outside_the_run_folder_is_not_embedded(make_run: MakeRun) -> None:
    folder = make_run(1, figures=True)
    (path,) = (folder / "jobs").glob("*.json")
    record = load_record(path)
    secret = folder.parent / "secret.png"
    secret.write_bytes(b"secret")
    record.figures[0].path = "../secret.png"
    save_record(record, folder / "jobs")
    assert "c2VjcmV0" not in write_report(folder).read_text()


def test_a_damaged_record_is_reported_and_does_not_stop_the_report(make_run: MakeRun) -> None:
    folder = make_run(2)
    (folder / "jobs" / "half.json").write_text('{"job": "x"')
    (folder / "jobs" / "other.json").write_text(json.dumps({"format": 99}))
    text, _ = read(write_report(folder))
    assert "half.json" in text
    assert "other.json: not the record of a job in format 1" in text


def test_numbers_that_are_not_finite_are_shown_as_absent(make_run: MakeRun) -> None:
    folder = make_run(1)
    (path,) = (folder / "jobs").glob("*.json")
    record = load_record(path)
    record.stages[0].metrics = {"level": float("nan")}
    save_record(record, folder / "jobs")
    assert ">–<" in write_report(folder).read_text()


def test_what_is_known_of_the_run_as_a_whole_is_told(make_run: MakeRun) -> None:
    folder = make_run(2)
    run = {
        "context": "3f7c147e5fc6",
        "started": "2027-03-01T00:00:00+00:00",
        "ended": "",
        "to_run": ["10100000000-06", "10100000000-07", "10100000000-99"],
        "kept": {"10100000000-08": "runs/earlier"},
        "unused": {"/raw/notes.txt": "image: not a FITS file"},
        "settings": {"detect_sources.threshold": 2.5},
        "overrides": {"calib.flat": "/my/flat.fits"},
        "seed": 4,
    }
    (folder / "run.json").write_text(json.dumps(run))
    text, _ = read(write_report(folder))
    for expected in (
        "3f7c147e5fc6",
        "2027-03-01 00:00:00 UTC",
        "<b>1 job</b> without a record",
        "10100000000-99",
        "1 file that no input takes",
        "/raw/notes.txt",
        "detect_sources.threshold",
        "/my/flat.fits",
    ):
        assert expected in text
    (folder / "run.json").write_text("{")
    assert "3f7c147e5fc6" not in write_report(folder).read_text()


def test_a_run_without_records_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="no job records"):
        write_report(tmp_path)


def test_of_many_jobs_those_with_problems_are_shown_in_full(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("csstcore.report.page.DETAILED_JOBS", 20)
    folder = make_run(60)
    text, page = read(write_report(folder))
    assert page.count("details", **{"class": "job"}) == 20
    assert "the 20 shown are those with problems first" in text
    failed = [
        load_record(record).job
        for record in (folder / "jobs").glob("*.json")
        if load_record(record).status is Status.FAILED
    ]
    assert all(f"<summary><b>{job}</b>" in text for job in failed)
