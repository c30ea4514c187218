"""The geometry for the stages of csst-calib agrees with that of the detector."""

import tomllib
from importlib.resources import files

import pytest

REFERENCES = files("csst_cpic").joinpath("references")
SAME = ("prescan_columns", "overscan_columns", "overscan_rows")


@pytest.mark.parametrize("size", ["1080x1050", "176x136"])
def test_both_tables_of_a_frame_give_the_same_geometry(size) -> None:
    readout, detector = (
        tomllib.loads(REFERENCES.joinpath(name).read_text())
        for name in (f"readout/cpic_{size}.toml", f"detector_{size}.toml")
    )
    assert {name: readout[name] for name in SAME} == {name: detector[name] for name in SAME}
    assert readout["channel_columns"] == detector["active_columns"]
    assert readout["channel_rows"] == detector["active_rows"]
    assert readout["prescan_rows"] == detector["dark_rows"]
    assert readout["saturation_adu"] == detector["converter_limit_adu"]
