"""Cosmic rays in simulated series: those with hidden numbers, and those that go wrong."""

from __future__ import annotations

import astropy.units as u
import numpy as np
import pytest

from csst_cpic.stages.cosmic_rays import flag_cosmic_rays, set_flags
from csstcore.api import Image, Mask, Meta, UnprocessableData
from csstcore.notes import collecting

NOISE, STAGES = 40.0, 604


def deposits(rng, shape, number):
    """Electrons of straight tracks of 1 to 20 pixels, with straggling and diffusion."""
    charge = np.zeros(shape)
    for _ in range(rng.poisson(number)):
        length, angle = min(rng.exponential(4) + 1, 20), rng.uniform(0, 2 * np.pi)
        steps = np.arange(0, length, 0.05)
        y = rng.uniform(0, shape[0]) + steps * np.sin(angle) + rng.normal(0, 0.3, len(steps))
        x = rng.uniform(0, shape[1]) + steps * np.cos(angle) + rng.normal(0, 0.3, len(steps))
        lost = 50 * np.exp(rng.normal(0, 0.8)) * rng.gamma(0.5, 2.0, len(steps))
        inside = (y >= 0) & (y < shape[0]) & (x >= 0) & (x < shape[1])
        np.add.at(charge, (y[inside].astype(int), x[inside].astype(int)), lost[inside])
    return np.rint(charge)


def read(rng, electrons, gain):
    """Signal of the register, and what packets before left in it: full well, charge held back."""
    spread = 2 * (gain - 1) * gain ** (-(STAGES + 1) / STAGES) + 1 / gain - 1
    out = electrons * 1.0
    if gain > 1:
        out = spread * gain * rng.gamma(np.maximum(electrons, 1e-9) / spread)
    tail = np.zeros_like(out)
    spilled, held = np.zeros(len(out)), np.zeros(len(out))
    for x in range(out.shape[1]):
        tail[:, x] = spilled + 0.1 * held
        total = out[:, x] + tail[:, x]
        held *= 0.9
        kept = np.minimum(total, 5e5)
        spilled = total - kept
        caught = 0.007 * np.maximum(kept - 2e4, 0)
        held += caught
        out[:, x] = kept - caught
    return (out + rng.normal(0, NOISE, out.shape)) / gain, tail / gain


def star(shape, centre, brightest, speckles):
    """A core and a field of speckles that moves with it, electrons per frame."""
    y, x = np.indices(shape, dtype=float)
    y, x = y - centre[0], x - centre[1]
    core = brightest * np.exp(-(x**2 + y**2) / (2 * 1.5**2))
    wave = np.cos(1.7 * x + 0.3 * y) * np.cos(1.1 * y) + np.cos(0.7 * x - 1.3 * y)
    return core + speckles * wave**2 * np.exp(-np.hypot(x, y) / 25)


def series(seed, gain, frames=20, shape=(128, 128), brightest=0.0, speckles=0.0, drift=0.0, hits=6):
    """Frames, what particles left in them, and the mean of the light."""
    rng = np.random.default_rng(seed)
    hot = np.exp(rng.normal(0, 0.2, shape)) * np.where(rng.random(shape) < 1e-3, 300.0, 1.0)
    images, truth, light = [], [], np.zeros(shape)
    for k in range(frames):
        centre = np.array(shape) / 2 + drift * (k / frames - 0.5) + 0.1 * drift * rng.normal(size=2)
        rate = 0.01 * hot + star(shape, centre, brightest, speckles)
        particles = deposits(rng, shape, hits)
        data, tail = read(rng, rng.poisson(rate) + particles, gain)
        images.append(frame(data, gain))
        truth.append(particles + tail)
        light += rate / frames
    return images, np.array(truth), light


def frame(data, gain):
    meta = Meta(em_gain=gain * u.dimensionless_unscaled, read_noise=NOISE * u.electron)
    return Image(np.asarray(data, np.float32), u.electron, meta=meta)


def score(masks, truth, light, gain, where=...):
    """Recall of what stands out by 5 sigma and 5 electrons, and precision."""
    sigma = np.sqrt(2 * light + (NOISE / gain) ** 2)
    found = np.array([mask.mask for mask in masks])
    wanted = truth > np.maximum(5 * sigma, 5)
    found, wanted, real = found[:, where], wanted[:, where], (truth > 0.05 * NOISE / gain)[:, where]
    return (found & wanted).sum() / wanted.sum(), (found & real).sum() / found.sum()


@pytest.mark.parametrize("gain", [1.0, 10.0, 50.0, 200.0, 1000.0])
def test_hits_are_found_at_every_gain_behind_a_star_with_speckles(detector, gain):
    frames, truth, light = series(1, gain, shape=(160, 160), brightest=500.0, speckles=2.0)
    masks = flag_cosmic_rays(frames, detector)
    recall, precision = score(masks, truth, light, gain)
    assert recall >= 0.97
    assert precision >= 0.98


def test_a_gaussian_cut_takes_charge_for_hits(detector):
    frames, truth, light = series(2, 1000.0, speckles=2.0, hits=1)
    recall, precision = score(flag_cosmic_rays(frames, detector), truth, light, 1000.0)
    assert recall >= 0.97
    assert precision >= 0.98
    sigma = np.sqrt(2 * light + (NOISE / 1000.0) ** 2)
    gaussian = [Mask(frame.data > light + 5 * sigma) for frame in frames]
    recall, precision = score(gaussian, truth, light, 1000.0)
    assert recall >= 0.97
    assert precision <= 0.25


def test_a_drifting_star_is_no_cosmic_ray(detector):
    kinds = {"brightest": 500.0, "speckles": 5.0, "drift": 1.0}
    frames, truth, light = series(3, 200.0, shape=(160, 160), **kinds)
    masks = flag_cosmic_rays(frames, detector)
    recall, precision = score(masks, truth, light, 200.0, light > 1)
    assert recall >= 0.95
    assert precision >= 0.95


def test_a_star_that_moves_within_three_frames_is_no_cosmic_ray(detector):
    kinds = {"brightest": 500.0, "speckles": 5.0, "drift": 1.0}
    for gain in (10.0, 50.0):
        frames, truth, light = series(1, gain, 3, (160, 160), **kinds)
        recall, precision = score(flag_cosmic_rays(frames, detector), truth, light, gain)
        assert recall >= 0.93
        assert precision >= 0.98


@pytest.mark.parametrize(("frames", "wanted"), [(1, 0.9), (2, 0.9), (3, 0.93)])
def test_few_frames_find_fewer_hits_but_hardly_false_ones(detector, frames, wanted):
    images, truth, light = series(4, 200.0, frames, brightest=500.0, speckles=2.0)
    with collecting() as notes:
        masks = flag_cosmic_rays(images, detector)
    recall, precision = score(masks, truth, light, 200.0)
    assert recall >= wanted
    assert precision >= 0.97
    assert bool(notes.caveats) == (frames < 3)


def test_missing_values_and_saturation_do_no_harm(detector):
    frames, _, _ = series(5, 200.0)
    for image in frames:
        image.data[3:6, 10:20] = np.nan
        image.data[60:64, 60:64] = 4000.0
    frames[0].data[100, 50] = np.inf
    frames[2].data[20, 30:60] = 2500.0
    masks = flag_cosmic_rays(frames, detector)
    assert not any(mask.mask[3:6, 10:20].any() for mask in masks)
    assert not any(mask.mask[60:64, 60:64].any() for mask in masks)
    assert masks[2].mask[20, 30:60].all()
    everywhere = [Image(np.full_like(frames[0].data, np.nan), u.electron, meta=frames[0].meta)] * 3
    assert not any(mask.mask.any() for mask in flag_cosmic_rays(everywhere, detector))


def test_frames_that_do_not_fit_are_refused(detector):
    frames, _, _ = series(6, 50.0, 3, (16, 16), hits=0)
    with pytest.raises(UnprocessableData, match=r"in adu; expected electron"):
        flag_cosmic_rays([Image(frames[0].data, u.adu, meta=frames[0].meta)], detector)
    with pytest.raises(UnprocessableData, match=r"no EM gain"):
        flag_cosmic_rays([Image(frames[0].data, u.electron)], detector)
    with pytest.raises(UnprocessableData, match=r"shape \(8, 16\); expected \(16, 16\)"):
        flag_cosmic_rays([frames[0], frame(frames[1].data[:8].copy(), 50.0)], detector)


def test_flags_are_set():
    image = frame(np.zeros((2, 2)), 50.0)
    set_flags(image, Mask(np.array([[True, False], [False, False]])))
    assert image.flagged("cosmic_ray").tolist() == [[True, False], [False, False]]
    with pytest.raises(UnprocessableData, match=r"as the cosmic rays"):
        set_flags(image, Mask(np.zeros((1, 2), bool)))


def test_speckles_that_drift_through_a_long_series_are_no_cosmic_rays(detector):
    """Bright speckles whose rate changes by half within the series."""
    rng = np.random.default_rng(8)
    shape, number, gain = (96, 96), 60, 300.0
    light = 20.0 + 180.0 * (np.sin(0.5 * np.indices(shape)[0]) ** 2)
    phase = rng.uniform(0, 2 * np.pi, shape)
    images, truth = [], []
    for k in range(number):
        rate = light * (1 + 0.4 * np.cos(np.pi * k / number + phase))
        particles = deposits(rng, shape, 6)
        data, tail = read(rng, rng.poisson(rate) + particles, gain)
        images.append(frame(data, gain))
        truth.append(particles + tail)
    masks = flag_cosmic_rays(images, detector)
    recall, precision = score(masks, np.array(truth), light, gain)
    assert recall >= 0.97
    assert precision >= 0.98
