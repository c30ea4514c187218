"""What is not one series, and frames that hold nothing."""

from __future__ import annotations

import astropy.units as u
import numpy as np
import pytest
from astropy.time import Time

from csst_cpic.stages.series import check_series
from csstcore.api import Image, Meta, UnprocessableData
from csstcore.notes import collecting


def frame(number: int = 0, *, shape=(136, 176), **facts) -> Image:
    """A raw frame."""
    values = {"em_gain": 50.0 * u.one, "exposure_time": 10.0 * u.s, "filter": "f661"} | facts
    data = np.random.default_rng(number).integers(20, 40, shape).astype(np.uint16)
    return Image(data, u.adu, meta=Meta(frame=number, **values))


def test_a_series_is_left_as_it_is(detector):
    frames = [frame(k) for k in range(4)]
    with collecting() as notes:
        assert list(check_series(frames, detector)) == frames
    assert not notes.caveats
    assert notes.metrics == {"frames": 4, "frames_left_out": 0, "lost_pixels": 0}


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (frame(1, em_gain=200.0 * u.one), "2 different EM gains: 50.0, 200.0"),
        (frame(1, exposure_time=1.0 * u.s), "2 different exposure times: 10.0 s, 1.0 s"),
        (frame(1, filter="f743"), "2 different filters: f661, f743"),
        (
            frame(1, shape=(5, 176)),
            r"2 different shapes .*: \(136, 176\), \(5, 176\)",
        ),
        (frame(1, position_angle=30.0 * u.deg), "2 different position angles: None, 30.0 deg"),
        (frame(1, obs_id="40100000002"), "2 different observations: None, 40100000002"),
        (frame(1, detector="EMCCD"), "2 different detectors: None, EMCCD"),
        (frame(1, em_gain=None), "2 different EM gains: 50.0, None"),
    ],
)
def test_what_differs_is_named(detector, other, message):
    with pytest.raises(UnprocessableData, match=message):
        check_series([frame(0), other, frame(2)], detector)


def test_a_lost_frame_is_left_out_with_a_caveat(detector):
    frames = [frame(k) for k in range(5)]
    frames[2].data[:] = 0
    frames[4].data[:] = 65535
    with collecting() as notes:
        kept = check_series(frames, detector)
    assert [image is None for image in kept] == [False, False, True, False, True]
    assert notes.caveats[0].startswith("frame 2 is left out: all its pixels are 0")
    assert notes.caveats[1].startswith("frame 4 is left out: all its pixels are 65535")
    assert notes.metrics["frames_left_out"] == 2


def test_lost_rows_and_parts_of_rows_are_flagged_with_a_caveat(detector):
    frames = [frame(k) for k in range(4)]
    frames[1].data[20:50] = 0
    frames[1].data[60, 30:60] = 17
    frames[2].data[70, 100] = 0  # a pixel below the converter's range
    frames[3].data[80, 40:60] = 65535  # a star
    with collecting() as notes:
        kept = check_series(frames, detector)
    lost = np.zeros((136, 176), bool)
    lost[20:50], lost[60, 30:60] = True, True
    assert np.array_equal(kept[1].flagged("bad"), lost)
    assert np.argwhere(kept[2].flagged("bad")).tolist() == [[70, 100]]
    assert not kept[0].flagged().any()
    assert not kept[3].flagged().any()
    assert notes.caveats == [
        "frame 1: 5310 pixels in 31 of 136 rows hold a value that noise cannot give; they are "
        "flagged as bad"
    ]
    assert notes.metrics["lost_pixels"] == 5311


def test_a_frame_of_which_most_is_lost_is_left_out(detector):
    frames = [frame(k) for k in range(4)]
    frames[2].data[40:] = 0
    frames[3].data[10:90] = np.where(np.arange(176) < 88, 17, 65535)
    with collecting() as notes:
        kept = check_series(frames, detector)
    assert kept[2] is None
    assert kept[3].flagged("bad").sum() == 80 * 88
    assert notes.caveats[0].startswith("frame 2 is left out: 16896 pixels in 96 of 136 rows")


def test_a_series_beyond_the_converter_throughout_is_refused(detector):
    frames = [frame(k) for k in range(3)]
    for image in frames:
        image.data[:] = 65535
    with pytest.raises(UnprocessableData, match="no frame of 3 holds anything: all pixels are"):
        check_series(frames, detector)


def test_a_single_frame_has_a_caveat(detector):
    with collecting() as notes:
        check_series([frame()], detector)
    assert notes.caveats == ["1 of 3 frames wanted to tell cosmic rays from light"]


def test_a_file_that_is_short_of_frames_has_a_caveat(detector):
    start = Time("2028-01-01", scale="utc")
    times = {"time": start, "end_time": start + 100 * 10.1 * u.s}
    with collecting() as notes:
        check_series([frame(k, **times) for k in range(99)], detector)
    assert notes.caveats == [
        "the file holds 99 frames; from start to end (1010 s) there was time for 100: "
        "times of frames are uncertain by 10.1 s"
    ]
    with collecting() as notes:
        frames = check_series([frame(k, **times) for k in range(100)], detector)
    assert not notes.caveats
    assert frames[3].meta.time.isot == "2028-01-01T00:00:30.300"
    assert frames[3].meta.end_time.isot == "2028-01-01T00:00:40.300"


def test_another_shape_than_the_detectors_is_refused(detector):
    with pytest.raises(UnprocessableData, match=r"\(136, 175\); expected \(136, 176\)"):
        check_series([frame(shape=(136, 175)) for _ in range(3)], detector)
