"""Fits with an intrinsic scatter and outliers."""

from __future__ import annotations

import numpy as np
import pytest

from csst_imaging.flux.scatter_fit import fit_with_scatter, shrink


@pytest.mark.parametrize("scatter", [0.0, 0.03])
def test_pull_of_a_mean_is_one_with_outliers_and_unequal_errors(scatter):
    rng = np.random.default_rng(1)
    pulls, found = [], []
    for _ in range(100):
        error = rng.uniform(0.005, 0.05, 80)
        values = 25.0 + rng.normal(0.0, np.hypot(error, scatter))
        values[:4] += rng.uniform(0.6, 1.0, 4)
        fit = fit_with_scatter(np.ones((80, 1)), values, error**2)
        pulls.append((fit.coefficients[0] - 25.0) / np.sqrt(fit.covariance[0, 0]))
        found.append(fit.scatter)
        assert not fit.used[:4].any()
    assert abs(np.mean(pulls)) < 0.3
    assert 0.8 < np.std(pulls) < 1.25
    assert np.median(found) == pytest.approx(scatter, abs=0.01)


def test_a_third_of_outliers_moves_a_line_little():
    rng = np.random.default_rng(2)
    x = rng.uniform(-1.0, 1.0, 300)
    y = 1.0 + 2.0 * x + rng.normal(0.0, 0.01, x.size)
    y[:90] += 3.0
    fit = fit_with_scatter(np.stack([np.ones_like(x), x], axis=1), y, np.full(x.size, 1e-4))
    np.testing.assert_allclose(fit.coefficients, [1.0, 2.0], atol=0.005)


def test_equal_values_and_single_values_give_numbers():
    for number in (1, 2, 5):
        fit = fit_with_scatter(np.ones((number, 1)), np.full(number, 25.0), np.full(number, 1e-4))
        assert fit.coefficients[0] == pytest.approx(25.0)
        assert np.isfinite(fit.covariance).all()
        assert fit.scatter == 0.0


def test_shrunk_values_do_not_flatten_a_slope():
    rng = np.random.default_rng(3)
    true = rng.normal(0.05, 0.03, 4000)
    error = np.full(true.size, 0.02)
    measured = true + rng.normal(0.0, error)
    target = 2.0 * true
    plain = np.polyfit(measured, target, 1)[0]
    slope = np.polyfit(shrink(measured, error)[0], target, 1)[0]
    assert plain < 1.5
    assert slope == pytest.approx(2.0, rel=0.05)
