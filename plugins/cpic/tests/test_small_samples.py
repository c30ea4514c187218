"""Statistics of few resolution elements against counting, and their limits."""

from __future__ import annotations

import numpy as np
import pytest

from csst_cpic.planets.small_samples import (
    aperture_number,
    equivalent_sigma,
    false_positive_fraction,
    threshold,
)


def test_a_ring_holds_its_circumference_in_widths() -> None:
    assert aperture_number([4.0, 8.0, 40.0], 4.0).tolist() == [6, 12, 62]


@pytest.mark.parametrize("apertures", [6, 12, 60])
def test_false_positives_are_as_frequent_as_said(apertures: int) -> None:
    rng = np.random.default_rng(1)
    rings = rng.standard_normal((200_000, apertures))
    others = rings[:, 1:]
    error = others.std(axis=1, ddof=1) * np.sqrt(1 + 1 / (apertures - 1))
    ratio = (rings[:, 0] - others.mean(axis=1)) / error
    found = np.count_nonzero(ratio > threshold(3.0, apertures))
    expected = 1.3499e-3 * len(rings)
    assert abs(found - expected) < 4 * np.sqrt(expected)


def test_the_threshold_of_few_apertures_is_far_above_the_gaussian_one() -> None:
    assert threshold(5.0, 12) == pytest.approx(11.17, abs=0.01)
    assert threshold(5.0, 100_000) == pytest.approx(5.0, abs=0.01)


def test_equivalent_sigma_inverts_the_threshold() -> None:
    assert equivalent_sigma(threshold([1.0, 5.0, 9.0], 15), 15) == pytest.approx([1.0, 5.0, 9.0])


def test_two_apertures_say_nothing() -> None:
    assert np.isnan(false_positive_fraction(3.0, 2))
    assert np.isnan(threshold(3.0, 2))
