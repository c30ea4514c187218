"""Elements of series: which belong together, how they are told apart, none lost or repeated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from csstcore.references.choose import Choice
from csstcore.run.chosen import Chosen
from csstcore.run.status import Status

from .conftest import HEAD, Bench, write_raw

MANY = HEAD.replace('"obs_id", "detector"', '"detector"')
GATHER = '[[stage]]\nuse = "lab.gather"\n[outputs]\ncombined = "lab.combined"\n'


def two_inputs(definition: str = "lab.raw") -> str:
    return (
        MANY
        + "[inputs]\n"
        + "".join(
            f'{name} = {{ definition = "{definition}", many = true, '
            f'where = {{ file_type = "{name.upper()}" }} }}\n'
            for name in ("images", "others")
        )
    )


def write(bench: Bench, of: str, frames: list[tuple[int, float]], **more: Any) -> None:
    """Write frames of one input, each (obs_id, value); the order of files is that of the list."""
    for number, (obs_id, value) in enumerate(frames):
        folder = bench.raw / of / str(number)
        write_raw(folder, obs_id, 7, value, TYPE=of.upper(), **more)


@pytest.mark.parametrize(
    ("images", "others", "expected"),
    [
        pytest.param(
            [(101, 1), (102, 2), (103, 3)],
            [(103, 33), (101, 11), (102, 22)],
            ("1 2 3", "11 22 33"),
            id="one to one",
        ),
        pytest.param(
            [(101, 1), (101, 2), (101, 3)],
            [(101, 11), (101, 22), (101, 33)],
            ("1 2 3", "11 22 33"),
            id="repeated keys",
        ),
        pytest.param([(101, 1), (102, 2)], [(102, 22)], ("1 2", "22"), id="one shared key"),
        pytest.param(
            [(101, 1), (102, 2)],
            [(101, 11), (101, 12), (102, 22)],
            ("1 2", "11 12 22"),
            id="unequal lengths",
        ),
        pytest.param([(101, 1)], [(102, 22)], ("1", "22"), id="nothing in common"),
    ],
)
def test_two_series_are_aligned_one_to_one_or_given_whole(
    bench: Bench,
    images: list[tuple[int, float]],
    others: list[tuple[int, float]],
    expected: tuple[str, str],
) -> None:
    write(bench, "images", images)
    write(bench, "others", others)
    record = bench.one(two_inputs() + GATHER)
    assert record.status is Status.DONE, record.why
    assert record.stages[0].metrics == dict(zip(("images", "others"), expected, strict=True))


def test_series_without_identity_are_given_whole(bench: Bench) -> None:
    write(bench, "images", [(1, 1), (2, 2), (3, 3)], kind="ANON", name="ANON")
    write(bench, "others", [(1, 11), (2, 22), (3, 33)], kind="ANON", name="ANON")
    text = two_inputs("lab.anon") + GATHER.partition("[outputs]")[0]
    text += '[[stage]]\nuse = "lab.relabel"\nin = { image = "combined" }\n'
    record = bench.one(text + '[outputs]\nimage = "lab.raw"\n')
    assert record.stages[0].metrics == {"images": "1 2 3", "others": "11 22 33"}, record.why


def test_an_element_that_drops_out_takes_its_partner_with_it(bench: Bench) -> None:
    write(bench, "images", [(101, 1), (102, 2), (103, 3)])
    write(bench, "others", [(101, 11), (102, 22), (103, 33)])
    text = two_inputs() + '[[stage]]\nuse = "lab.refuse"\nin = { image = "images" }\n'
    record = bench.one(text + "params = { below = 2.0 }\n" + GATHER)
    assert record.stages[1].metrics == {"images": "2 3", "others": "22 33"}
    assert "images: obs_id 101" in record.dropped


def test_an_absent_element_is_none_where_that_is_declared(bench: Bench) -> None:
    write(bench, "images", [(101, 1), (102, -2)])
    text = two_inputs().partition("others")[0]
    text += '[[stage]]\nuse = "lab.refuse"\nin = { image = "images" }\n'
    text = text.replace("lab.refuse", "lab.select").replace('in = { image = "images" }', "")
    text += 'out = { images = "chosen" }\n[[stage]]\nuse = "lab.combine_one"\n'
    text += 'in = { image = "chosen" }\nout = { image = "others" }\nrequired = false\n'
    record = bench.one(text + GATHER)
    assert record.stages[2].metrics == {"images": "1 -2", "others": "2 none"}, record.why


IMAGES = MANY + '[inputs]\nimages = { definition = "lab.raw", many = true }\n'


def frames_of_one_observation(bench: Bench) -> None:
    for number, value in enumerate((1.0, 2.0, 3.0)):
        write_raw(bench.raw / str(number), 101, 7, value)


def test_copies_of_one_file_are_named_when_they_are_refused(bench: Bench) -> None:
    frames_of_one_observation(bench)
    text = IMAGES + '[[stage]]\nuse = "lab.add"\nin = { image = "images" }\n'
    text += 'out = { image = "images" }\n[outputs]\nimages = "lab.reduced"\n'
    record = bench.one(text)
    assert record.status == "failed"
    for words in ("0/RAW_101_7.fits and ", "1/RAW_101_7.fits are copies or versions of one file"):
        assert words in record.why


def test_elements_with_the_same_keys_have_labels_and_streams_of_their_own(bench: Bench) -> None:
    frames_of_one_observation(bench)
    text = IMAGES + '[[stage]]\nuse = "lab.noise"\nin = { image = "images" }\n'
    record = bench.one(
        text + '[[stage]]\nuse = "lab.combine"\n[outputs]\ncombined = "lab.combined"\n'
    )
    labels = [call.element for call in record.stages[0].elements]
    assert labels == [f"obs_id 101, element {number}" for number in range(3)]
    assert [call.index for call in record.stages[0].elements] == [0, 1, 2]


def test_every_dropped_element_is_recorded(bench: Bench) -> None:
    frames_of_one_observation(bench)
    text = IMAGES + '[[stage]]\nuse = "lab.refuse"\nin = { image = "images" }\n'
    text += 'params = { below = 2.5 }\n[[stage]]\nuse = "lab.combine"\n'
    record = bench.one(text + '[outputs]\ncombined = "lab.combined"\n')
    assert len(record.dropped) == 2


def test_each_file_has_the_metrics_and_checks_of_its_own_element(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files of one OBSID differ by name only: their metrics must differ too."""
    from csstcore.run import writing

    frames_of_one_observation(bench)
    given = []
    original = writing.write_product

    def watching(definition: Any, product: Any, sources: Any, folder: Path) -> Path:
        given.append((sources[0].metrics["mean"], sources[0].checks["raw_level"].value))
        path = original(definition, product, sources, folder)
        return path.rename(path.with_name(f"{len(given)}_{path.name}"))

    monkeypatch.setattr(writing, "write_product", watching)
    text = IMAGES + '[[stage]]\nuse = "lab.measure"\nin = { image = "images" }\n'
    record = bench.one(text + '[outputs]\nimages = "lab.reduced"\n')
    assert given == [(1.0, 1.0), (2.0, 2.0), (3.0, 3.0)], record.why


def test_which_element_chose_which_reference_is_part_of_the_fingerprint(tmp_path: Path) -> None:
    one, two = (Choice("t", tmp_path / n, n * 64, "store", 1, "rules") for n in "ab")

    def identity(*choices: Choice | None) -> str:
        chosen = Chosen({("t", "images", i): choice for i, choice in enumerate(choices)})
        return chosen.sha256_by_type()["t"]

    assert identity(one, one, two) != identity(one, two, two)
    assert identity(one, two) != identity(two, one)
    assert identity(one, one) == one.sha256
    assert identity(None, None) == "none"


def test_missing_references_of_a_series_are_one_line(bench: Bench) -> None:
    for obs_id in range(101, 109):
        write_raw(bench.raw, obs_id, 7)
    text = IMAGES + '[[stage]]\nuse = "lab.flatten"\nin = { image = "images" }\n'
    record = bench.one(text + '[outputs]\nimage = "lab.reduced"\n')
    assert record.why.count("lab.flat") == 1
    assert "(and so for 7 more elements)" in record.why
