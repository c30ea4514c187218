"""The checks of raw frames."""

from __future__ import annotations

import astropy.units as u
import numpy as np
import pytest

from csst_msc.checks import raw_level, saturated_fraction, zero_fraction
from csstcore.api import Image


@pytest.fixture
def frame() -> Image:
    data = np.full((100, 200), 1000, np.uint16)
    data[:10] = 65535
    data[10:30] = 0
    return Image(data=data, unit=u.adu)


def test_fractions_are_exact(frame) -> None:
    assert saturated_fraction(frame) == pytest.approx(0.1)
    assert zero_fraction(frame) == pytest.approx(0.2)


def test_the_level_is_the_median(frame) -> None:
    assert raw_level(frame) == 1000
