"""Dumps whose gain or noise is not that of their neighbours.

Alone in seeing steps within a block of loads or OFFs, before these are averaged.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from csst_hstdm.gain_steps import stepped
from csst_hstdm.medians import finite_median

Numbers = NDArray[np.float64]

NEAR = 16
"""Dumps of one state outside of a block that tell its usual level."""
STEPS_SIGMA = 8.0
"""Steps of the level must also exceed its noise by this."""


def unstable_dumps(
    level: Numbers, noise: Numbers, block: NDArray[np.int64], state: NDArray[np.str_], limit: float
) -> NDArray[np.bool_]:
    """Return the dumps inside whose block the level steps, on the side that is shorter.

    Parameters
    ----------
    level
        Of the band, counts per second; NaN for dumps that are not looked at.
    noise
        Relative noise of `level`.
    block
        A number for each run of dumps of one state without a gap.
    state
        Of each dump.
    limit
        Least relative step.
    """
    unstable = np.zeros(len(level), bool)
    for number in np.unique(block):
        members = np.flatnonzero(block == number)
        least = max(limit, STEPS_SIGMA * np.nan_to_num(finite_median(noise[members])))
        same = np.flatnonzero((state == state[members[0]]) & (block != number))
        nearest = same[np.argsort(np.abs(same - members[0]), kind="stable")[:NEAR]]
        usual = finite_median(level[nearest]) if len(nearest) else np.nan
        unstable[members] = stepped(level[members], least, usual)
    return unstable


def runs(
    time_s: Numbers, exposure_s: Numbers, state: NDArray[np.str_], scan: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return a number for each run of dumps of one state and scan without a gap in time."""
    step, expected = np.diff(time_s), (exposure_s[:-1] + exposure_s[1:]) / 2
    gap = ~(np.abs(step) <= 3 * expected) & np.isfinite(step)
    change = gap | (state[1:] != state[:-1]) | (np.diff(scan) != 0)
    return np.cumsum(np.concatenate([[False], change])[: len(time_s)]).astype(np.int64)
