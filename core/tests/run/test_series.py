"""Series: mapping, elements that drop out, whole-series stages, frames of one file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from csstcore.errors import Problems
from csstcore.products import Image
from csstcore.run import caller, spool
from csstcore.run.status import Failure, Status

from .conftest import HEAD, Bench, write_raw

MANY = HEAD.replace('"obs_id", "detector"', '"detector"')
IMAGES = MANY + '[inputs]\nimages = { definition = "lab.raw", many = true }\n'
COMBINE = '[[stage]]\nuse = "lab.combine"\n[outputs]\ncombined = "lab.combined"\n'


@pytest.fixture
def three(bench: Bench) -> Bench:
    for obs_id, value in ((103, 30.0), (101, 10.0), (102, 20.0)):
        write_raw(bench.raw, obs_id, 7, value)
    return bench


@pytest.fixture(params=["in memory", "spooled"])
def storage(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "spooled":
        monkeypatch.setattr(spool, "SMALLEST_SPOOLED_BYTES", 1)
    return str(request.param)


def mapped(stage: str, more: str = "") -> str:
    return f'[[stage]]\nuse = "lab.{stage}"\nin = {{ image = "images" }}\n{more}\n'


def test_a_stage_on_one_product_is_mapped_and_a_sequence_is_sorted_by_key(
    three: Bench, storage: str
) -> None:
    record = three.one(IMAGES + mapped("add") + COMBINE)
    assert record.status is Status.DONE, record.why
    assert (three.data(record, "combined") == 21).all()
    add, combine = record.stages
    assert [call.element for call in add.elements] == [
        f"obs_id {obs_id}" for obs_id in (101, 102, 103)
    ]
    assert combine.metrics == {"images": 3}
    assert record.job == "7"


def test_an_element_that_fails_a_required_stage_drops_out(three: Bench, storage: str) -> None:
    text = IMAGES + mapped("refuse", "params = { below = 15.0 }") + COMBINE
    record = three.one(text)
    assert record.status is Status.CAVEATS
    assert (three.data(record, "combined") == 25).all()
    assert record.stages[0].status is Status.CAVEATS
    assert [call.status for call in record.stages[0].elements] == ["failed", "done", "done"]
    assert record.dropped == {"images: obs_id 101": "stage refuse: mean is 10.0, below 15.0"}


def test_the_job_fails_below_the_minimum_of_its_input(three: Bench) -> None:
    text = IMAGES.replace("many = true", "many = true, minimum = 3")
    record = three.one(text + mapped("refuse", "params = { below = 15.0 }") + COMBINE)
    assert (record.status, record.failed_stage) == (Status.FAILED, "refuse")
    assert "2 of 3 'images' left, needs 3; stage refuse: mean is 10.0" in record.why
    assert record.failure is Failure.UNPROCESSABLE
    assert record.stages[1].status is Status.BLOCKED


def test_an_input_with_too_few_files_is_refused(three: Bench) -> None:
    text = IMAGES.replace("many = true", "many = true, minimum = 4")
    record = three.one(text + COMBINE)
    assert record.status is Status.FAILED
    assert "input 'images': found 3, needs at least 4" in record.why


def test_a_returned_series_is_aligned_and_none_elements_are_left_out(
    three: Bench, storage: str
) -> None:
    write_raw(three.raw, 100, 7, -5.0)
    text = IMAGES + '[[stage]]\nuse = "lab.select"\n' + mapped("add")
    record = three.one(text + COMBINE)
    assert (three.data(record, "combined") == 21).all()
    first, *rest = record.stages[1].elements
    assert (first.status, first.why) == ("skipped", "no product 'images' for this element")
    assert {call.status for call in rest} == {"done"}
    # Leaving an element out is what the stage is for: nothing to warn of.
    assert (record.stages[1].status, record.status) == (Status.DONE, Status.DONE)
    assert record.stages[1].why.startswith("1 of 4 elements not delivered; obs_id 100: skipped")


def test_mapped_products_are_written_one_file_each(three: Bench, storage: str) -> None:
    text = IMAGES + mapped("add") + mapped("measure")
    record = three.one(text + '[outputs]\nimages = "lab.reduced"\ncatalog = "lab.catalog"\n')
    names = sorted(Path(file.path).name for file in record.outputs)
    assert names == [f"{kind}_{i}_7.fits" for kind in ("CAT", "RED") for i in (101, 102, 103)]
    for file in record.outputs:
        if file.name == "images":
            with fits.open(three.output / file.path) as hdus:
                assert hdus[0].header["MEAN"] == hdus[1].data.mean()


def test_a_single_product_goes_to_every_element(three: Bench) -> None:
    text = IMAGES + '[[stage]]\nuse = "lab.combine"\n'
    text += mapped("pair").replace('image = "images"', 'image = "images", other = "combined"')
    record = three.one(text + '[outputs]\ncatalog = "lab.catalog"\n')
    flux = []
    for file in record.outputs:
        with fits.open(three.output / file.path) as hdus:
            flux.append(float(hdus[1].data["flux"][0]))
    assert flux == [-10.0, 0.0, 10.0]


def two_series(bench: Bench, others: tuple[int, ...]) -> str:
    for obs_id in others:
        write_raw(bench.raw, obs_id, 7, 1.0, TYPE="BACK", name="RAW")
    write = {"dark": 'where = { file_type = "BACK" }', "images": 'where = { file_type = "SCIE" }'}
    inputs = "".join(
        f'{name} = {{ definition = "lab.raw", many = true, {where} }}\n'
        for name, where in write.items()
    )
    return MANY + "[inputs]\n" + inputs


def test_two_series_are_matched_by_the_keys_they_share(bench: Bench) -> None:
    for obs_id in (101, 102):
        write_raw(bench.raw / "science", obs_id, 7, 10.0 * obs_id, TYPE="SCIE")
        write_raw(bench.raw / "back", obs_id, 7, obs_id, TYPE="BACK")
    write_raw(bench.raw / "science", 103, 7, 5.0, TYPE="SCIE")
    text = two_series(bench, ())
    text += mapped("pair", "").replace('image = "images"', 'image = "images", other = "dark"')
    record = bench.one(text + '[outputs]\ncatalog = "lab.catalog"\n')
    calls = {call.element: call.status for call in record.stages[0].elements}
    assert calls == {
        "obs_id 101": "done",
        "obs_id 102": "done",
        "obs_id 103": "blocked",
    }
    assert "images: obs_id 103" in record.dropped


def test_frames_of_one_file_are_a_series_and_are_written_into_one_file(
    bench: Bench, storage: str
) -> None:
    write_raw(bench.raw, 101, 7, 2.0, shape=(3, 4, 5), kind="FRAMES", name="FRAMES")
    text = IMAGES.replace("lab.raw", "lab.frames") + mapped("add")
    record = bench.one(text + '[outputs]\nimages = "lab.frames"\n')
    assert [call.element for call in record.stages[0].elements] == [
        f"obs_id 101, frame {i}" for i in range(3)
    ]
    data = bench.data(record, "images")
    assert data.shape == (3, 4, 5)
    np.testing.assert_array_equal(data, 3.0)


def test_a_stage_without_a_series_may_begin_one_that_others_follow(
    bench: Bench, storage: str
) -> None:
    write_raw(bench.raw, 101, 7, 2.0)
    text = HEAD + '[inputs]\nimage = { definition = "lab.raw" }\n'
    text += '[[stage]]\nuse = "lab.burst"\n[[stage]]\nuse = "lab.add"\nin = { image = "frames" }\n'
    text += (
        '[[stage]]\nuse = "lab.align"\nin = { images = "frames", others = "offsets" }\n'
        'out = { images = "frames" }\n[outputs]\nframes = "lab.frames"\n'
    )
    record = bench.one(text)
    assert record.status is Status.DONE, record.why
    assert [call.element for call in record.stages[1].elements] == [
        f"frame {index}" for index in range(3)
    ]
    assert record.stages[2].metrics == {"none": 0}
    np.testing.assert_array_equal(bench.data(record, "frames")[:, 0, 0], [2.0, 3.0, 4.0])


def test_a_series_for_each_element_of_a_series_is_refused(three: Bench) -> None:
    text = IMAGES + '[[stage]]\nuse = "lab.burst"\nin = { image = "images" }\n'
    with pytest.raises(Problems, match="a stage returns a series once"):
        three(text + '[outputs]\nframes = "lab.frames"\n')


def test_several_frames_for_an_input_of_one_are_refused(bench: Bench) -> None:
    write_raw(bench.raw, 101, 7, 2.0, shape=(3, 4, 5), kind="FRAMES", name="FRAMES")
    text = HEAD + '[inputs]\nimage = { definition = "lab.frames" }\n'
    record = bench.one(text + '[[stage]]\nuse = "lab.add"\n[outputs]\nimage = "lab.reduced"\n')
    assert "holds 3 products; input 'image' takes one" in record.why


def test_a_stage_made_reference_is_given_to_every_element(bench: Bench) -> None:
    for obs_id in (101, 102):
        write_raw(bench.raw, obs_id, 7, 10.0, TYPE="SCIE")
    write_raw(bench.raw, 99, 7, 4.0, TYPE="BACK")
    text = two_series(bench, ())
    text += '[[stage]]\nuse = "lab.combine"\nin = { images = "dark" }\n'
    text += mapped("offset").replace('image = "images"', 'image = "images", bias = "combined"')
    record = bench.one(text + '[outputs]\nimages = "lab.reduced"\n')
    for file in record.outputs:
        with fits.open(bench.output / file.path) as hdus:
            assert (hdus[1].data == 6).all()
    assert record.stages[1].elements[0].references == {"bias": "product combined"}


def test_a_stage_over_an_absent_optional_series_is_skipped(bench: Bench) -> None:
    write_raw(bench.raw, 101, 7, TYPE="SCIE")
    text = HEAD + (
        '[inputs]\nimage = { definition = "lab.raw", where = { file_type = "SCIE" } }\n'
        'flats = { definition = "lab.raw", where = { file_type = "FLAT" }, many = true, '
        'by = ["detector"], optional = true }\n'
        '[[stage]]\nuse = "lab.add"\nin = { image = "flats" }\nout = { image = "flats" }\n'
        '[[stage]]\nuse = "lab.combine"\nin = { images = "flats" }\nrequired = false\n'
        '[[stage]]\nuse = "lab.relabel"\nin = { background = "combined" }\n'
        '[outputs]\nimage = "lab.reduced"\n'
    )
    record = bench.one(text)
    assert record.status is Status.CAVEATS, record.why
    skipped, blocked, relabel = record.stages
    assert (skipped.status, skipped.why) == ("skipped", "input 'flats' has no file")
    assert blocked.status is Status.BLOCKED
    assert blocked.why == "blocked by add (skipped: input 'flats' has no file)"
    assert relabel.metrics == {"has_background": False}


def test_whole_series_are_aligned_by_the_keys_they_share(bench: Bench) -> None:
    for obs_id, value in ((102, 20.0), (103, 30.0)):
        write_raw(bench.raw / "science", obs_id, 7, value, TYPE="SCIE")
    for obs_id in (103, 102):
        write_raw(bench.raw / "back", obs_id, 7, obs_id - 100.0, TYPE="BACK")
    text = two_series(bench, ()) + '[[stage]]\nuse = "lab.align"\nin = { others = "dark" }\n'
    record = bench.one(text + '[outputs]\nimages = "lab.reduced"\n')
    assert record.status is Status.DONE, record.why
    values = {}
    for file in record.outputs:
        with fits.open(bench.output / file.path) as hdus:
            values[hdus[0].header["OBSID"]] = float(hdus[1].data.mean())
    assert values == {"102": 18.0, "103": 27.0}


def test_elements_that_are_none_stay_aligned_where_they_are_declared(three: Bench) -> None:
    write_raw(three.raw, 100, 7, -5.0)
    text = IMAGES + '[[stage]]\nuse = "lab.select"\nout = { images = "others" }\n'
    text += '[[stage]]\nuse = "lab.align"\n[outputs]\nimages = "lab.reduced"\n'
    record = three.one(text)
    assert record.stages[1].metrics == {"none": 1}
    assert len(record.outputs) == 4


def test_one_element_at_a_time_is_in_memory(three: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mapped stages run element by element, whatever their number."""
    order: list[tuple[str, str]] = []
    original = caller.call_stage

    def watching(step: Any, arguments: Any, length: int | None = None) -> Any:
        order.append((step.id, arguments["image"].meta.obs_id))
        return original(step, arguments, length)

    monkeypatch.setattr(caller, "call_stage", watching)
    text = IMAGES + mapped("add") + mapped("refuse") + mapped("measure")
    three.one(text + '[outputs]\ncatalog = "lab.catalog"\n')
    assert order == [
        (stage, obs_id)
        for obs_id in ("101", "102", "103")
        for stage in ("add", "refuse", "measure")
    ]


def test_spooled_planes_are_plain_arrays_and_leave_no_file(tmp_path: Path) -> None:
    data = np.arange(1 << 19, dtype=np.float32).reshape(1024, 512)
    crew = spool.Spool(tmp_path / "spool")
    image = crew.put(Image(data, flags=np.zeros((1024, 512), np.uint16)))
    assert type(image.data) is np.ndarray
    assert not np.shares_memory(image.data, data)
    np.testing.assert_array_equal(image.data, data)
    image.data += 1
    assert list((tmp_path / "spool").iterdir()) == []


def test_caveats_of_elements_are_those_of_the_stage_and_the_job(three: Bench) -> None:
    record = three.one(IMAGES + mapped("warn") + COMBINE)
    assert record.stages[0].status is Status.CAVEATS
    assert record.stages[0].caveats == ["the sky is cloudy"]
    assert record.status is Status.CAVEATS
    assert record.why == "stage warn: the sky is cloudy"
