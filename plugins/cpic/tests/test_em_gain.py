"""EM gains measured on frames whose gain is known."""

from __future__ import annotations

import numpy as np
import pytest

from csst_cpic.register.em_gain_fit import fit_em_gain
from csst_cpic.register.em_gain_moments import em_gain_from_moments, level_moments
from csst_cpic.register.em_statistics import excess_noise_factor
from csstcore.api import UnprocessableData

NOISE, STAGES = 40.0, 604


def frames(rng, number, gain, rate, serial=0.0, shape=(200, 200)):
    """Output electrons: a register of 604 stages, charge born within it, read noise."""
    spread = max(excess_noise_factor(gain, STAGES) - 1, 1e-9)
    result = []
    for _ in range(number):
        electrons = rng.poisson(rate, shape)
        out, filled = np.zeros(shape), electrons > 0
        out[filled] = gain * spread * rng.standard_gamma(electrons[filled] / spread)
        born = rng.random(shape) < serial
        out[born] += rng.exponential(gain ** rng.random(np.count_nonzero(born)))
        result.append((out + rng.normal(0, NOISE, shape)).astype(np.float32))
    return np.array(result)


def by_moments(seed, gain, shape):
    """The gain from two levels of flats with uneven response."""
    rng = np.random.default_rng([seed, 1])
    response = rng.normal(1, 0.02, shape)
    faint, bright = (
        level_moments(frames(rng, 6, gain, level * response, 0.002, shape)) for level in (5, 60)
    )
    return em_gain_from_moments(faint, bright, STAGES)


@pytest.mark.parametrize("gain", [10.0, 50.0, 200.0, 1000.0])
def test_two_levels_of_light_tell_the_gain_to_one_percent(gain):
    found, error = by_moments(0, gain, (300, 300))
    assert found == pytest.approx(gain, rel=0.01)
    assert error < 0.005 * gain


@pytest.mark.parametrize("gain", [10.0, 200.0])
def test_the_error_of_moments_is_that_of_their_scatter(gain):
    pulls = []
    for seed in range(80):
        found, error = by_moments(seed, gain, (50, 50))
        pulls.append((found - gain) / error)
    assert abs(np.mean(pulls)) < 0.4
    assert 0.8 < np.std(pulls) < 1.25


@pytest.mark.parametrize(("gain", "rate"), [(1000.0, 0.02), (1000.0, 0.3), (300.0, 0.1)])
def test_the_fit_of_the_histogram_is_right_to_half_a_percent(gain, rate):
    rng = np.random.default_rng([int(gain), 2])
    planes = frames(rng, 40, gain, rate, serial=0.002, shape=(400, 400))
    fit = fit_em_gain(planes, NOISE, STAGES)
    assert fit.em_gain == pytest.approx(gain, rel=0.005)
    assert abs(fit.em_gain - gain) < 3 * fit.em_gain_error
    assert abs(fit.rate_electron - rate) < 3 * fit.rate_error
    assert abs(fit.serial_rate - 0.002) < 3 * fit.serial_error
    assert fit.chi_square < fit.degrees_of_freedom + 4 * np.sqrt(2 * fit.degrees_of_freedom)


def test_the_errors_of_the_fit_are_those_of_its_scatter():
    pulls = []
    for seed in range(12):
        planes = frames(np.random.default_rng([seed, 3]), 4, 600.0, 0.1, serial=0.002)
        fit = fit_em_gain(planes, NOISE, STAGES)
        pulls.append((fit.em_gain - 600.0) / fit.em_gain_error)
    assert abs(np.mean(pulls)) < 1.0
    assert 0.6 < np.std(pulls) < 1.5


def test_hits_left_over_do_no_harm_and_noise_is_no_gain():
    rng = np.random.default_rng(6)
    planes = frames(rng, 40, 800.0, 0.1, serial=0.002)
    planes[:, ::20, ::20] = 3e5
    fit = fit_em_gain(planes, NOISE, STAGES)
    assert fit.em_gain == pytest.approx(800.0, rel=0.01)
    with pytest.raises(UnprocessableData, match=r"does not converge|more noise than was said"):
        fit_em_gain(frames(rng, 10, 800.0, 0.0), NOISE / 2, STAGES)


def test_uneven_light_is_allowed_for():
    response = np.repeat([0.5, 1.5], 100)[None, :] * np.ones((200, 1))
    planes = frames(np.random.default_rng(4), 30, 800.0, 0.4 * response)
    fit = fit_em_gain(planes, NOISE, STAGES, relative_rate=(0.5, 1.5))
    assert fit.em_gain == pytest.approx(800.0, rel=0.006)
    assert fit.rate_electron == pytest.approx(0.4, rel=0.01)


def test_frames_without_light_or_of_one_level_are_refused():
    rng = np.random.default_rng(5)
    with pytest.raises(UnprocessableData, match=r"pixels are above 200 output electrons"):
        fit_em_gain(frames(rng, 2, 1000.0, 0.0), NOISE, STAGES)
    level = level_moments(frames(rng, 2, 100.0, 5.0))
    with pytest.raises(UnprocessableData, match=r"expected the second to be brighter"):
        em_gain_from_moments(level, level, STAGES)
    with pytest.raises(UnprocessableData, match=r"1 frame\(s\); a variance needs two"):
        level_moments(np.ones((1, 4, 4), np.float32))
    with pytest.raises(UnprocessableData, match=r"less than two pixels"):
        level_moments(np.full((3, 4, 4), np.nan, np.float32))
