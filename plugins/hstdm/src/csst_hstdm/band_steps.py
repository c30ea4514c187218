"""Steps of the gain of a part of the band, which the level of the whole band hardly shows.

Their edge is within a channel and both sides go on for long; lines and continuum are smoother.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from csst_hstdm.scatter import scatter_about_zero

Plane = NDArray[np.float64]

PIECES = (0, 4, 8, 16, 32, 64)
"""Distances from the edge in channels, between which both sides are compared."""
SURE = 4.0
"""Noise by which the step within the first piece must exceed half of the step, and half of that by
which the step itself must exceed its noise."""
EVEN = 0.5
"""Part of the step by which that of each piece may be another one: between lines it is none."""


def band_step(change: Plane, limit: float) -> float:
    """Return the largest step of a relative change over the band; 0 if there is none.

    Parameters
    ----------
    change
        Of each channel; NaN where not known.
    limit
        Smaller steps are none.
    """
    reach = PIECES[-1]
    at = np.arange(reach, len(change) - reach + 1)
    good = np.isfinite(change)
    beside = np.diff(change)[good[1:] & good[:-1]]
    if not len(at) or not len(beside):
        return 0.0
    noise = scatter_about_zero(beside) / np.sqrt(2.0)
    total = np.concatenate([[0.0], np.cumsum(np.where(good, change, 0.0))])
    count = np.concatenate([[0], np.cumsum(good)])

    def contrast(at: NDArray[np.intp], near: int, far: int) -> Plane:
        sides = []
        for first, last in ((at + near, at + far), (at - far, at - near)):
            number = count[last] - count[first]
            with np.errstate(invalid="ignore", divide="ignore"):
                value = (total[last] - total[first]) / number
            sides.append(np.where(2 * number >= far - near, value, np.nan))
        return np.asarray(sides[0] - sides[1])

    step = contrast(at, 0, reach)
    found = np.abs(step) > max(limit, 2 * SURE * noise * np.sqrt(2 / reach))
    at, step = at[found], step[found]
    size, sign = np.abs(step), np.sign(step)
    sharp = contrast(at, *PIECES[:2]) * sign > size / 2 + SURE * noise * np.sqrt(2 / PIECES[1])
    for near, far in pairwise(PIECES):
        sharp &= np.abs(contrast(at, near, far) * sign - size) < EVEN * size
    return float(step[sharp][np.argmax(size[sharp])]) if sharp.any() else 0.0
