"""Raw frames to assembled images and back."""

import astropy.units as u
import numpy as np
import pytest

from csst_calib.stages.assemble import assemble, disassemble
from csst_calib.stages.overscan import subtract_overscan
from csstcore.api import Image, UnprocessableData


@pytest.fixture
def raw(readout, rng) -> Image:
    return Image(rng.integers(0, 65536, readout.raw_shape).astype(np.uint16), u.adu)


def test_active_pixels_come_back_exactly(raw, readout) -> None:
    back = disassemble(assemble(raw, readout), readout, overscan_level_adu=777)
    assert back.data.dtype == np.uint16
    outside = np.ones(readout.raw_shape, np.bool_)
    for channel in readout:
        assert np.array_equal(back.data[channel.raw], raw.data[channel.raw])
        outside[channel.raw] = False
    assert np.all(back.data[outside] == 777)


def test_level_is_subtracted_on_request_and_added_again(raw, readout) -> None:
    raw.data[:] = 1000
    for channel in readout:
        raw.data[channel.raw] += np.uint16(50 + channel.index)
    assembled = assemble(raw, readout, subtract_level=True)
    assert np.array_equal(assembled.data, subtract_overscan(raw, readout).data)
    back = disassemble(assembled, readout, overscan_level_adu=1000, added_level_adu=1000.0)
    assert np.array_equal(back.data, raw.data)


def test_values_that_do_not_fit_are_cut(make_image, readout) -> None:
    image = make_image(100.0, u.adu)
    image.data[0, :3] = -5.0, 70000.0, 65535.4
    back = disassemble(image, readout)
    assert back.data[next(iter(readout)).raw][0, :4].tolist() == [0, 65535, 65535, 100]


def test_what_cannot_be_converted_is_refused(make_image, raw, readout) -> None:
    with pytest.raises(UnprocessableData, match=r"shape \(192, 256\); expected \(202, 356\)"):
        assemble(make_image(1.0, u.adu), readout)
    with pytest.raises(UnprocessableData, match="the image is in electron; expected adu"):
        disassemble(make_image(1.0), readout)
    image = make_image(1.0, u.adu)
    image.data[5, 6] = np.nan
    with pytest.raises(UnprocessableData, match="1 pixels are not finite"):
        disassemble(image, readout)
    with pytest.raises(UnprocessableData, match="expected"):
        disassemble(raw, readout)
