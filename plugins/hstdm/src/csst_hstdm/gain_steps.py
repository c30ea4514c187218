"""Steps of the gain in a series of dumps, told from drifts and from sources that pass the beam.

What is sharp in time, of any state; the series is a block of dumps in `unstable_dumps`, before
anything is calibrated, and ONs over their OFFs in `gain_or_sky`.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Levels = NDArray[np.float64]

REACH = 3
"""Dumps on either side that tell how much the level changes without a step."""
SHARP = 0.7
"""Part of that change which a single step must have. A point source that the beam scans in steps
of ``beam / 2.5`` has at most 0.57 of its peak in one step."""


def sharp_edges(level: Levels, limit: float) -> NDArray[np.bool_]:
    """Return where the level changes more from one dump to the next than sky and drift allow.

    Parameters
    ----------
    level
        Of dumps in the order of time, positive and finite.
    limit
        Least relative change.

    Returns
    -------
    NDArray
        For each pair of neighbours, one less than dumps.
    """
    logarithm = np.log(level)
    step = np.abs(np.diff(logarithm))
    sharp = step > limit
    for i in np.flatnonzero(sharp):
        near = logarithm[max(i + 1 - REACH, 0) : i + 1 + REACH]
        sharp[i] = step[i] > SHARP * np.ptp(near)
    return sharp


def stepped(level: Levels, limit: float, usual: float) -> NDArray[np.bool_]:
    """Return the dumps of one block whose gain is not that of most of them.

    The block is cut at its sharp edges. The longest part is right, and with it each part that
    goes on where the parts that are right end.

    Parameters
    ----------
    level
        Of the dumps, in the order of time; those that are not finite are not looked at.
    limit
        Least relative change.
    usual
        Level of other blocks of the same state, which decides between parts of one length; if
        NaN, all are wrong then.
    """
    wrong = np.zeros(len(level), bool)
    known = np.flatnonzero(np.isfinite(level) & (level > 0))
    values = level[known]
    if len(values) < 2:
        return wrong
    cuts = [0, *(np.flatnonzero(sharp_edges(values, limit)) + 1), len(values)]
    parts = [slice(int(a), int(b)) for a, b in pairwise(cuts)]
    if len(parts) == 1:
        return wrong
    bad = np.ones(len(values), bool)
    first = _right_part(parts, values, limit, usual)
    if first is not None:
        for step in (-1, 1):
            end = values[parts[first].start if step < 0 else parts[first].stop - 1]
            for part in parts[first + step :: step] if first + step >= 0 else []:
                near, far = (part.stop - 1, part.start) if step < 0 else (part.start, part.stop - 1)
                if abs(np.log(values[near] / end)) <= limit:
                    bad[part] = False
                    end = values[far]
        bad[parts[first]] = False
    wrong[known[bad]] = True
    return wrong


def _right_part(parts: list[slice], values: Levels, limit: float, usual: float) -> int | None:
    """Return the longest part, of several the one that is as usual; None if there is none."""
    length = [part.stop - part.start for part in parts]
    longest = [i for i, n in enumerate(length) if n == max(length)]
    if len(longest) == 1:
        return longest[0]
    with np.errstate(invalid="ignore"):
        off = [abs(float(np.log(np.median(values[parts[i]]) / usual))) for i in longest]
    return longest[int(np.argmin(off))] if np.nanmin([*off, np.inf]) <= limit else None
