from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from csstcore.errors import Problems
from csstcore.report import write_report
from csstcore.report.layout import LayoutModel, load_layout
from csstcore.report.maps import draw_layout
from csstcore.report.summary import Job, Series

HEAD = '[layout]\nname = "plane"\ntitle = "Focal plane"\nsummary = "Four"\nkey = "detector"\n'


def place(n: int) -> str:
    x, y = 10 * (n % 2), 10 * (n // 2)
    return f"[[place]]\nvalue = {n}\nx = {x}\ny = {y}\nwidth = 8\nheight = 8\n"


PLACES = "".join(map(place, range(4)))


@pytest.fixture
def layout(tmp_path: Path) -> LayoutModel:
    path = tmp_path / "layout.toml"
    path.write_text(f'{HEAD}show = ["fwhm", "absent", "depth"]\n{PLACES}')
    return load_layout(path)


def job(number: int, detector: int, status: str = "done", checks_out: int = 0) -> Job:
    record = {"job": f"j{number}", "keys": {"detector": detector}, "status": status}
    return Job(number, record, checks_out)


def test_places_keep_their_order_on_the_sky(layout: LayoutModel) -> None:
    """x to the right and y upwards, although pages count downwards."""
    picture = draw_layout(layout, [job(1, 0)], [])
    assert picture is not None
    boxes = [cell.box for cell in picture.maps[0].cells]
    assert boxes[0][0] == boxes[2][0] == 0.0
    assert boxes[1][0] > boxes[0][0]
    assert boxes[2][1] == boxes[3][1] == 0.0
    assert boxes[0][1] + boxes[0][3] == pytest.approx(picture.height)


def test_of_several_jobs_at_a_place_the_worst_status_and_the_median_are_shown(
    layout: LayoutModel,
) -> None:
    jobs = [job(1, 0), job(2, 0, "failed"), job(3, 0), job(4, 3, "done with caveats", 1)]
    fwhm = Series("catalog: fwhm", [1, 2, 3, 4], [2.0, 4.0, 3.0, 9.0], [True, True, True, False])
    picture = draw_layout(layout, jobs, [fwhm])
    assert picture is not None
    status, number = picture.maps
    assert [cell.text for cell in status.cells] == ["failed", "", "", "done with caveats"]
    assert len({cell.mark for cell in status.cells}) == 3  # a mark each, not a colour alone
    assert [cell.text for cell in number.cells] == ["3", "", "", "9"]
    assert (number.name, number.low, number.high) == ("fwhm", "3", "9")
    assert [cell.out for cell in number.cells] == [False, False, False, True]
    assert number.cells[0].ink == "#fff"  # on the dark end of the scale
    assert number.cells[3].ink == "#000"


def test_jobs_without_a_place_make_no_picture(layout: LayoutModel) -> None:
    assert draw_layout(layout, [job(1, 17)], []) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEAD, "place: missing"),
        (HEAD + PLACES + place(2), "more than one"),
        (HEAD + PLACES + "colour = 3\n", "unknown key"),
        (HEAD + PLACES.replace("width = 8", "width = 0"), "greater than 0"),
    ],
)
def test_a_wrong_layout_is_refused(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "layout.toml"
    path.write_text(text)
    with pytest.raises(Problems, match=message):
        load_layout(path)


def test_the_report_shows_the_layouts_of_its_run(
    make_run: Callable[..., Path], layout: LayoutModel
) -> None:
    folder = make_run(3)
    (folder / "run.json").write_text(json.dumps({"layouts": [layout.model_dump()]}))
    for number, path in enumerate(sorted((folder / "jobs").glob("*.json"))):
        record = json.loads(path.read_text())
        record["keys"]["detector"] = number
        path.write_text(json.dumps(record))
    page = write_report(folder).read_text()
    assert "Focal plane" in page
    assert page.count('<g class="cell') == page.count("<svg") * 4
    for number in (1, 2, 3):
        assert f'<a href="#job{number}">' in page
    assert "detector 3: no job" in page
    assert "<script" not in page


def test_jobs_kept_from_an_earlier_run_are_shown_too(
    make_run: Callable[..., Path], layout: LayoutModel
) -> None:
    folder = make_run(2)
    first, second = sorted((folder / "jobs").glob("*.json"))
    earlier = folder.parent / "20270201-001" / "jobs" / first.name
    earlier.parent.mkdir(parents=True)
    for number, path in enumerate((first, second)):
        record = json.loads(path.read_text()) | {"keys": {"detector": number}}
        path.write_text(json.dumps(record))
    record = json.loads(first.read_text()) | {"run": "20270201-001"}
    earlier.write_text(json.dumps(record))
    first.unlink()
    kept = {"a": f"runs/20270201-001/jobs/{earlier.name}", "b": "runs/gone/jobs/gone.json"}
    content = {"layouts": [layout.model_dump()], "kept": kept}
    (folder / "run.json").write_text(json.dumps(content))
    page = write_report(folder).read_text()
    assert '<a href="../20270201-001/report.html">' in page
    assert '<a href="#job1">' in page
    assert "kept from an earlier run" in page
