"""The detector table and the readout geometry that the plugin ships."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from pydantic import TypeAdapter

import csst_msc.plugin
from csst_msc.detectors import DetectorTable

FOLDER = Path(csst_msc.plugin.__file__).parent / "references"


@pytest.fixture(scope="module")
def table() -> DetectorTable:
    content = tomllib.loads((FOLDER / "detectors" / "msc.toml").read_text())
    return TypeAdapter(DetectorTable).validate_python(content)


def test_the_focal_plane_is_as_documented(table) -> None:
    assert [detector.number for detector in table.detectors] == list(range(1, 31))
    assert table.detector(12).crpix == (-267, 14746)
    assert table.detector(30).crpix == (29758, -15644)
    assert sum(detector.kind == "MBI" for detector in table.detectors) == 18
    count = {f: sum(d.filter == f for d in table.detectors) for f in ("NUV", "y", "g", "GU", "GI")}
    assert count == {"NUV": 4, "y": 4, "g": 2, "GU": 4, "GI": 4}
    with pytest.raises(KeyError, match="no detector 31"):
        table.detector(31)


def test_filters_and_places_are_point_symmetric(table) -> None:
    for number in range(1, 31):
        one, other = table.detector(number), table.detector(31 - number)
        assert one.filter == other.filter
        assert (one.row + other.row, one.column + other.column) == (6, 7)
        assert one.crpix[0] + other.crpix[0] == table.columns
        assert one.crpix[1] + other.crpix[1] == table.rows


def test_every_imaging_filter_has_its_numbers(table) -> None:
    used = {detector.filter for detector in table.detectors if detector.kind == "MBI"}
    assert used == set(table.bands)
    assert table.bands["g"].zero_point_mag == 26.26


@pytest.mark.parametrize("size", ["9560x9264", "920x608"])
def test_the_geometry_adds_up_to_the_raw_frame(size) -> None:
    geometry = tomllib.loads((FOLDER / "readout" / f"msc_{size}.toml").read_text())
    columns = geometry["channels_x"] * (
        geometry["prescan_columns"] + geometry["channel_columns"] + geometry["overscan_columns"]
    )
    rows = geometry["channels_y"] * (geometry["channel_rows"] + geometry["overscan_rows"])
    assert f"{columns}x{rows}" == size


def test_the_rules_name_files_that_are_there() -> None:
    for rules in ("readout", "detectors", "cosmic_ray_model"):
        content = tomllib.loads((FOLDER / f"{rules}.toml").read_text())
        for rule in content["rule"]:
            assert (FOLDER / rule["file"]).is_file()


def test_reports_show_the_detectors_where_they_are(table) -> None:
    path = Path(csst_msc.plugin.__file__).parent / "layouts" / "focal_plane.toml"
    places = tomllib.loads(path.read_text())["place"]
    assert [place["value"] for place in places] == list(range(1, 31))
    for place, detector in zip(places, table.detectors, strict=True):
        assert place["note"] == detector.filter
        assert (place["width"], place["height"]) == (table.columns, table.rows)
        centre = (table.columns / 2 - place["x"], table.rows / 2 - place["y"])
        assert centre == pytest.approx(detector.crpix)
