"""The mode of a few numbers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def half_sample_mode(ordered: NDArray[np.float64]) -> float:
    """Return the mode of ordered values by halving (Bickel & Frühwirth 2006, CSDA 50, 3500)."""
    while ordered.size > 3:
        half = (ordered.size + 1) // 2
        start = int(np.argmin(ordered[half - 1 :] - ordered[: ordered.size - half + 1]))
        ordered = ordered[start : start + half]
    return float(np.mean(ordered))
