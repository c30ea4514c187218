"""`lit_level`: mean counts of an evenly lit frame, without cosmic rays."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import binary_dilation

from csst_cpic.camera.agreement import em_gain_of, gain_electron_per_adu, read_noise_electron
from csst_cpic.detector import Detector
from csst_cpic.register.em_statistics import exceeded_signal, excess_noise_factor
from csstcore.api import Image

SATURATED = 1e-3
"""Fraction of saturated pixels from which the mean of a frame is no measure of its light."""
RARE = 1e-8
"""Probability that light makes a pixel exceed the limit beyond which it is a cosmic ray."""
FAINTEST_ELECTRON = 0.05
"""Rate for which the limit is set at least: frames without light have clock-induced charge."""
READ_SIGMA = 5.0
UNEVEN = 1.5
"""Light of the brightest parts of a frame over its mean, at most."""


def lit_level(image: Image, detector: Detector) -> tuple[float, float] | None:
    """Return mean counts and their noise, or None for a saturated frame.

    Cosmic rays are pixels above what the statistics of electron multiplication make probable,
    with the pixels around them and those read after them; a limit in sigma would cut the long
    tail of the multiplied light itself. The noise is that of light, multiplication and reading;
    the error of the bias level is `bias_level_error`.

    Parameters
    ----------
    image
        Bias-subtracted frame in adu, of the detector's active area.
    detector
        Gain and read noise, where the frame has none.
    """
    if image.flags is not None:
        saturated = image.flagged("saturated")
        if np.count_nonzero(saturated) > SATURATED * saturated.size:
            return None
    good = np.isfinite(image.data) & ~image.flagged()
    if not good.any():
        return None
    em_gain, k = em_gain_of(image), gain_electron_per_adu(image, detector)
    read_noise = read_noise_electron(image, detector) / em_gain
    electron = k / em_gain
    rate = max(float(np.median(image.data[good])) * electron, FAINTEST_ELECTRON)
    spread = excess_noise_factor(em_gain, detector.register_stages)
    limit = float(exceeded_signal(RARE, UNEVEN * rate)) + READ_SIGMA * read_noise
    hit = image.data * np.float32(electron) > limit
    if hit.any():
        around = binary_dilation(hit, np.ones((3, 3), bool))
        tail = round(detector.register_tail_pixel)
        after = binary_dilation(hit, np.arange(-tail, tail + 1)[None, :] >= 0)
        good &= ~(around | after)
    count = np.count_nonzero(good)
    if not count:
        return None
    level = float(image.data[good].mean(dtype=np.float64))
    variance = spread * max(level * electron, 0.0) + read_noise**2
    return level, float(np.sqrt(variance / count)) / electron


def bias_level_error(image: Image, detector: Detector) -> float:
    """Return the error of the bias level in adu, which frames have in common or nearly so."""
    pixels = max(detector.prescan_columns * detector.active_rows, 1)
    noise = read_noise_electron(image, detector) / gain_electron_per_adu(image, detector)
    return noise / float(np.sqrt(pixels))
