"""The histogram of even pixels agrees with the model, and tells what is wrong."""

from __future__ import annotations

import astropy.units as u
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from csst_cpic.checks_noise import noise_model_distance
from csst_cpic.figures_noise import noise_histogram
from csst_cpic.register.em_statistics import excess_noise_factor
from csst_cpic.stages.measure_noise import measure_noise
from csstcore.api import Image, Meta, NotApplicable, Table, replace
from csstcore.notes import collecting

NOISE, STAGES, SHAPE = 40.0, 604, (128, 128)
LIMIT = 0.03
"""Of the check in the definition."""


def one_star():
    """A star on a slope of 0.05 electron."""
    y, x = np.indices(SHAPE)
    return 0.03 + 0.05 * y / SHAPE[0] + 100 * np.exp(-((y - 60) ** 2 + (x - 60) ** 2) / 50)


def star_field():
    """Stars of 1 to 10000 electrons, with wings."""
    rng = np.random.default_rng(1)
    y, x = np.indices(SHAPE)
    rate = np.full(SHAPE, 0.02)
    for _ in range(120):
        square = (y - rng.uniform(0, 128)) ** 2 + (x - rng.uniform(0, 128)) ** 2
        profile = np.exp(-square / 4) / 12 + 0.003 / (1 + square / 16) ** 1.5
        rate += 10 ** rng.uniform(0, 4) * profile
    return rate


def speckles(mean):
    """Speckles of some pixels, everywhere."""
    parts = gaussian_filter(np.random.default_rng(1).normal(size=(2, *SHAPE)), (0, 1.5, 1.5))
    intensity = np.sum(parts**2, axis=0)
    return mean * intensity / intensity.mean()


def series(gain, number=20, rate=None):
    """Frames of a rate."""
    rng = np.random.default_rng(3)
    rate = one_star() if rate is None else rate
    spread = max(excess_noise_factor(gain, STAGES) - 1, 1e-9)
    meta = Meta(em_gain=gain * u.one, read_noise=NOISE * u.electron)
    frames = []
    for _ in range(number):
        signal = spread * rng.standard_gamma(np.maximum(rng.poisson(rate), 1e-12) / spread)
        signal += rng.normal(0, NOISE / gain, SHAPE)
        frames.append(Image(signal.astype(np.float32), u.electron, meta=meta))
    return frames


@pytest.mark.parametrize("gain", [1.0, 10.0, 200.0, 1000.0])
def test_the_model_fits_even_pixels_at_every_gain(detector, gain):
    frames = series(gain)
    with collecting() as notes:
        noise = measure_noise(frames, detector)
    assert noise_model_distance(noise) < 0.005
    assert notes.metrics["noise_pixels"] == noise.table["pixels"].sum() == 20 * 128 * 32
    assert noise.table["model"].sum() == pytest.approx(notes.metrics["noise_pixels"])
    assert len(noise_histogram(noise).axes) == 2


@pytest.mark.parametrize("gain", [1.0, 50.0, 1000.0])
@pytest.mark.parametrize("number", [5, 20])
@pytest.mark.parametrize(
    "rate", [star_field(), speckles(1.0), speckles(100.0)], ids=["stars", "speckles", "bright"]
)
def test_structure_in_the_light_is_no_error_of_the_model(detector, rate, number, gain):
    assert noise_model_distance(measure_noise(series(gain, number, rate), detector)) < LIMIT


@pytest.mark.parametrize("number", [5, 20])
@pytest.mark.parametrize("rate", [one_star(), star_field(), speckles(1.0)])
def test_a_wrong_gain_of_the_amplifier_shows_through_structure(detector, rate, number):
    frames = series(1000.0, number, rate)
    for image in frames:
        image.data *= 1.3
    assert noise_model_distance(measure_noise(frames, detector)) > LIMIT


def test_a_wrong_em_gain_shows_where_there_is_light(detector):
    frames = series(1000.0, 20, speckles(1.0))
    for image in frames:
        image.data /= 1.6
    meta = replace(frames[0].meta, em_gain=1600 * u.one)
    frames = [replace(frame, meta=meta) for frame in frames]
    assert noise_model_distance(measure_noise(frames, detector)) > LIMIT


def test_a_wrong_bias_and_a_wrong_noise_show(detector):
    frames = series(1000.0)
    for image in frames:
        image.data += 0.1 * NOISE / 1000.0
    assert noise_model_distance(measure_noise(frames, detector)) > 0.03
    frames = series(1000.0)
    wrong = [replace(f, meta=replace(f.meta, read_noise=50 * u.electron)) for f in frames]
    assert noise_model_distance(measure_noise(wrong, detector)) > 0.03


def test_flagged_pixels_do_not_count(detector):
    frames = series(1000.0, 15)
    for image in frames:
        image.data[::2] = 1e4
        image.set_flag("cosmic_ray", np.indices(SHAPE)[0] % 2 == 0)
    assert noise_model_distance(measure_noise(frames, detector)) < 0.01
    for image in frames:
        image.set_flag("bad", np.ones(SHAPE, bool))
    with pytest.raises(NotApplicable, match=r"are flagged"):
        measure_noise(frames, detector)
    empty = measure_noise(series(1000.0, 1), detector).table[:0]
    with pytest.raises(NotApplicable, match=r"histogram is empty"):
        noise_model_distance(Table(empty))
