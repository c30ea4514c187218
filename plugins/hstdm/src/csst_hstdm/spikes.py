"""Compiled search for spikes of single dumps and channels.

Lines are looked for here only to leave them alone: what the beam passes, or stares at, in counts.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from csst_hstdm.scatter import scatter_about_zero
from csstcore.api import compiled

BOX = 16
"""Half width of the running mean over channels that finds candidates."""
MEDIAN = 4
"""Half width of the running median over channels that confirms them."""
SUPPORT = 3.5
"""Sum of deviations in the dumps before and after, in units of its noise, that makes a spike a
line: of true hits, 4 in 10000 are lost."""
LINE = (0.5, 0.75)
"""Least of the same in units of the spike, for its channel and for three channels. A line that the
beam scans has 0.6 and more in each of them, and in each dump."""
BEAM = 0.5
"""Least geometric mean of the dumps before and after, in units of the spike. Whatever the sky, it
is ``exp(-4 ln 2 h^2)`` or more for a Gaussian beam that moves by h beams (Cauchy-Schwarz): 0.64
where dumps are ``beam / 2.5`` apart; 1 where it stares. Hits next to each other have less."""
ALLOWANCE = 2.0
"""Noise that may hide one of the two."""
LAG = 4
"""Distance of the channels whose differences give the noise: further than they are correlated."""


@compiled
def median_of(values: Any, number: Any) -> Any:
    """Return the median of the first values, which are sorted in place."""
    for i in range(1, number):
        value = values[i]
        j = i - 1
        while j >= 0 and values[j] > value:
            values[j + 1] = values[j]
            j -= 1
        values[j + 1] = value
    half = number // 2
    return values[half] if number % 2 else (values[half - 1] + values[half]) / 2


@compiled
def reference_spectrum(counts: Any, flags: Any, rows: Any, per_second: Any, reference: Any) -> Any:
    """Set the median over dumps of the rate of each channel; NaN where all are flagged."""
    values = np.empty(len(rows))
    for c in range(counts.shape[1]):
        number = 0
        for k in range(len(rows)):
            if flags[rows[k], c] == 0:
                values[number] = counts[rows[k], c] * per_second[k]
                number += 1
        reference[c] = median_of(values, number) if number else np.nan


@compiled
def running_mean(ratio: Any, mean: Any) -> Any:
    """Set the mean of the finite values within `BOX` channels on either side."""
    channels = len(ratio)
    total, number = 0.0, 0
    for c in range(min(BOX, channels)):
        if np.isfinite(ratio[c]):
            total += ratio[c]
            number += 1
    for c in range(channels):
        if c + BOX < channels and np.isfinite(ratio[c + BOX]):
            total += ratio[c + BOX]
            number += 1
        if c - BOX - 1 >= 0 and np.isfinite(ratio[c - BOX - 1]):
            total -= ratio[c - BOX - 1]
            number -= 1
        mean[c] = total / number if number else np.nan


@compiled
def local_deviation(counts: Any, row: Any, channel: Any, reference: Any) -> Any:
    """Return by how much a channel exceeds the median of nearby ones; 0 where not known."""
    near = np.empty(2 * MEDIAN + 1)
    n = 0
    for d in range(max(channel - MEDIAN, 0), min(channel + MEDIAN + 1, counts.shape[1])):
        value = counts[row, d] / reference[d]
        if np.isfinite(value) and value > 0:
            near[n] = value
            n += 1
    if n <= MEDIAN or channel < 0 or channel >= counts.shape[1]:
        return 0.0
    value = counts[row, channel] / reference[channel] / median_of(near, n) - 1
    return value if np.isfinite(value) else 0.0


@compiled
def passes_beam(
    counts: Any, row: Any, channel: Any, beside: Any, reference: Any, sigma: Any
) -> Any:
    """Return whether the dumps before and after are as bright as a source that passes the beam."""
    spike = local_deviation(counts, row, channel, reference) / sigma
    sign = -1.0 if spike < 0 else 1.0
    product, number = 1.0, 0
    for side in range(2):
        other = beside[row, side, 0]
        if other >= 0:
            brightest = -ALLOWANCE
            for d in range(-1, 2):
                place = channel + beside[row, side, 1] + d
                value = sign * local_deviation(counts, other, place, reference) / sigma
                brightest = max(brightest, value)
            product *= brightest + ALLOWANCE
            number += 1
    return number > 0 and product > (BEAM * abs(spike)) ** number


@compiled
def is_line(
    counts: Any, row: Any, channel: Any, beside: Any, reference: Any, sigma: Any, spike: Any
) -> Any:
    """Return whether the dumps before and after have a spike at the same frequency.

    Either in its channel alone, as of a bright continuum through a receiver whose channels
    differ, or in three channels together, as of a line. Each must itself be as bright as its
    neighbours allow, or it is a hit.
    """
    if not passes_beam(counts, row, channel, beside, reference, sigma):
        return False
    middle, total, number = 0.0, 0.0, 0
    for side in range(2):
        other = beside[row, side, 0]
        if other >= 0:
            number += 1
            for d in range(-1, 2):
                place = channel + beside[row, side, 1] + d
                if passes_beam(counts, other, place, beside, reference, sigma):
                    value = local_deviation(counts, other, place, reference) / sigma
                    total += value
                    if d == 0:
                        middle += value
    if spike < 0:
        middle, total, spike = -middle, -total, -spike
    alone = middle > max(SUPPORT * np.sqrt(number), LINE[0] * spike)
    return alone or total > max(SUPPORT * np.sqrt(3 * number), LINE[1] * spike)


@compiled
def flag_spikes(
    counts: Any,
    flags: Any,
    rows: Any,
    beside: Any,
    per_second: Any,
    least_noise: Any,
    threshold: Any,
    bit: Any,
    reference: Any,
    level: Any,
    noise: Any,
    power: Any,
    number: Any,
) -> Any:
    """Flag spikes of dumps of one state against their median and against nearby channels.

    A spike that the dumps before and after have at the same frequency is a line.

    Parameters
    ----------
    counts, flags
        All dumps, shape (dumps, channels); flags are set, samples flagged before are left out.
    rows, per_second
        The dumps to look at, and what turns their counts into rates.
    beside
        For each dump the ones before and after that look at the sky as well, -1 without one, and
        by how many channels lines are shifted there; shape (dumps, 2, 2).
    least_noise
        Relative noise below which that of a dump is not believed.
    threshold
        In units of the noise of the dump.
    bit
        To set.
    reference
        Rate that each channel should have.
    level, noise
        Set for each dump: median ratio to the reference, and its relative noise.
    power, number
        Added to for each channel: squared deviations in units of the noise, and dumps.
    """
    channels = counts.shape[1]
    ratio, mean = np.empty(channels), np.empty(channels)
    lags = np.empty(channels)
    near = np.empty(2 * MEDIAN + 1)
    for k in range(len(rows)):
        row = rows[k]
        for c in range(channels):
            good = flags[row, c] == 0 and reference[c] > 0
            ratio[c] = counts[row, c] * per_second[k] / reference[c] if good else np.nan
        running_mean(ratio, mean)
        found, lagged = 0, 0
        for c in range(channels):
            if np.isfinite(ratio[c]):
                found += 1
                if c >= LAG and np.isfinite(ratio[c - LAG]):
                    lags[lagged] = abs(ratio[c] - ratio[c - LAG])
                    lagged += 1
        level[k] = np.nanmedian(ratio) if found else np.nan
        spread = scatter_about_zero(lags[:lagged]) / np.sqrt(2.0) if lagged else np.nan
        noise[k] = max(spread, least_noise[k]) if lagged else np.nan
        sigma = noise[k]
        if not sigma > 0:
            continue
        for c in range(channels):
            deviation = (ratio[c] - mean[c]) / sigma
            if not np.isfinite(deviation):
                continue
            if abs(deviation) > threshold - 2:
                n = 0
                for d in range(max(c - MEDIAN, 0), min(c + MEDIAN + 1, channels)):
                    if np.isfinite(ratio[d]):
                        near[n] = ratio[d]
                        n += 1
                deviation = (ratio[c] - median_of(near, n)) / sigma
                line = abs(deviation) > threshold and is_line(
                    counts, row, c, beside, reference, sigma / level[k], deviation
                )
                if abs(deviation) > threshold and not line:
                    flags[row, c] |= bit
            power[c] += min(deviation * deviation, 25.0)
            number[c] += 1
