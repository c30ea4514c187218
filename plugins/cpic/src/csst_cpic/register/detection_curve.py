"""`DetectionCurve`: from how often a pixel was detected to its rate, exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicHermiteSpline

from csst_cpic.register.em_statistics import Array
from csst_cpic.register.register_output import RegisterOutput

NODES = 300
"""Rates at which the curve is exact; between them it is good to 1e-11 of a rate."""

LEAST_MISS = 1e-7
"""Probability of a miss where the curve ends: rates near 15 electron per frame."""


@dataclass(frozen=True)
class DetectionCurve:
    """The rate as a function of depth -log(1 - fraction), which is almost a line."""

    threshold_electron: float
    """Output electrons over EM gain above which a pixel counts as detected."""
    false_positive: float
    """Probability of a detection without any electron at the register's input."""
    rate_of_depth: CubicHermiteSpline

    @classmethod
    def of(cls, output: RegisterOutput, threshold_electron: float) -> DetectionCurve:
        """Return the curve of a register at a threshold."""
        largest = 1.0
        while 1 - float(output.tail(threshold_electron, largest)) > LEAST_MISS:
            largest *= 1.5
        rate = largest * np.linspace(0, 1, NODES) ** 1.5
        detected = output.tail(threshold_electron, rate)
        slope = output.tail_slope(threshold_electron, rate)
        missed = 1 - detected
        curve = CubicHermiteSpline(-np.log(missed), rate, missed / slope)
        return cls(threshold_electron, float(detected[0]), curve)

    def rate(self, fraction: Array) -> Array:
        """Return the rate (electron per frame) of pixels detected in a fraction of many frames."""
        depth = -np.log1p(-np.asarray(fraction, float))
        return np.asarray(self.rate_of_depth(np.minimum(depth, self.rate_of_depth.x[-1])))

    def slope(self, fraction: Array) -> Array:
        """Return the derivative of `rate` by the fraction."""
        missed = 1 - np.asarray(fraction, float)
        depth = np.minimum(-np.log(missed), self.rate_of_depth.x[-1])
        return np.asarray(self.rate_of_depth(depth, 1) / missed)

    def frame_variance(self, rate: Array) -> Array:
        """Return the variance of the rate from a single frame, for a true rate; electron^2."""
        nodes = self.rate_of_depth.x
        depth = np.interp(rate, self.rate_of_depth(nodes), nodes)
        return np.asarray(np.expm1(depth) * self.rate_of_depth(depth, 1) ** 2)

    def estimate(
        self, detected: NDArray[Any], frames: NDArray[Any]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the rate and its variance from the frames in which a pixel was detected.

        Parameters
        ----------
        detected
            Number of frames with a detection, of integer type.
        frames
            Number of frames that count, at least 1, same shape and type.

        Returns
        -------
        rate
            Electron per frame. Below the false positives it is negative. Where every frame is
            detected it is a lower limit, near log(frames).
        variance
            Never 0: a pixel never detected could have been.

        Notes
        -----
        Any curved function of a fraction is biased by the fraction's scatter (0.7 % at 1
        electron and 100 frames). Free of it to all orders is the depth estimated by
        H(frames) - H(frames - detected), H(n) = 1 + 1/2 + ... + 1/n; the rate is so near a line
        in depth that half the second derivative times the variance corrects the rest.
        """
        size = int(frames.max(initial=1)) + 1
        pairs, place = np.unique(detected.astype(np.int64) * size + frames, return_inverse=True)
        hits, number = pairs // size, pairs % size
        harmonic = np.concatenate(([0.0], np.cumsum(1 / np.arange(1, size))))
        depth = np.minimum(harmonic[number] - harmonic[number - hits], self.rate_of_depth.x[-1])
        scatter = hits / (np.maximum(number - hits, 1) * number)
        rate = self.rate_of_depth(depth) - self.rate_of_depth(depth, 2) * scatter / 2
        spread = (hits + 1) / ((number - hits + 1) * number)
        variance = self.rate_of_depth(depth, 1) ** 2 * spread
        return rate.astype(np.float32)[place], variance.astype(np.float32)[place]
