"""Medians of what is finite."""

from __future__ import annotations

from typing import Any

import numpy as np


def finite_median(values: Any) -> float:
    """Return the median of the finite values; NaN, without a warning, if there are none."""
    array = np.asarray(values, float)
    finite = array[np.isfinite(array)]
    return float(np.median(finite)) if len(finite) else float("nan")
