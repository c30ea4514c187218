"""Scatter of values whose mean is zero, hardly changed by outliers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from csstcore.api import compiled

MAD_TO_SIGMA = 1.482602218505602
"""Standard deviation of a normal distribution over its median absolute deviation."""


@compiled
def scatter_about_zero(values: NDArray[np.floating[Any]]) -> float:
    """Return the standard deviation about zero by the median absolute value.

    Compiled, so that compiled loops can call it; `scipy.stats.median_abs_deviation` cannot be.

    Parameters
    ----------
    values
        Finite, one or more, shape (n,).
    """
    return float(MAD_TO_SIGMA * np.median(np.abs(values)))
