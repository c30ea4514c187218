"""Compiled flux-conserving resampling of one spectrum."""

from __future__ import annotations

from typing import Any

import numpy as np

from csstcore.api import compiled

LEAST_OVERLAP = 1e-6
"""Of a channel; less is rounding."""


@compiled
def resample(
    flux: Any,
    variance: Any,
    flags: Any,
    first: Any,
    step: Any,
    out_flux: Any,
    out_variance: Any,
    out_flags: Any,
    outside_bit: Any,
) -> Any:
    """Set the means of a spectrum over the channels of another axis, weighted by overlap.

    The integral over frequency is conserved. Flags of all channels that overlap are joined; a
    channel that is not covered, or overlaps one that is NaN, is NaN.

    Parameters
    ----------
    flux, variance, flags
        The spectrum; channel i reaches from i to i + 1.
    first, step
        Where the first channel of the new axis begins on this scale, and its width.
    out_flux, out_variance, out_flags
        Set.
    outside_bit
        Set where the spectrum does not reach.

    Returns
    -------
    float
        Mean over the channels of the sum of squared weights, by which the variance of a channel
        shrinks as its noise is shared with its neighbours.
    """
    channels = len(flux)
    squares, number = 0.0, 0
    for j in range(len(out_flux)):
        low = first + j * step
        high = low + step
        if low < -LEAST_OVERLAP or high > channels + LEAST_OVERLAP:
            out_flux[j] = np.nan
            out_variance[j] = np.nan
            out_flags[j] = outside_bit
            continue
        total, spread, square = 0.0, 0.0, 0.0
        bits = flags[max(int(low), 0)] & 0
        for i in range(max(int(low), 0), min(int(high) + 1, channels)):
            weight = (min(i + 1.0, high) - max(float(i), low)) / step
            if weight > LEAST_OVERLAP:
                total += weight * flux[i]
                spread += weight * weight * variance[i]
                square += weight * weight
                bits |= flags[i]
        out_flux[j] = total
        out_variance[j] = spread
        out_flags[j] = bits
        squares += square
        number += 1
    return squares / number if number else np.nan
