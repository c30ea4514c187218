"""Numbers of frames and references against what they were made of."""

from __future__ import annotations

import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable

from csst_cpic.dark_zone import DarkZone
from csst_cpic.register.em_statistics import excess_noise_factor
from csst_cpic.stages.quality import compare_frames, measure_frame
from csst_cpic.stages.variance import average_frames, estimate_variance
from csstcore.api import Image, Mask, Meta, Table
from csstcore.notes import collecting

SHAPE, NOISE = (512, 512), 40.0


def compared(frames):
    """The pulls of frames."""
    level = QTable({"level": [1.0] * u.adu, "noise": [1.0] * u.adu, "drift": [1.0] * u.adu})
    level["disturbed_rows"] = [0]
    row = Table(QTable({"frame": [0]}))
    number = len(frames)
    return compare_frames(frames, [Table(level)] * number, [row] * number).table["pull"]


@pytest.mark.parametrize("rate", [0.02, 0.05, 1.0])
@pytest.mark.parametrize("number", [4, 8, 20])
def test_pulls_of_few_electrons_are_one_in_few_frames_too(detector, number, rate):
    """A mean of squares over their variances gives 0.81 in 8 frames of 0.05 electron."""
    gain, rng = 1000.0, np.random.default_rng(3)
    spread = excess_noise_factor(gain, detector.register_stages) - 1
    meta = Meta(em_gain=gain * u.one, read_noise=NOISE * u.electron)
    frames = []
    for _ in range(number):
        signal = spread * rng.standard_gamma(np.maximum(rng.poisson(rate, SHAPE), 1e-12) / spread)
        signal += rng.normal(0, NOISE / gain, SHAPE)
        frames.append(Image(signal.astype(np.float32), u.electron, meta=meta))
    mean = average_frames(frames, [Mask(np.zeros(SHAPE, np.bool_))] * number)
    for frame in frames:
        frame.variance = estimate_variance(frame, mean, detector).variance
    assert 0.95 < np.median(compared(frames)) < 1.06
    wrong = [Image(frame.data * 1.3, u.electron, frame.variance) for frame in frames]
    assert np.median(compared(wrong)) > 1.2


def test_references_are_described_by_their_unflagged_pixels():
    data = np.full(SHAPE, 0.0017, np.float32)
    data[::2] = 0.0019
    dark = Image(data, u.electron / u.s)
    hot = np.random.default_rng(1).random(SHAPE) < 0.01
    data[hot] = 1.0
    data[5, 5] = np.nan
    dark.set_flag("hot", hot)
    flat = Image(np.ones(SHAPE, np.float32))
    flat.set_flag("bad", np.ones(SHAPE, np.bool_))
    image = Image(np.zeros(SHAPE, np.float32), u.electron, meta=Meta())
    zone = DarkZone(2.0, 0.0, 10.0, 0.016, {"f661": 661.0})
    with collecting() as notes:
        measure_frame(image, zone, dark, flat)
    assert notes.metrics["dark_mean"] == pytest.approx(0.0018, rel=1e-3)
    assert notes.metrics["dark_scatter"] == pytest.approx(0.0001, rel=1e-3)
    assert np.isnan(notes.metrics["flat_mean"])
