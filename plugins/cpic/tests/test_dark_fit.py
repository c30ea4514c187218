"""Dark current and clock-induced charge of pixels whose rates are known."""

from __future__ import annotations

import numpy as np
import pytest

from csst_cpic.register.dark_fit import analog_variance, fit_dark_and_cic
from csst_cpic.register.detection_curve import DetectionCurve
from csst_cpic.register.register_output import RegisterOutput
from csstcore.api import UnprocessableData

TIMES = np.array([1.0, 20.0, 100.0, 300.0])
NUMBER, SHAPE = 100, (150, 150)
CIC, DARK = 0.006, 1e-3


@pytest.fixture(scope="module")
def darks():
    """Signals of a register at gain 1000: shape (times, frames, rows, columns); true dark."""
    rng = np.random.default_rng(1)
    dark = DARK * np.exp(rng.normal(0, 0.15, SHAPE)) * np.where(rng.random(SHAPE) < 0.01, 50, 1)
    signal = np.zeros((len(TIMES), NUMBER, *SHAPE), np.float32)
    for k, time in enumerate(TIMES):
        electrons = rng.poisson(CIC + dark * time, (NUMBER, *SHAPE))
        filled = electrons > 0
        signal[k][filled] = rng.standard_gamma(electrons[filled])
        signal[k] += rng.normal(0, 0.04, signal[k].shape)
    return signal, dark


def analog(signal):
    """Mean, number of frames and variance of the analog signal."""
    frames = np.full((len(TIMES), *SHAPE), NUMBER)
    return signal.mean(axis=1), frames, analog_variance(RegisterOutput(1000.0, 40.0))


def counted(signal):
    """The same from counted photons, where these are not too many to be counted."""
    curve = DetectionCurve.of(RegisterOutput(1000.0, 40.0), 0.2)
    frames = np.full((len(TIMES), *SHAPE), NUMBER)
    rate, _ = curve.estimate((signal > 0.2).sum(axis=1), frames)
    return rate, np.where(rate < 2, frames, 0), curve.frame_variance


@pytest.mark.parametrize("how", [analog, counted])
def test_cic_and_dark_are_right_with_their_errors(darks, how):
    signal, dark = darks
    fit = fit_dark_and_cic(TIMES, *how(signal))
    cic_error = np.sqrt(fit.cic_variance.mean() / fit.cic.size)
    dark_error = np.sqrt(fit.dark_variance.mean() / fit.dark.size)
    assert fit.cic.mean() == pytest.approx(CIC, rel=0.03)
    assert abs(fit.cic.mean() - CIC) < 3 * cic_error
    assert abs(fit.dark.mean() - dark.mean()) < 2 * dark_error
    hot = dark > 0.02
    for found, true, variance in (
        (fit.cic, CIC, fit.cic_variance), (fit.dark, dark, fit.dark_variance)
    ):  # fmt: skip
        pull = (found - true) / np.sqrt(variance)
        assert np.std(pull) == pytest.approx(1, abs=0.06)
        assert abs(np.mean(pull[hot])) < 4 / np.sqrt(hot.sum())


def test_counting_beats_the_analog_mean(darks):
    signal, _ = darks
    errors = [
        fit_dark_and_cic(TIMES, *how(signal)).cic_variance.mean() for how in (analog, counted)
    ]
    assert errors[1] < 0.8 * errors[0]


def test_pixels_with_one_time_are_not_known(darks):
    rate, frames, variance = analog(darks[0])
    frames[1:, 0, 0] = 0
    frames[:, 0, 1] = 0
    rate[1:, 0, 0] = np.nan
    fit = fit_dark_and_cic(TIMES, rate, frames, variance)
    assert np.isnan(fit.dark[0, :2]).all()
    assert np.isinf(fit.cic_variance[0, :2]).all()
    assert np.isfinite(fit.dark[0, 2:]).all()


def test_one_exposure_time_is_refused():
    ones = np.ones((2, 4, 4), np.float32)
    with pytest.raises(UnprocessableData, match=r"\[10.0\] s; dark and CIC need two"):
        fit_dark_and_cic(np.array([10.0, 10.0]), ones, ones, analog_variance(RegisterOutput(2, 1)))
