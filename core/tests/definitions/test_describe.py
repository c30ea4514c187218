"""A definition as a readable table."""

from __future__ import annotations

from csstcore.definitions.describe import describe_definition


def test_everything_is_in_the_table(camera) -> None:
    text = describe_definition(camera)
    for part in (
        "frame: A frame of a made-up camera",
        "File name  CAM_{obs_id}_{start}_{detector}.fits",
        "also OLD_{obs_id}.fits",
        "INSTRUME  CAM or CAM2",
        "exposure_time  EXPTIME",
        "HDU SCI  (or IMG)  holds data  float32  [electron / s]  with WCS",
        "HDU WHT  holds variance as inverse variance  optional",
        "from meta.exposure_time",
        "also OBS_ID",
        "FAST, SLOW",
        "GAIN01..GAIN04",
        "cosmic_ray",
    ):
        assert part in text
    assert all(line == line.rstrip() for line in text.splitlines())


def test_proposed_entries_columns_and_checks_are_marked(define) -> None:
    definition = define(
        "[definition]\nname='a'\nsummary='b'\nproduct='Table'\nsource='a paper'\n"
        "[[hdu]]\nname='CAT'\n[hdu.keywords]\nX={type='int', proposed=true}\n"
        "[[hdu.column]]\nname='F{n}'\nrepeat=3\ndtype='f4'\nunit='mag'\nproposed=true\n"
        "[[check]]\nid='sky'\nuse='x.sky'\nmaximum=5\n[[figure]]\nuse='x.view'\n"
    )
    text = describe_definition(definition)
    lines = {line.split()[0]: line for line in text.splitlines() if line.strip()}
    assert "proposed" in lines["X"]
    assert "float32" not in lines["F1..3"]
    assert "f4 [mag]" in lines["F1..3"]
    assert "proposed" in lines["F1..3"]
    assert "..5" in lines["sky"]
    assert "x.view" in text
    assert "source   a paper" in text
