"""Compiled ON - OFF of one dump."""

from __future__ import annotations

from typing import Any

import numpy as np

from csstcore.api import compiled

LINE_BOX = 16
"""Channels on either side whose mean is the brightness that adds to the noise of a dump. That of a
channel alone would follow its own noise."""


@compiled
def calibrate_dump(
    counts: Any,
    exposure_s: Any,
    off_before: Any,
    off_after: Any,
    time_before: Any,
    time_after: Any,
    weight: Any,
    gamma: Any,
    coupling: Any,
    scale_variance: Any,
    samples_per_second: Any,
    flux: Any,
    variance: Any,
    flags: Any,
    extra_bits: Any,
    bad_bit: Any,
) -> Any:
    """Set the antenna temperature of a dump and its variance; add flags.

    Parameters
    ----------
    counts, exposure_s
        The dump.
    off_before, off_after, time_before, time_after
        Rates and exposure times of the OFFs by channel.
    weight
        Of `off_after`.
    gamma
        Counts per second and kelvin.
    coupling
        Forward efficiency times gain of the signal sideband.
    scale_variance
        Relative variance of the scale by channel.
    samples_per_second
        Independent samples of the noise in a second: noise bandwidth times efficiency squared.
    flux, variance, flags
        Set; `flags` has those of the dump.
    extra_bits
        Flags of loads and OFFs by channel.
    bad_bit
        Set where nothing can be calibrated.

    Returns
    -------
    share, level
        Share of the OFFs in the variance of the noise, mean over the channels; ON over OFF.
    """
    channels = len(counts)
    ons, offs = np.zeros(channels), np.zeros(channels)
    on_total, off_total = 0.0, 0.0
    for c in range(channels):
        off = (1 - weight) * off_before[c] + weight * off_after[c]
        if flags[c] == 0 and np.isfinite(off) and np.isfinite(counts[c]):
            ons[c] = counts[c] / exposure_s
            offs[c] = off
            on_total += ons[c]
            off_total += offs[c]
    known = on_total > 0 and off_total > 0
    band = on_total / off_total if known else 1.0
    on_near, off_near = np.sum(ons[:LINE_BOX]), np.sum(offs[:LINE_BOX])
    share, number = 0.0, 0
    for c in range(channels):
        if c + LINE_BOX < channels:
            on_near += ons[c + LINE_BOX]
            off_near += offs[c + LINE_BOX]
        if c > LINE_BOX:
            on_near -= ons[c - LINE_BOX - 1]
            off_near -= offs[c - LINE_BOX - 1]
        level = on_near / off_near if off_near > 1e-6 * off_total / channels else band
        off = (1 - weight) * off_before[c] + weight * off_after[c]
        value = (counts[c] / exposure_s - off) / (gamma[c] * coupling[c])
        flags[c] |= extra_bits[c]
        if not np.isfinite(value):
            flux[c] = np.nan
            variance[c] = np.nan
            if flags[c] == 0:
                flags[c] = bad_bit
            continue
        of_on = level * level / exposure_s
        of_off = 0.0
        if weight < 1:
            of_off += (1 - weight) ** 2 / time_before[c]
        if weight > 0:
            of_off += weight**2 / time_after[c]
        t_sys = off / (gamma[c] * coupling[c])
        noise = t_sys * t_sys * (of_on + of_off) / samples_per_second
        flux[c] = value
        variance[c] = noise + value * value * scale_variance[c]
        share += of_off / (of_on + of_off)
        number += 1
    return share / number if number else np.nan, band if known else np.nan
