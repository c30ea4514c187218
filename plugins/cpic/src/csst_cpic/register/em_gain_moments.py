"""EM gain from mean and variance of flats at two levels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from csst_cpic.register.em_statistics import excess_noise_factor
from csstcore.api import UnprocessableData

HIGHEST_GAIN = 1e5


class Moments(NamedTuple):
    """Mean and variance of the pixels in frames of one level, output electrons."""

    mean: float
    variance: float
    covariance: NDArray[np.float64]
    """Of the two, from the scatter over pixels; shape (2, 2)."""


class MeasuredGain(NamedTuple):
    """An EM gain and its error."""

    em_gain: float
    error: float


def level_moments(frames: NDArray[np.float32]) -> Moments:
    """Return mean and variance from frame to frame, averaged over the pixels.

    Parameters
    ----------
    frames
        Two or more of the same light and EM gain, shape (frames, rows, columns), output electrons
        (adu times amplifier gain) without bias; NaN takes no part.

    Returns
    -------
    Moments
        The variance is that of successive differences, over 2: the response of the pixels drops
        out, and so does slow drift.

    Raises
    ------
    UnprocessableData
        If less than two frames or less than two pixels have values.
    """
    if len(frames) < 2:
        raise UnprocessableData(f"{len(frames)} frame(s); a variance needs two or more")
    number = np.sum(np.isfinite(frames), axis=0)
    total = np.asarray(np.sum(frames, axis=0, dtype=np.float64, where=np.isfinite(frames)))
    steps = np.diff(frames, axis=0).astype(np.float64)
    here = np.isfinite(steps)
    for step, usable in zip(steps, here, strict=True):
        step -= np.sum(step, where=usable) / max(np.count_nonzero(usable), 1)
    pairs = np.sum(here, axis=0)
    known = pairs > 0
    if np.count_nonzero(known) < 2:
        raise UnprocessableData("less than two pixels have values in two successive frames")
    mean = total[known] / number[known]
    squares = np.asarray(np.sum(steps**2, axis=0, where=here))
    variance = squares[known] / (2 * pairs[known])
    deviations = np.stack([mean - mean.mean(), variance - variance.mean()])
    covariance = deviations @ deviations.T / (mean.size * (mean.size - 1))
    return Moments(float(mean.mean()), float(variance.mean()), covariance)


def em_gain_from_moments(faint: Moments, bright: Moments, stages: int) -> MeasuredGain:
    """Return the EM gain from two levels of light.

    Parameters
    ----------
    faint, bright
        Of `level_moments`; `faint` may be a dark. Read noise and charge made by clocking are in
        both and drop out.
    stages
        Of the register, which say the excess noise.

    Returns
    -------
    MeasuredGain
        Gain and error. The response of the pixels moves mean and variance together, along the
        slope, and so does not count.

    Raises
    ------
    UnprocessableData
        If the brighter level is not brighter, or its noise is less than the light's own.

    Notes
    -----
    Variance over mean is F^2(G) G: solved for G, as F^2 changes with it (Robbins & Hadwen 2003).
    """
    step = bright.mean - faint.mean
    if not step > 0:
        raise UnprocessableData(
            f"the levels have means {faint.mean:g} and {bright.mean:g} electron; "
            "expected the second to be brighter"
        )
    slope = (bright.variance - faint.variance) / step

    def excess(gain: float) -> float:
        return excess_noise_factor(gain, stages) * gain - slope

    if not excess(1.0) <= 0 < excess(HIGHEST_GAIN):
        raise UnprocessableData(
            f"variance over mean is {slope:g} electron; expected 1 to {2 * HIGHEST_GAIN:g}"
        )
    gain = float(brentq(excess, 1.0, HIGHEST_GAIN))
    rise = (excess(gain * 1.001) - excess(gain)) / (0.001 * gain)
    along = np.array([-slope, 1.0])
    error = np.sqrt(along @ (faint.covariance + bright.covariance) @ along) / step
    return MeasuredGain(gain, float(error / rise))
