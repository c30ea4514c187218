"""The histogram of dark pixels agrees with the model, and tells what is wrong."""

from __future__ import annotations

import astropy.units as u
import numpy as np
import pytest

from csst_cpic.checks_noise import noise_model_distance
from csst_cpic.figures_noise import noise_histogram
from csst_cpic.register.em_statistics import excess_noise_factor
from csst_cpic.stages.measure_noise import measure_noise
from csstcore.api import Image, Meta, NotApplicable, Table, replace
from csstcore.notes import collecting

NOISE, STAGES, SHAPE = 40.0, 604, (128, 128)


def series(gain, number=20):
    """Frames of a star on dark pixels, and their mean."""
    rng = np.random.default_rng(3)
    y, x = np.indices(SHAPE)
    rate = 0.03 + 0.05 * y / SHAPE[0] + 100 * np.exp(-((y - 60) ** 2 + (x - 60) ** 2) / 50)
    spread = max(excess_noise_factor(gain, STAGES) - 1, 1e-9)
    meta = Meta(em_gain=gain * u.one, read_noise=NOISE * u.electron)
    frames = []
    for _ in range(number):
        signal = spread * rng.standard_gamma(np.maximum(rng.poisson(rate), 1e-12) / spread)
        signal += rng.normal(0, NOISE / gain, SHAPE)
        frames.append(Image(signal.astype(np.float32), u.electron, meta=meta))
    mean = np.mean([frame.data for frame in frames], axis=0)
    return frames, Image(mean, u.electron, meta=meta)


@pytest.mark.parametrize("gain", [1.0, 10.0, 200.0, 1000.0])
def test_the_model_fits_dark_pixels_at_every_gain(detector, gain):
    frames, mean = series(gain)
    with collecting() as notes:
        noise = measure_noise(frames, mean, detector)
    assert noise_model_distance(noise) < 0.005
    assert notes.metrics["noise_pixels"] == noise.table["pixels"].sum() == 20 * 128 * 64
    assert noise.table["model"].sum() == pytest.approx(notes.metrics["noise_pixels"])
    assert len(noise_histogram(noise).axes) == 2


def test_a_wrong_bias_and_a_wrong_noise_show(detector):
    frames, mean = series(1000.0)
    for image in frames:
        image.data += 0.1 * NOISE / 1000.0
    assert noise_model_distance(measure_noise(frames, mean, detector)) > 0.03
    frames, mean = series(1000.0)
    wrong = [replace(f, meta=replace(f.meta, read_noise=50 * u.electron)) for f in frames]
    assert noise_model_distance(measure_noise(wrong, mean, detector)) > 0.03


def test_flagged_pixels_do_not_count(detector):
    frames, mean = series(1000.0, 15)
    for image in frames:
        image.data[::2] = 1e4
        image.set_flag("cosmic_ray", np.indices(SHAPE)[0] % 2 == 0)
    assert noise_model_distance(measure_noise(frames, mean, detector)) < 0.01
    for image in frames:
        image.set_flag("bad", np.ones(SHAPE, bool))
    with pytest.raises(NotApplicable, match=r"are flagged"):
        measure_noise(frames, mean, detector)
    empty = measure_noise(series(1000.0, 1)[0], mean, detector).table[:0]
    with pytest.raises(NotApplicable, match=r"histogram is empty"):
        noise_model_distance(Table(empty))
