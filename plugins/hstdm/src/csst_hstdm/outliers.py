"""Channels that stand out of their neighbours."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from csst_hstdm.scatter import scatter_about_zero

WINDOW = 31
"""Channels of the running median."""


def local_outliers(values: NDArray[np.float64], threshold: float) -> NDArray[np.bool_]:
    """Return the channels above the running median of their neighbours.

    Parameters
    ----------
    values
        One value per channel; those that are not finite are no outliers.
    threshold
        In units of the robust scatter about the running median.
    """
    finite = np.isfinite(values)
    outliers = np.zeros(len(values), bool)
    if np.count_nonzero(finite) < WINDOW:
        return outliers
    known = values[finite]
    deviation = known - median_filter(known, WINDOW, mode="nearest")
    scatter = scatter_about_zero(deviation)
    outliers[finite] = deviation > threshold * scatter if scatter > 0 else False
    return outliers
