"""Quality checks of images and calibration references."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from csstcore.api import Image

STEP = 7
"""Every seventh pixel in both directions is enough for a level or a scatter."""


def _sample(image: Image) -> NDArray[np.float64]:
    """Return a sample of the unflagged pixels (empty if there is none)."""
    sample: NDArray[np.float64] = np.asarray(image.data[::STEP, ::STEP], np.float64)
    good = np.isfinite(sample)
    if image.flags is not None:
        good &= image.flags[::STEP, ::STEP] == 0
    return np.asarray(sample[good])


def level(image: Image) -> float:
    """Median of the unflagged pixels."""
    sample = _sample(image)
    return float(np.median(sample)) if sample.size else float("nan")


def scatter(image: Image) -> float:
    """Scatter of the unflagged pixels from their median absolute deviation."""
    sample = _sample(image)
    if not sample.size:
        return float("nan")
    return 1.4826 * float(np.median(np.abs(sample - np.median(sample))))


def flagged_fraction(image: Image) -> float:
    """Fraction of the pixels with any flag."""
    if image.flags is None:
        return 0.0
    return np.count_nonzero(image.flags) / image.flags.size


def cosmic_ray_fraction(image: Image) -> float:
    """Fraction of the pixels flagged as cosmic rays."""
    return _fraction(image, "cosmic_ray")


def saturated_fraction(image: Image) -> float:
    """Fraction of the pixels flagged as saturated."""
    return _fraction(image, "saturated")


def bad_fraction(image: Image) -> float:
    """Fraction of the pixels flagged as bad."""
    return _fraction(image, "bad")


def error_ratio(image: Image) -> float:
    """Scatter of the unflagged pixels over their median error; 1 if noise is all there is."""
    if image.variance is None:
        return float("nan")
    error = float(np.sqrt(np.median(image.variance[::STEP, ::STEP])))
    return scatter(image) / error if error > 0 else float("nan")


def _fraction(image: Image, name: str) -> float:
    if image.flags is None:
        return 0.0
    bit = image.bit(name)
    count = sum(int(np.count_nonzero(row & bit)) for row in image.flags)
    return count / image.flags.size
