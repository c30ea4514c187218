import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from csst_calib.readout import Readout

CORNERS = ("lower_left", "lower_right", "upper_left", "upper_right")


def test_survey_camera_has_the_documented_raw_and_active_sizes() -> None:
    readout = Readout(1152, 4616, prescan_columns=27, overscan_columns=16, overscan_rows=16)
    assert readout.raw_shape == (9264, 9560)
    assert readout.shape == (9232, 9216)
    assert readout.channels == 16


def test_prescan_lies_at_the_amplifier_and_overscan_away_from_it(readout: Readout) -> None:
    first, last = next(iter(readout)), list(readout)[-1]
    assert first.raw[1] == slice(9, 73)
    assert first.overscan[1] == slice(73, 89)
    assert first.raw[0] == slice(0, 96)
    assert first.raw_overscan_rows[0] == slice(96, 101)
    assert last.overscan[1] == slice(3 * 89, 3 * 89 + 16)
    assert last.raw[1] == slice(3 * 89 + 16, 4 * 89 - 9)
    assert last.raw_overscan_rows[0] == slice(101, 106)
    assert last.raw[0] == slice(106, 202)


def test_without_corners_every_channel_is_read_to_the_nearest_corner_of_the_frame() -> None:
    readout = Readout(4, 4, channels_x=2, channels_y=2)
    assert [readout.corner(index) for index in range(4)] == list(CORNERS)
    middle = Readout(4, 4, channels_x=3, channels_y=1)
    assert [middle.corner(index) for index in range(3)] == [*["lower_left"] * 2, "lower_right"]


@given(
    sizes=st.tuples(*[st.integers(1, 5)] * 4),
    extra=st.tuples(*[st.integers(0, 4)] * 4),
    data=st.data(),
)
def test_channels_cover_the_active_area_once_and_no_raw_pixel_twice(sizes, extra, data) -> None:
    columns, rows, nx, ny = sizes
    corners = data.draw(st.tuples(*[st.sampled_from(CORNERS)] * (nx * ny)))
    prescan, overscan, overscan_rows, prescan_rows = extra
    readout = Readout(
        columns, rows, nx, ny, prescan, overscan, overscan_rows, prescan_rows, corners=corners
    )
    raw = np.zeros(readout.raw_shape, int)
    active = np.zeros(readout.shape, int)
    for channel in readout:
        raw[channel.raw] += 1
        raw[channel.overscan] += 1
        raw[channel.raw_overscan_rows] += 1
        active[channel.active] += 1
    assert np.all(active == 1)
    assert raw.max() == 1
    assert raw.sum() == nx * ny * (rows * columns + rows * overscan + columns * overscan_rows)
    for channel in readout:
        block = raw[channel.block][channel.read_order]
        assert not block[:prescan_rows].any()
        assert not block[:, :prescan].any()


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"channel_columns": 0, "channel_rows": 1}, "channel_columns is 0; expected at least 1"),
        (
            {"channel_columns": 1, "channel_rows": 1, "overscan_rows": -1},
            "overscan_rows is -1; expected 0 or more",
        ),
        (
            {"channel_columns": 1, "channel_rows": 1, "corners": ["lower_left"]},
            "corners has 1 entries; expected 16",
        ),
        ({"channel_columns": 1, "channel_rows": 1, "corners": ["left"] * 16}, "upper_right"),
    ],
)
def test_wrong_table_is_refused_with_the_cause(table, message) -> None:
    with pytest.raises(ValidationError, match=message):
        TypeAdapter(Readout).validate_python(table)


def test_table_of_a_toml_file_becomes_a_readout() -> None:
    table = {"channel_columns": 72, "channel_rows": 288, "corners": ["lower_left"] * 16}
    assert TypeAdapter(Readout).validate_python(table).shape == (576, 576)
