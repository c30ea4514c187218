"""How often a pixel was detected tells its rate."""

from __future__ import annotations

import time

import numpy as np
import pytest
from scipy.stats import binom

from csst_cpic.register.detection_curve import DetectionCurve
from csst_cpic.register.em_statistics import detection_probability
from csst_cpic.register.register_output import RegisterOutput

OUTPUT = RegisterOutput(1000.0, 40.0)
RATES = np.array([0.0, 0.005, 0.02, 0.1, 0.5, 1.0, 3.0])


@pytest.fixture(scope="module")
def curve():
    return DetectionCurve.of(OUTPUT, 0.2)


def test_the_curve_inverts_the_exact_probability_without_noise():
    quiet = DetectionCurve.of(RegisterOutput(1000.0, 10.0), 0.2)
    fraction = detection_probability(RATES, 0.2)
    step = 1e-4 * RATES[1:]
    ends = [detection_probability(RATES[1:] + sign * step, 0.2) for sign in (-1, 1)]
    expected = 2 * step / (ends[1] - ends[0])
    assert quiet.rate(fraction) == pytest.approx(RATES, rel=1e-4, abs=1e-10)
    assert quiet.slope(fraction[1:]) == pytest.approx(expected, rel=1e-4)


def test_the_curve_inverts_the_probability_with_read_noise_and_serial_charge():
    output = RegisterOutput(1000.0, 40.0, serial_rate=0.01)
    found = DetectionCurve.of(output, 0.2)
    assert found.rate(output.tail(0.2, RATES)) == pytest.approx(RATES, abs=1e-10)
    assert found.false_positive == pytest.approx(float(output.tail(0.2, 0.0)))
    assert 0.001 < found.false_positive < 0.004


@pytest.mark.parametrize("frames", [20, 100])
@pytest.mark.parametrize("rate", [0.005, 0.1, 0.5, 1.0])
def test_the_estimate_is_free_of_the_bias_of_few_frames(curve, rate, frames):
    """The mean over all outcomes, by their binomial probabilities; a plain inverse fails."""
    detected = np.arange(frames + 1)
    chance = binom.pmf(detected, frames, float(OUTPUT.tail(0.2, rate)))
    estimate, variance = curve.estimate(detected, np.full(frames + 1, frames))
    assert np.sum(chance * estimate) == pytest.approx(rate, rel=2e-4)
    scatter = np.sum(chance * (estimate - rate) ** 2)
    assert np.sum(chance * variance) == pytest.approx(scatter + 1.5 / frames**2, rel=0.15)


def test_all_detected_is_finite_and_none_detected_has_an_error(curve):
    rate, variance = curve.estimate(np.array([10, 0]), np.array([10, 10]))
    assert rate[0] == pytest.approx(1.2 * 2.93, rel=0.05)
    assert rate[1] < 0 < variance[1]
    assert rate[1] == pytest.approx(0, abs=1e-3)


def test_a_million_pixels_take_a_fraction_of_a_second(curve):
    detected = np.random.default_rng(0).integers(0, 50, (1000, 1000))
    start = time.process_time()
    curve.estimate(detected, np.full(detected.shape, 100))
    assert time.process_time() - start < 0.5


@pytest.mark.oracle
@pytest.mark.filterwarnings("ignore")
def test_a_series_in_powers_of_the_rate_agrees_where_it_holds_and_fails_at_one_electron():
    """corgidrp inverts the third order in the rate; with the gamma law both are right below 0.1."""
    counting = pytest.importorskip("corgidrp.photon_counting")
    rates = np.array([0.005, 0.02, 0.1, 0.5, 1.0])
    frames = 1e6
    detected = detection_probability(rates, 0.1) * frames
    theirs = counting.corr_photon_count(detected, frames, 100.0, 1000.0, np.arange(5), niter=10)
    ours = DetectionCurve.of(RegisterOutput(1000.0, 2.0), 0.1).rate(detected / frames)
    assert ours == pytest.approx(rates, rel=1e-4)
    assert theirs[:3] == pytest.approx(rates[:3], rel=2e-4)
    assert theirs[4] / rates[4] - 1 > 0.02
