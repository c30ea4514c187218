"""Clock-induced charge and dark current of every pixel, from exposures of different length."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from csst_cpic.register.em_statistics import Array
from csst_cpic.register.register_output import RegisterOutput
from csstcore.api import UnprocessableData

HOT_FRACTION = 0.02
"""Of the pixels, left out of the usual rate."""

HOT_SIGMA = 5.0
"""Above the usual rate, from which a pixel's own rate makes its weights."""


class DarkFit(NamedTuple):
    """Rates of every pixel with variances; NaN and infinite where they are not known."""

    cic: NDArray[np.float32]
    """Electron per frame."""
    dark: NDArray[np.float32]
    """Electron per second."""
    cic_variance: NDArray[np.float32]
    dark_variance: NDArray[np.float32]
    covariance: NDArray[np.float32]


def analog_variance(output: RegisterOutput) -> Callable[[Array], Array]:
    """Return the variance of a pixel in one frame as a function of its rate, electron^2."""
    factor, noise = 1 + output.spread, output.noise_electron**2
    return lambda rate: factor * np.maximum(rate, 0.0) + noise


def fit_dark_and_cic(
    exposure_time_s: NDArray[np.float64],
    rate: NDArray[np.float32],
    frames: NDArray[np.int32],
    frame_variance: Callable[[Array], Array],
) -> DarkFit:
    """Fit ``rate = CIC + dark * time`` to every pixel, weighted by its noise.

    Parameters
    ----------
    exposure_time_s
        Shape (times,), two or more different ones.
    rate
        Mean electron per frame at each time, analog or counted, shape (times, rows, columns).
    frames
        Number of frames in each mean, same shape; 0 where there is none.
    frame_variance
        Variance of one frame for a rate: `analog_variance`, or `DetectionCurve.frame_variance`
        where photons were counted.

    Returns
    -------
    DarkFit
        Where fewer than two different times have values: NaN with infinite variance.

    Raises
    ------
    UnprocessableData
        If there are less than two different times.

    Notes
    -----
    A weight made of a pixel's own noisy mean would favour the means that came out low. So the
    weights are those of the usual rate at each time, but for pixels that are clearly hotter.
    """
    time = np.asarray(exposure_time_s, np.float64)
    if np.unique(time).size < 2:
        raise UnprocessableData(
            f"exposure times are {np.unique(time).tolist()} s; dark and CIC need two or more"
        )
    expected = _expected(time, rate, frames, frame_variance)
    return _fit(time, rate, frames, frame_variance(expected))


def _expected(
    time: Array,
    rate: NDArray[np.float32],
    frames: NDArray[np.int32],
    frame_variance: Callable[[Array], Array],
) -> Array:
    """Return rates that weights are made of: the usual ones, or with a hot pixel's own dark."""
    usual = _usual(rate, frames > 0, int(np.argmax(time)))
    slope, cic = np.polyfit(time, usual, 1)
    dark = np.full(rate.shape[1:], slope)
    for k in np.argsort(time)[time[np.argsort(time)] > 0]:  # the longest that a pixel has decides
        known = frames[k] > 0
        sigma = np.sqrt(frame_variance(usual[k]) / np.maximum(frames[k], 1))
        hot = rate[k] > usual[k] + HOT_SIGMA * sigma
        dark = np.where(known, np.where(hot, (rate[k] - cic) / time[k], slope), dark)
    return np.asarray(cic + dark * time[:, None, None])


def _usual(rate: NDArray[np.float32], known: NDArray[np.bool_], last: int) -> Array:
    """Return the mean rate at each time, without the pixels highest at the last."""
    values = rate[last][known[last]]
    limit = np.quantile(values, 1 - HOT_FRACTION) if values.size else np.inf
    kept = known & ~(rate[last] > limit)
    total = np.sum(rate, axis=(1, 2), where=kept, dtype=np.float64)
    return np.asarray(total / np.maximum(np.sum(kept, axis=(1, 2)), 1))


def _fit(
    time: Array, rate: NDArray[np.float32], frames: NDArray[np.int32], variance: Array
) -> DarkFit:
    """Return the straight line of every pixel, weighted by the variance of single frames."""
    column = time[:, None, None]
    weight = np.divide(frames, variance, out=np.zeros(frames.shape), where=frames > 0)
    value = np.where(weight > 0, rate, 0.0)
    total = weight.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        centre = (weight * column).sum(axis=0) / total
        lever = (weight * (column - centre) ** 2).sum(axis=0)
        mean = (weight * value).sum(axis=0) / total
        slope = (weight * (column - centre) * value).sum(axis=0) / lever
        known = lever > 1e-9 * total * np.ptp(time) ** 2
        variances = (1 / total + centre**2 / lever, 1 / lever, -centre / lever)
        planes = (mean - slope * centre, slope, *variances)
    unknown = (np.nan, np.nan, np.inf, np.inf, 0.0)
    return DarkFit(
        *(np.where(known, p, n).astype(np.float32) for p, n in zip(planes, unknown, strict=True))
    )
