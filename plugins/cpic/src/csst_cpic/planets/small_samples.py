"""Detections where a ring holds few resolution elements (Mawet et al. 2014, ApJ 792, 97).

A ring of radius r holds N = floor(2 pi r / FWHM) apertures of one FWHM. One is tested against
the other N - 1, whose mean and scatter are themselves uncertain: in Gaussian noise the ratio

    (x_1 - mean_2) / (s_2 sqrt(1 + 1 / (N - 1)))

follows Student's t distribution with N - 2 degrees of freedom, not a Gaussian.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm, t

Float = NDArray[np.float64]

LEAST_APERTURES = 3
"""Fewer leave no degree of freedom."""


def aperture_number(radius_pixel: ArrayLike, fwhm_pixel: float) -> NDArray[np.int64]:
    """Return how many apertures of one FWHM lie side by side on a ring."""
    number = 2.0 * np.pi * np.asarray(radius_pixel, np.float64) / fwhm_pixel
    return np.asarray(np.floor(number), np.int64)


def false_positive_fraction(statistic: ArrayLike, apertures: ArrayLike) -> Float:
    """Return how often noise alone gives at least this ratio.

    Parameters
    ----------
    statistic
        The ratio above.
    apertures
        N, the tested one included; NaN is returned where it is below three.
    """
    freedom = np.asarray(apertures, np.float64) - 2.0
    return np.asarray(t.sf(statistic, np.where(freedom > 0, freedom, np.nan)), np.float64)


def threshold(significance_sigma: float, apertures: ArrayLike) -> Float:
    """Return the ratio that noise exceeds as rarely as a Gaussian its `significance_sigma`.

    Far above it where there are few apertures: the ratio for 5 is 11.2 with 12 of them.
    """
    freedom = np.asarray(apertures, np.float64) - 2.0
    freedom = np.where(freedom > 0, freedom, np.nan)
    return np.asarray(t.isf(norm.sf(significance_sigma), freedom), np.float64)


def equivalent_sigma(statistic: ArrayLike, apertures: ArrayLike) -> Float:
    """Return the significance in Gaussian standard deviations of a ratio."""
    freedom = np.asarray(apertures, np.float64) - 2.0
    log_fraction = t.logsf(statistic, np.where(freedom > 0, freedom, np.nan))
    return np.asarray(-norm.ppf(np.exp(log_fraction)), np.float64)
