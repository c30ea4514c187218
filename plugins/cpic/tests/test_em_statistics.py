"""The statistics of the register, against direct sums and random numbers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import gammaincc, gammaln, ndtr
from scipy.stats import gamma

from csst_cpic.register.em_statistics import (
    density,
    detection_probability,
    exceeded_signal,
    excess_noise_factor,
)
from csst_cpic.register.register_output import RegisterOutput

RATES = (1e-6, 0.005, 0.1, 1.0, 10.0, 300.0)
SIGNALS = (1e-3, 0.1, 1.0, 5.0, 20.0, 400.0)


def poisson(rate, number):
    return np.exp(-rate + number * np.log(rate) - gammaln(number + 1))


def summed_tail(signal, rate):
    """The definition: Poisson probabilities times tails of the Gamma distribution."""
    number = np.arange(1, 2000)
    return float(np.sum(poisson(rate, number) * gammaincc(number, signal)))


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("signal", SIGNALS)
def test_the_tail_is_the_direct_sum(rate, signal):
    expected = summed_tail(signal, rate)
    assert detection_probability(rate, signal) == pytest.approx(expected, rel=1e-12, abs=1e-99)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("signal", SIGNALS)
def test_the_density_is_the_direct_sum(rate, signal):
    number = np.arange(1, 2000)
    expected = float(np.sum(poisson(rate, number) * gamma.pdf(signal, number)))
    assert density(signal, rate) == pytest.approx(expected, rel=2e-12, abs=1e-300)


def test_an_empty_pixel_is_never_detected_and_no_threshold_finds_every_electron():
    assert detection_probability(0.0, 0.1) == 0
    assert detection_probability(0.3, 0.0) == pytest.approx(-np.expm1(-0.3), rel=1e-14)


def test_the_inverse_tail_inverts():
    rate = np.geomspace(0.01, 1e4, 200)
    for probability in (1e-3, 1e-6):
        signal = exceeded_signal(probability, rate)
        assert detection_probability(rate, signal) == pytest.approx(probability, rel=1e-10)
    assert exceeded_signal(1e-3, np.array([0.0, 1e-4])).tolist() == [0, 0]


def test_excess_noise_of_604_stages():
    assert excess_noise_factor(1.0) == 1
    gains = [excess_noise_factor(gain) for gain in (50, 200, 1000)]
    assert gains == pytest.approx([1.967, 1.978, 1.976], abs=5e-4)
    with pytest.raises(ValueError, match=r"EM gain 0.5, 604 stages"):
        excess_noise_factor(0.5)


@pytest.mark.parametrize("rate", [0.0, 0.02, 1.0, 30.0, 1000.0])
def test_read_noise_is_convolved(rate):
    output = RegisterOutput(1000.0, 40.0)
    nodes, weights = np.polynomial.legendre.leggauss(120)
    for signal in (0.0, 0.2, 1.0, rate + 7 * np.sqrt(2 * rate)):
        width = min(signal + 9 * 0.04, 18 * 0.04)
        noise = min(signal, 9 * 0.04) - width * (1 - nodes) / 2
        gauss = np.exp(-((noise / 0.04) ** 2) / 2) / (0.04 * np.sqrt(2 * np.pi))
        part = np.sum(weights * gauss * detection_probability(rate, np.maximum(signal - noise, 0)))
        expected = width / 2 * part + ndtr(-signal / 0.04)
        assert output.tail(signal, rate) == pytest.approx(expected, abs=2e-12)


def test_without_multiplication_the_signal_is_poisson_with_gaussian_noise():
    output = RegisterOutput(1.0, 3.0, spread=0.0)
    number = np.arange(200)
    for signal in (0.0, 20.0, 60.0):
        expected = np.sum(poisson(20.0, number) * ndtr((number - signal) / 3.0))
        assert output.tail(signal, 20.0) == pytest.approx(expected, abs=1e-12)


def test_serial_charge_and_a_real_register_have_their_moments_and_tails():
    rng = np.random.default_rng(1)
    output = RegisterOutput(200.0, 40.0, serial_rate=0.3, spread=0.9)
    size = 1_000_000
    signal = rng.gamma(np.maximum(rng.poisson(0.5, size), 1e-9) / 0.9, 0.9)
    events = rng.poisson(0.3, size)
    for k in range(1, events.max() + 1):
        signal += (events >= k) * rng.exponential(200.0 ** -rng.random(size))
    signal += rng.normal(0, 0.2, size)
    assert output.mean(0.5) == pytest.approx(signal.mean(), abs=4 * signal.std() / 1000)
    assert output.variance(0.5) == pytest.approx(signal.var(), rel=0.02)
    for threshold in (0.3, 1.0, 3.0):
        found = np.mean(signal > threshold)
        expected = float(output.tail(threshold, 0.5))
        assert found == pytest.approx(expected, abs=4 * np.sqrt(expected / size))


@pytest.mark.parametrize(("gain", "spread"), [(1.0, 0.0), (10.0, 0.89), (1000.0, 1.0)])
def test_the_inverse_tail_with_read_noise_inverts(gain, spread):
    output = RegisterOutput(gain, 40.0, spread=spread)
    rates = np.array([0.0, 0.1, 10.0, 3000.0])
    signal = output.exceeded_signal(1e-6, rates)
    assert output.tail(signal, rates) == pytest.approx(1e-6, rel=1e-4)


def test_the_slope_with_read_noise_is_that_of_the_tail():
    output = RegisterOutput(1000.0, 40.0, serial_rate=0.02)
    ends = output.tail(0.2, np.array([0.499, 0.501]))
    assert output.tail_slope(0.2, 0.5) == pytest.approx((ends[1] - ends[0]) / 0.002, rel=1e-5)
