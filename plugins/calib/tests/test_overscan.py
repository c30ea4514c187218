from collections.abc import Callable

import astropy.units as u
import numpy as np
import pytest

from csst_calib.readout import Readout
from csst_calib.stages.overscan import subtract_overscan
from csstcore.api import Image, Meta, UnprocessableData
from csstcore.notes import collecting

NOISE = 4.5


@pytest.fixture
def raw_frame(readout: Readout, rng: np.random.Generator) -> Callable[..., Image]:
    """Raw frame: a level per channel that drifts along the rows, noise, and a scene."""

    def make(scene: np.ndarray, noise: float = NOISE) -> Image:
        raw = np.empty(readout.raw_shape)
        block_rows, block_columns = 101, 89
        for channel in readout:
            row, column = divmod(channel.index, readout.channels_x)
            drift = 2.0 * np.sin(np.arange(block_rows) / 60.0 + channel.index)
            block = np.s_[
                row * block_rows : (row + 1) * block_rows,
                column * block_columns : (column + 1) * block_columns,
            ]
            raw[block] = (1000.0 + 7.0 * channel.index + drift)[:, None]
            raw[channel.raw] += scene[channel.active]
        raw += rng.normal(0.0, noise, raw.shape) if noise else 0.0
        return Image(np.clip(raw.round(), 0, 65535).astype(np.uint16), u.adu, meta=Meta())

    return make


def test_channels_are_put_together_and_their_levels_removed(raw_frame, readout, rng) -> None:
    scene = rng.uniform(0.0, 3000.0, readout.shape)
    image = subtract_overscan(raw_frame(scene), readout, window_rows=21)
    assert image.data.dtype == np.float32
    assert image.unit == u.adu
    residual = image.data - scene
    for channel in readout:
        part = residual[channel.active]
        assert abs(part.mean()) < 0.25
        assert part.std() == pytest.approx(np.hypot(NOISE, np.sqrt(1 / 12)), rel=0.05)


def test_cosmic_rays_and_trails_in_the_overscan_do_not_bias_the_level(raw_frame, readout) -> None:
    frame = raw_frame(np.zeros(readout.shape))
    for channel in readout:
        overscan = frame.data[channel.overscan]
        inner = overscan if channel.index % 4 < 2 else overscan[:, ::-1]
        inner[20:26, 8] += 5000
        inner[40, 4:] += 300
    clean = subtract_overscan(frame, readout, window_rows=21)
    for channel in readout:
        assert abs(clean.data[channel.active].mean()) < 0.3


def test_trailed_charge_in_the_first_overscan_columns_is_left_out(raw_frame, readout) -> None:
    frame = raw_frame(np.zeros(readout.shape))
    for channel in readout:
        first = 0 if channel.index % 4 < 2 else -1
        frame.data[channel.overscan][:, first] += 15
    assert abs(subtract_overscan(frame, readout, skip_columns=1).data.mean()) < 0.2
    assert subtract_overscan(frame, readout, skip_columns=0).data.mean() < -0.4


def test_averaging_rows_keeps_the_noise_of_the_level_out_of_the_image(raw_frame, readout) -> None:
    frame = raw_frame(np.zeros(readout.shape))
    rows = [
        subtract_overscan(frame, readout, window_rows=window).data[:, :64].mean(axis=1).std()
        for window in (1, 51)
    ]
    assert rows[1] < 0.7 * rows[0]


def test_pixels_at_the_converter_limit_are_flagged(raw_frame, readout) -> None:
    scene = np.zeros(readout.shape)
    scene[10, 20] = scene[150, 200] = 70000.0
    image = subtract_overscan(raw_frame(scene), readout)
    assert np.argwhere(image.flagged("saturated")).tolist() == [[10, 20], [150, 200]]


def test_input_stays_unchanged(raw_frame, readout) -> None:
    frame = raw_frame(np.zeros(readout.shape))
    before = frame.data.copy()
    subtract_overscan(frame, readout)
    assert np.array_equal(frame.data, before)
    assert frame.flags is None


def test_camera_without_overscan_keeps_its_level() -> None:
    readout = Readout(20, 10, channels_x=1, channels_y=1)
    raw = Image(np.full((10, 20), 612, np.uint16), u.adu)
    assert np.all(subtract_overscan(raw, readout).data == 612.0)


def test_level_and_noise_are_reported(raw_frame, readout) -> None:
    with collecting() as notes:
        subtract_overscan(raw_frame(np.zeros(readout.shape)), readout, window_rows=21)
    assert notes.metrics["overscan_noise"] == pytest.approx(NOISE, rel=0.05)
    assert notes.metrics["overscan_level"] == pytest.approx(1024.5, abs=4.0)


def test_frame_of_another_shape_is_refused(readout) -> None:
    with pytest.raises(UnprocessableData, match=r"shape \(5, 5\); expected \(202, 356\)"):
        subtract_overscan(Image(np.zeros((5, 5), np.uint16), u.adu), readout)
