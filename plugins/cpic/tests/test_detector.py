"""The geometry of a raw frame."""

from __future__ import annotations

import numpy as np
import pytest

from csst_cpic.detector import Detector


@pytest.mark.parametrize("readout", ["1080x1050", "176x136"])
def test_the_raw_shape_is_that_of_the_format(shipped, readout):
    columns, rows = map(int, readout.split("x"))
    assert shipped(readout).raw_shape == (rows, columns)


@pytest.mark.parametrize("readout", ["1080x1050", "176x136"])
def test_every_pixel_over_the_active_columns_lies_in_one_region(shipped, readout):
    detector = shipped(readout)
    seen = np.zeros(detector.raw_shape, int)
    for region in (detector.active, detector.shielded, detector.empty_rows):
        seen[region] += 1
    for region in (detector.prescan, detector.overscan):
        seen[region] += 1
    assert np.all(seen == 1)
    assert seen[detector.active].shape == detector.shape


def test_the_full_frame_is_as_documented(shipped):
    detector = shipped("1080x1050")
    assert detector.shape == (1024, 1024)
    assert detector.dark_rows == 2


def test_unknown_numbers_are_refused(shipped):
    with pytest.raises(ValueError, match="gain"):
        Detector(**{**vars(shipped("176x136")), "gain": 1.0})
