"""Statistics of electron multiplication: exact distribution, detection and their inverses.

A pixel collects a Poisson number of electrons with mean `rate`; each becomes an exponentially
distributed number of output electrons with mean EM gain (Basden, Haniff & Mackay 2003, MNRAS
345, 985). Signals here are input-referred: output electrons over the EM gain, as frames are
after `to_electrons`. So the gain drops out, and with N, M Poisson variables of mean rate and
signal

    P(X > signal) = P(N > M) = chi2(2 rate; 2 degrees, non-centrality 2 signal),

which has its derivatives in Bessel functions. Read noise is `register_output`'s.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import chndtr, chndtrinc, i1e

Numbers: TypeAlias = float | NDArray[Any]
"""A number or an array; arrays broadcast against each other."""

Array: TypeAlias = NDArray[np.float64]


def excess_noise_factor(em_gain: float, stages: int = 604) -> float:
    """Return the excess noise factor F^2: variance at the output over gain^2 times Poisson's.

    Parameters
    ----------
    em_gain
        Mean gain of the whole register, at least 1.
    stages
        Number of its multiplying stages.

    Notes
    -----
    Robbins & Hadwen 2003, IEEE Trans. Electron Devices 50, 1227: F^2 = 2 (G - 1) G^(-(N+1)/N)
    + 1/G, which is 1 without gain and near 2 at high gain.
    """
    if em_gain < 1 or stages < 1:
        raise ValueError(f"EM gain {em_gain}, {stages} stages; both are at least 1")
    return float(2 * (em_gain - 1) * em_gain ** (-(stages + 1) / stages) + 1 / em_gain)


def density(signal_electron: Numbers, rate_electron: Numbers) -> Array:
    """Return the probability density of a signal, without the lump of empty pixels at 0.

    Parameters
    ----------
    signal_electron
        Output electrons over EM gain, above 0.
    rate_electron
        Mean number of electrons of the pixel.

    Returns
    -------
    ndarray
        Per electron; its integral is 1 - exp(-rate).
    """
    signal, rate = np.asarray(signal_electron, float), np.asarray(rate_electron, float)
    root = np.sqrt(signal) - np.sqrt(rate)
    ratio = np.sqrt(rate / signal)
    return np.asarray(np.exp(-root * root) * ratio * i1e(2 * np.sqrt(rate * signal)))


def detection_probability(rate_electron: Numbers, threshold_electron: Numbers) -> Array:
    """Return P(signal > threshold): the tail of the compound Poisson-Gamma distribution.

    Parameters
    ----------
    rate_electron
        Mean number of electrons of the pixel, 0 or more.
    threshold_electron
        Output electrons over EM gain, 0 or more.

    Returns
    -------
    ndarray
        Relative accuracy 1e-12 up to rates of 1000; 0 where it is less than about 1e-100.
    """
    return np.asarray(
        chndtr(2 * np.asarray(rate_electron), 2.0, 2 * np.asarray(threshold_electron))
    )


def exceeded_signal(probability: Numbers, rate_electron: Numbers) -> Array:
    """Return the signal that a pixel exceeds with a probability: the inverse tail.

    Parameters
    ----------
    probability
        Between 0 and 1.
    rate_electron
        Mean number of electrons of the pixel.

    Returns
    -------
    ndarray
        Output electrons over EM gain; 0 where even a single electron is less probable.
    """
    probability, rate = np.broadcast_arrays(
        np.asarray(probability, float), np.asarray(rate_electron, float)
    )
    filled = -np.expm1(-rate) > probability
    signal = np.zeros(rate.shape)
    signal[filled] = chndtrinc(2 * rate[filled], 2.0, probability[filled]) / 2
    return signal
