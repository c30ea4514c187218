"""Bias levels against truth, with trails of cosmic rays in the prescan."""

from __future__ import annotations

import astropy.units as u
import numpy as np
import pytest
from scipy.signal import lfilter

from csst_cpic.camera.bias_level import measure_rows
from csst_cpic.detector import Detector
from csst_cpic.stages.bias_level import subtract_bias_level
from csstcore.api import Image, UnprocessableData

READ_NOISE_ADU = 5.0


def drift_and_stripes(rows: int, rng: np.random.Generator) -> np.ndarray:
    """Level, drift over 60 rows and a wave of 13 rows, as large as half of the read noise."""
    kicks = 0.4 * np.sqrt(1 - np.exp(-2 / 60)) * rng.standard_normal(rows)
    kicks[0] = 0.4 * rng.standard_normal()
    drift = np.zeros(rows)
    for row in range(rows):
        drift[row] = (np.exp(-1 / 60) * drift[row - 1] if row else 0.0) + kicks[row]
    return 31.3 + drift + 0.6 * np.sin(2 * np.pi * np.arange(rows) / 13.2 + 1.0)


def raw_frame(detector: Detector, seed: int, *, trails: int) -> tuple[np.ndarray, np.ndarray]:
    """A raw frame without light, and the true level of its rows.

    Every trail begins near the end of a row with the charge of a cosmic ray after
    multiplication and falls with a length of 6 to 25 pixels, into the next row.
    """
    rng = np.random.default_rng(seed)
    rows, columns = detector.raw_shape
    level = drift_and_stripes(rows, rng)
    frame = level[:, None] + READ_NOISE_ADU * rng.standard_normal((rows, columns))
    frame += (rng.random(frame.shape) < 0.002) * rng.exponential(100.0, frame.shape)
    stream = np.zeros(rows * columns)
    starts = columns * rng.integers(0, rows - 3, trails) + columns - rng.integers(1, 60, trails)
    for start in starts:
        reach = np.arange(min(300, len(stream) - start))
        height = 10 ** rng.uniform(1.0, 4.0)
        stream[start + reach] += height * np.exp(-reach / rng.uniform(6.0, 25.0))
    frame += stream.reshape(frame.shape)
    return np.clip(np.floor(frame + 0.5), 0, 65535).astype(np.uint16), level


@pytest.mark.parametrize("trails", [0, 20, 100])
def test_the_level_of_a_frame_is_known_to_a_twentieth_of_the_read_noise(shipped, trails):
    """Measured: levels to 0.01 (0.03 with 100 trails), rows to 0.047 (0.052)."""
    detector = shipped("1080x1050")
    rows = []
    for seed in range(4):
        frame, truth = raw_frame(detector, seed, trails=trails)
        error = measure_level(detector, frame) - truth
        assert abs(error.mean()) < 0.05 * READ_NOISE_ADU
        rows.append(error.std())
    assert np.mean(rows) < (0.05 if trails < 100 else 0.06) * READ_NOISE_ADU


def measure_level(detector, frame):
    """The level of all rows."""
    raw = frame.astype(np.float32)
    return measure_rows(raw[detector.prescan], raw[detector.overscan]).level


def test_the_median_of_the_row_does_worse_by_far(shipped):
    detector = shipped("1080x1050")
    frame, truth = raw_frame(detector, 3, trails=200)
    error = np.median(frame[detector.prescan], axis=1) - truth
    assert error.std() > 0.2 * READ_NOISE_ADU
    assert error.mean() > 0.05 * READ_NOISE_ADU


def test_the_small_format_is_good_to_a_tenth_in_every_row(detector):
    squares = []
    for seed in range(20):
        frame, truth = raw_frame(detector, seed, trails=8)
        squares.append(np.mean((measure_level(detector, frame) - truth) ** 2))
    assert np.sqrt(np.mean(squares)) < 0.1 * READ_NOISE_ADU


def test_light_and_its_trails_in_every_row_do_not_move_the_level(shipped):
    detector, rng = shipped("1080x1050"), np.random.default_rng(5)
    rows, columns = detector.raw_shape
    signal = np.zeros((rows, columns))
    signal[detector.active] = 10000.0
    stream = signal.reshape(-1)
    stream += lfilter([0.0, 0.1], [1.0, -0.9], 0.007 * np.maximum(stream - 2500.0, 0.0))
    frame = 31.3 + signal + READ_NOISE_ADU * rng.standard_normal(signal.shape)
    error = measure_level(detector, np.floor(frame + 0.5)) - 31.3
    assert abs(error).max() < 1e-4 * 10000.0


def test_lost_rows_take_no_part_in_the_level(detector):
    """Fifty rows of zeros, more than half of a running median, and one that is lost in part."""
    frame, truth = raw_frame(detector, 7, trails=0)
    whole = subtract_bias_level(Image(frame, u.adu), detector)[0]
    raw = Image(frame.copy(), u.adu)
    lost = np.zeros(frame.shape, np.bool_)
    lost[40:90], lost[20, :40] = True, True
    raw.data[lost] = 0
    raw.set_flag("bad", lost)
    image, level = subtract_bias_level(raw, detector)
    assert np.array_equal(np.isnan(image.data), lost[detector.active])
    assert np.nanmax(np.abs(image.data - whole.data)) < 0.3 * READ_NOISE_ADU
    assert level.table["level"][0].value == pytest.approx(truth.mean(), abs=0.3)
    raw.set_flag("bad", np.ones(frame.shape, np.bool_))
    with pytest.raises(UnprocessableData, match="no row of the prescan"):
        subtract_bias_level(raw, detector)


def test_the_data_section_is_left_without_level_and_with_its_flags(detector):
    frame, truth = raw_frame(detector, 7, trails=0)
    raw = Image(frame, u.adu)
    where = np.zeros(frame.shape, np.bool_)
    where[detector.dark_rows, detector.prescan_columns] = True
    raw.set_flag("saturated", where)
    image, level = subtract_bias_level(raw, detector)
    assert image.data.shape == (128, 128)
    assert image.data.dtype == np.float32
    assert np.argwhere(image.flagged("saturated")).tolist() == [[0, 0]]
    assert abs(np.median(image.data)) < 1.0
    assert level.table["level"].to_value(u.adu)[0] == pytest.approx(truth.mean(), abs=0.25)
    assert level.table["noise"].to_value(u.adu)[0] == pytest.approx(READ_NOISE_ADU, rel=0.05)


def test_another_shape_is_refused(detector):
    with pytest.raises(UnprocessableData, match=r"\(136, 175\); expected \(136, 176\)"):
        subtract_bias_level(Image(np.zeros((136, 175), np.uint16), u.adu), detector)


def test_a_prescan_full_of_charge_is_refused(detector):
    rng = np.random.default_rng(1)
    frame = 100 * np.arange(176) ** 2 + rng.normal(0, 5, (136, 176))
    with pytest.raises(UnprocessableData, match="no row of the prescan"):
        subtract_bias_level(Image(frame.astype(np.float32), u.adu), detector)
