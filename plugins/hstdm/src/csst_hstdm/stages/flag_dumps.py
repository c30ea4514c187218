"""Flags of samples and of whole dumps, before anything is calibrated."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated

import astropy.units as u
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from csst_hstdm.clock import clock_offsets, dropped
from csst_hstdm.dump_rows import (
    POSITION,
    STATES,
    VELOCITY,
    numbers,
    row_flags,
    rows_of,
    seconds,
    states,
    vectors,
)
from csst_hstdm.flags import FLAG_BITS
from csst_hstdm.medians import finite_median
from csst_hstdm.receiver import Receiver
from csst_hstdm.spikes import flag_spikes, reference_spectrum
from csstcore.api import InPlace, Reference, Spectra, caveat, each, metric

Positive = Annotated[float, Field(gt=0)]
Bits = NDArray[np.uint16]

GROUP = 16
"""Dumps of one state, next to each other in time, whose median is the reference of each."""
LEAST_GROUP = 3
"""Fewer dumps have no median to compare with; nearby channels alone must do."""
LEAST_STATISTICS = 8
"""Dumps without which nothing is said about the noise of a channel."""
NOISE_LIMITS = (0.1, 4.0)
"""Mean squared deviation of a channel, in units of the noise, of a dead and of a noisy one."""
LEAST_NOISE = 0.5
"""In units of the radiometer equation: less is not noise, as in simulations without any."""


def flag_dumps(
    dumps: InPlace[Spectra],
    receiver: Reference[Receiver],
    *,
    threshold: Positive = 6.0,
    clock_tolerance_s: Positive = 0.5,
    gain_jump: Positive = 0.02,
) -> Spectra:
    """Flag spikes, saturation, bad channels, clock jumps and unstable dumps.

    A sample is a spike if its ratio to the median of dumps of the same state next to it in time
    stands out of the ratios of nearby channels: lines and drifts, which last for several dumps or
    are many channels wide, do not. The noise is that of the dump itself, from differences of
    channels. Bits of a whole dump stand in the column ``flag`` as well.

    Parameters
    ----------
    dumps
        Counts, shape (dumps, channels), in the order in which they were taken; NaN where the
        spectrometer gave none.
    receiver
        Of which ``saturation_count`` is used.
    threshold
        Of spikes, in units of the noise.
    clock_tolerance_s
        Smaller jumps of the clock are not looked at.
    gain_jump
        Relative deviation of the band's level of one dump from its neighbours that makes the gain
        unstable.

    Returns
    -------
    Spectra
        The same counts with flags.
    """
    rows = rows_of(dumps)
    if dumps.flags is None:
        dumps.flags = np.zeros(dumps.flux.shape, np.uint16)
    dumps.flag_bits = dict(FLAG_BITS)
    exposure_s = numbers(rows, "exposure_time", u.s)
    flag = row_flags(rows)
    flag |= _flag_samples(dumps.flux, dumps.flags, exposure_s, receiver.saturation_count)
    flag |= _flag_times(dumps, exposure_s, clock_tolerance_s)
    spacing_hz = float(np.median(np.abs(np.diff(dumps.axis.to_value(u.Hz)))))
    samples = receiver.noise_bandwidth_hz(spacing_hz) * exposure_s
    flag |= _flag_spectra(
        dumps.flux, dumps.flags, states(rows), exposure_s, samples, threshold, gain_jump
    )
    rows["flag"] = flag.astype(np.int32)
    metric("flagged_dumps", int(np.count_nonzero(flag)))
    hits = sum(int(np.count_nonzero(line & FLAG_BITS["cosmic_ray"])) for line in dumps.flags)
    metric("spikes", hits)
    return dumps


def _flag_samples(
    counts: NDArray[np.float32], flags: Bits, exposure_s: NDArray[np.float64], limit: float
) -> NDArray[np.int64]:
    """Flag samples without a count or beyond the linear range, and dumps mostly made of them.

    A dump with the same count in every channel has none: no band is that flat.
    """
    bits = np.zeros(len(counts), np.int64)
    for row, (count, flag) in enumerate(zip(counts, flags, strict=True)):
        missing = ~np.isfinite(count) | (count <= 0)
        full = count >= limit
        stuck = len(count) > 1 and count.min() == count.max()
        if stuck or not exposure_s[row] > 0:
            missing[:] = True
        flag[missing] |= FLAG_BITS["bad_channel"]
        flag[full] |= FLAG_BITS["saturated"]
        if np.mean(missing) > 0.5:
            bits[row] |= FLAG_BITS["bad_channel"]
        if np.mean(full) > 0.5:
            bits[row] |= FLAG_BITS["saturated"]
    return bits


def _flag_times(
    dumps: Spectra, exposure_s: NDArray[np.float64], tolerance_s: float
) -> NDArray[np.int64]:
    """Flag dumps whose clock was off: where the telescope was and looked is not known."""
    rows = rows_of(dumps)
    time_s = seconds(rows)
    offset_s = clock_offsets(
        time_s,
        exposure_s,
        vectors(rows, POSITION, u.km),
        vectors(rows, VELOCITY, u.km / u.s),
        tolerance_s=tolerance_s,
    )
    wrong = ~(np.abs(offset_s) <= tolerance_s)
    jumped = wrong & np.isfinite(offset_s)
    if jumped.any():
        size = np.max(np.abs(offset_s[jumped]))
        caveat(f"the clock is off in {np.sum(jumped)} of {len(wrong)} dumps, by up to {size:.1f} s")
    if np.sum(wrong) > np.sum(jumped):
        caveat(f"{np.sum(wrong & ~jumped)} of {len(wrong)} dumps have no time")
    right = ~wrong & (exposure_s > 0)
    run = np.asarray(rows["scan"], np.int64) * len(STATES)
    run += np.unique(states(rows), return_inverse=True)[1]
    missing = dropped(time_s, exposure_s, np.where(right, run, -1))
    if missing:
        caveat(f"{missing} dumps are missing inside scans")
    metric("dropped_dumps", missing)
    metric(
        "clock_jumps", int(np.count_nonzero(np.diff(jumped.astype(int)) == 1) + jumped[:1].sum())
    )
    return np.where(wrong, FLAG_BITS["pointing"], 0)


def _flag_spectra(
    counts: NDArray[np.float32],
    flags: Bits,
    state: NDArray[np.str_],
    exposure_s: NDArray[np.float64],
    samples: NDArray[np.float64],
    threshold: float,
    gain_jump: float,
) -> NDArray[np.int64]:
    """Flag spikes, channels that are noisy or dead, and dumps with another gain or noise."""
    bits = np.zeros(len(counts), np.int64)
    with np.errstate(divide="ignore", invalid="ignore"):
        least_noise = LEAST_NOISE / np.sqrt(samples)
    usable = np.any(flags == 0, axis=1) & (exposure_s > 0)
    groups = [
        group
        for name in np.unique(state)
        for group in _groups(np.flatnonzero((state == name) & usable))
    ]

    def search(
        group: NDArray[np.intp],
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
        channels = counts.shape[1]
        reference = np.ones(channels)
        per_second = 1 / exposure_s[group]
        if len(group) >= LEAST_GROUP:
            reference_spectrum(counts, flags, group, per_second, reference)
        else:
            per_second = per_second / np.maximum(np.nanmean(counts[group], axis=1), 1e-30)
        level, noise = np.full(len(group), np.nan), np.full(len(group), np.nan)
        power, number = np.zeros(channels), np.zeros(channels, np.int64)
        bit = np.uint16(FLAG_BITS["cosmic_ray"])
        flag_spikes(
            counts,
            flags,
            group,
            per_second,
            least_noise[group],
            threshold,
            bit,
            reference,
            level,
            noise,
            power,
            number,
        )
        return level, noise, power, number

    found = each(search, groups)
    power, number = np.zeros(counts.shape[1]), np.zeros(counts.shape[1], np.int64)
    for group, (level, noise, of_group, in_group) in zip(groups, found, strict=True):
        if len(group) < LEAST_GROUP:
            continue
        power += of_group
        number += in_group
        noise = noise * np.sqrt(exposure_s[group])
        unstable = (np.abs(level - _nearby(level)) > gain_jump) | (noise > 2 * finite_median(noise))
        bits[group[unstable]] |= FLAG_BITS["unstable_gain"]
    with np.errstate(invalid="ignore"):
        excess = power / number
    bad = (excess > NOISE_LIMITS[1]) | ((excess < NOISE_LIMITS[0]) & (finite_median(excess) > 0.5))
    bad &= number >= LEAST_STATISTICS
    flags[:, bad] |= np.uint16(FLAG_BITS["bad_channel"])
    metric("bad_channels", int(np.count_nonzero(bad)))
    return bits


def _groups(rows: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """Return runs of about `GROUP` dumps."""
    count = max(round(len(rows) / GROUP), 1)
    edges = [len(rows) * k // count for k in range(count + 1)]
    return [rows[a:b] for a, b in pairwise(edges) if b > a]


def _nearby(level: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the median of each value with two on either side; fewer at the ends."""
    padded = np.pad(level, 2, constant_values=np.nan)
    return np.array([finite_median(padded[k : k + 5]) for k in range(len(level))])
