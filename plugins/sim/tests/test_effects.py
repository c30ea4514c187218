"""Effects of the detector, each against its formula."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from scipy.ndimage import label, sum_labels

from csst_sim.direct import Simulation
from csst_sim.effects.brighter_fatter import redistribute
from csst_sim.effects.charge_transfer import to_raw_format, trail, transfer_channels
from csst_sim.effects.cosmic_rays import deposit_cosmic_rays
from csst_sim.effects.photon_noise import add_photon_noise
from csst_sim.effects.response import apply_response, shutter_times
from csst_sim.effects.saturation import bleed
from csst_sim.shot import Shot

MakeShot = Callable[..., Shot]
MakeFrame = Callable[..., Simulation]


@pytest.mark.parametrize("mean", [0.3, 3.0, 15.9, 16.1, 55.0, 1000.0])
def test_photon_noise_is_poisson(mean: float) -> None:
    """Mean, variance, skewness, and the distribution by a chi-square test."""
    image = np.full((1000, 1000), mean, np.float32)
    add_photon_noise(image, np.random.default_rng(5))
    values = image.ravel().astype(float)
    exact = float(np.float32(mean))
    assert values.mean() == pytest.approx(exact, abs=5 * np.sqrt(exact / values.size))
    assert values.var() == pytest.approx(exact, rel=5 * np.sqrt((2 + 1 / exact) / values.size))
    assert stats.skew(values) == pytest.approx(exact**-0.5, abs=0.02)
    counts = np.bincount(values.astype(int))
    expected = stats.poisson.pmf(np.arange(len(counts)), exact) * values.size
    common = expected > 20
    chi_square = ((counts[common] - expected[common]) ** 2 / expected[common]).sum()
    assert stats.chi2.sf(chi_square, common.sum() - 1) > 1e-4


def test_response_has_its_scatter_and_mean() -> None:
    image = np.ones((500, 500), np.float32)
    ones = np.ones(500, np.float32)
    apply_response(image, ones, ones, 2 * ones, np.float32(0.01), np.uint64(7))
    assert image.mean() == pytest.approx(2.0, rel=1e-4)
    assert image.std() / 2.0 == pytest.approx(0.01, rel=0.02)
    assert abs(np.corrcoef(image[:, :-1].ravel(), image[:, 1:].ravel())[0, 1]) < 0.01


def test_shutter_error_has_mean_zero() -> None:
    times = shutter_times(10.0, 0.02, 4001)
    assert times.mean(dtype=float) == pytest.approx(10.0, abs=1e-4)
    assert times.max() - 10.0 == pytest.approx(0.01, abs=1e-4)


def test_brighter_fatter_conserves_charge_and_widens_bright_stars() -> None:
    y, x = np.mgrid[-20:21, -20:21]
    profile = np.exp(-0.5 * (x**2 + y**2) / 0.9**2).astype(np.float32)

    def width(peak: float) -> float:
        image = profile * np.float32(peak)
        total = image.sum(dtype=float)
        redistribute(image, np.float32(3e-7), np.float32(9e4))
        assert image.sum(dtype=float) == pytest.approx(total, rel=1e-6)
        np.testing.assert_allclose(image, image[::-1, ::-1], rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(image, image.T, rtol=1e-3, atol=1e-3)
        return float(np.sqrt((image * x**2).sum() / image.sum()))

    assert width(100.0) == pytest.approx(0.9, rel=1e-3)
    assert 1.003 < width(60000.0) / 0.9 < 1.05


def test_brighter_fatter_lowers_the_variance_of_a_flat() -> None:
    mean, strength = 50000.0, 3e-7
    noise = np.random.default_rng(2).normal(mean, np.sqrt(mean), (1500, 1500))
    image = noise.astype(np.float32)
    redistribute(image, np.float32(strength), np.float32(9e4))
    lost = 1 - image[1:-1, 1:-1].var(dtype=float) / noise.var()
    assert lost == pytest.approx(2.6 * strength * mean, rel=0.1)


def test_bleeding_conserves_charge_within_the_column() -> None:
    image = np.full((200, 5), 100.0, np.float32)
    image[100, 2] = 1e6
    before = image.copy()
    bleed(image, 9e4)
    assert image.sum(dtype=float) == pytest.approx(before.sum(dtype=float), rel=1e-6)
    np.testing.assert_array_equal(image[:, [0, 1, 3, 4]], before[:, [0, 1, 3, 4]])
    full = np.flatnonzero(image[:, 2] > 8.9e4)
    assert image.max() <= 9e4
    assert (full.min(), full.max()) == (95, 105)


def test_trail_follows_the_packet_and_conserves_charge() -> None:
    image = np.zeros((600, 3), np.float32)
    image[400, 1] = 10000.0
    trail(image, np.array([0.01]), np.array([2.0]), 9e4)
    lost = 10000.0 - image[400, 1]
    assert not image[:, [0, 2]].any()
    assert not image[:400].any()
    assert lost == pytest.approx(0.01 * 401 * np.sqrt(10000 / 9e4), rel=1e-3)
    assert image[:, 1].sum(dtype=float) == pytest.approx(10000.0, abs=0.01)
    ratio = image[403, 1] / image[402, 1]
    assert ratio == pytest.approx(np.exp(-1 / 2.0), rel=1e-3)


def test_trails_point_away_from_the_amplifier_of_each_channel(make_shot: MakeShot) -> None:
    """Lower channels read downwards, upper ones upwards; here the right four to the right."""
    shot = make_shot()
    readout = replace(shot.readout, amplifier_right=(False,) * 4 + (True,) * 4)
    image = np.zeros((576, 576), np.float32)
    for row in (250, 330):
        for column in range(36, 576, 72):
            image[row, column] = 50000.0
    raw = to_raw_format(image, readout)
    before = raw.copy()
    assert raw.sum(dtype=float) == image.sum(dtype=float)
    transfer_channels(raw, readout, shot.device)
    for row, column in zip(*np.nonzero(before), strict=True):
        away_y = 1 if row < 304 else -1
        away_x = 1 if column < 460 else -1
        assert raw[row + away_y, column] > 0
        assert raw[row - away_y, column] == 0
        assert raw[row, column + away_x] > 0
        assert raw[row, column - away_x] == 0


def test_raw_format_has_prescan_and_overscan_where_documented(make_shot: MakeShot) -> None:
    readout = make_shot().readout
    image = np.arange(576 * 576, dtype=np.float32).reshape(576, 576) + 1
    raw = to_raw_format(image, readout)
    assert raw.shape == (608, 920)
    np.testing.assert_array_equal(raw[:288, 27:99], image[:288, :72])
    np.testing.assert_array_equal(raw[:288, 832:904], image[:288, 504:])
    np.testing.assert_array_equal(raw[320:, 27:99], image[288:, :72])
    assert not raw[288:320].any()
    assert not raw[:, :27].any()
    assert not raw[:, 99:115].any()
    mirrored = to_raw_format(image, replace(readout, amplifier_right=(True,) * 8))
    np.testing.assert_array_equal(mirrored[:288, 16:88], image[:288, :72])
    assert not mirrored[:, 88:115].any()


def test_cosmic_rays_have_realistic_charge_and_length(make_shot: MakeShot) -> None:
    """Most hits are minimum-ionising: about 80 electrons per micrometre of path."""
    shot = make_shot()
    image = deposit_cosmic_rays((2000, 2000), 150.0, shot.device, np.random.default_rng(3))
    hit = image > 3
    per_frame = hit.mean() * 9216 * 9232
    assert 2.0e5 < per_frame < 4.0e5
    labels, count = label(image > 0.5, np.ones((3, 3)))
    charge = sum_labels(image, labels, np.arange(1, count + 1))
    pixels = sum_labels(hit, labels, np.arange(1, count + 1))
    thickness = shot.device.thickness_um
    assert 60 * thickness < np.median(charge) < 160 * thickness
    assert 3 < np.median(pixels) < 12
    assert pixels.max() > 50
    area_cm2 = 4.0
    expected = shot.device.cosmic_rays_per_cm2_s * area_cm2 * 150.0
    assert count == pytest.approx(expected, rel=0.15)


def test_more_diffusion_spreads_the_same_charge(make_shot: MakeShot) -> None:
    device = make_shot().device
    sharp, soft = (
        deposit_cosmic_rays(
            (500, 500), 150.0, replace(device, diffusion_pixel=size), np.random.default_rng(4)
        )
        for size in (0.05, 0.5)
    )
    assert (soft > 3).sum() > 1.5 * (sharp > 3).sum()
