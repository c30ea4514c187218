"""Sersic profiles as sums of Gaussians (Hogg & Lang 2013, PASP 125, 719)."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls
from scipy.special import gammaincinv


@lru_cache
def gaussian_mixture(index: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return fractions and widths of Gaussians that sum to a Sersic profile.

    The profile ``exp(-b (r/R)^(1/n))`` is cut smoothly at 8 R, as in that paper, and fitted by
    non-negative least squares of light per unit of log radius.

    Parameters
    ----------
    index
        Sersic index n; 1 for discs, 4 for bulges.

    Returns
    -------
    fraction
        Shape (components,), sum 1.
    sigma
        Shape (components,), in units of the half-light radius R.
    """
    radius = np.geomspace(0.01, 10.0, 300)
    b = gammaincinv(2.0 * index, 0.5)
    profile = np.exp(-b * radius ** (1.0 / index))
    outer = radius > 5.0
    profile[outer] *= np.clip(1.0 - ((radius[outer] - 5.0) / 3.0) ** 2, 0.0, 1.0)
    sigma = np.geomspace(0.02 if index > 2 else 0.1, 3.0, 10 if index > 2 else 7)
    gaussians = np.exp(-0.5 * (radius[:, None] / sigma) ** 2) / (2.0 * np.pi * sigma**2)
    weight = radius**2
    fraction, _ = nnls(gaussians * weight[:, None], profile * weight)
    used = fraction > 1e-4 * fraction.sum()
    return fraction[used] / fraction[used].sum(), sigma[used]
