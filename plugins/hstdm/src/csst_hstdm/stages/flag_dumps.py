"""Flags of samples and of whole dumps, before anything is calibrated."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated

import astropy.units as u
import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray
from pydantic import Field

from csst_hstdm.clock import clock_offsets, dropped
from csst_hstdm.dump_rows import (
    POSITION,
    STATES,
    VELOCITY,
    integers,
    numbers,
    row_flags,
    rows_of,
    seconds,
    states,
    vectors,
)
from csst_hstdm.flags import FLAG_BITS
from csst_hstdm.line_places import directions, line_places
from csst_hstdm.medians import finite_median
from csst_hstdm.receiver import Receiver
from csst_hstdm.spikes import flag_spikes, reference_spectrum
from csst_hstdm.unstable_dumps import runs, unstable_dumps
from csstcore.api import InPlace, Reference, Spectra, caveat, each, metric

Positive = Annotated[float, Field(gt=0)]
Bits = NDArray[np.uint16]

GROUP = 16
"""Dumps of one state, next to each other in time, whose median is the reference of each."""
LEAST_GROUP = 3
"""Fewer dumps have no median to compare with; nearby channels alone must do."""
LEAST_STATISTICS = 8
"""Dumps without which nothing is said about the noise of a channel."""
QUIET_STATES = ("HOT", "COLD", "OFF")
QUIET = (True, False)
MEDIAN_NOISE = 1.2533
"""Noise of a median over that of a mean."""
LEVEL_CHANNELS = 1024
"""Channels whose median is about the level of the band."""
SAME_PLACE_BEAM, SCAN_BEAM = 0.05, 0.5
"""Distances of dumps that look at one place, at any time, and of dumps of one row of a map."""
LEAST_NOISE = 0.5
"""In units of the radiometer equation: less is not noise, as in simulations without any."""


def flag_dumps(
    dumps: InPlace[Spectra],
    receiver: Reference[Receiver],
    *,
    threshold: Positive = 6.0,
    clock_tolerance_s: Positive = 0.5,
    gain_jump: Positive = 0.01,
    dead_channel: Positive = 0.1,
    noisy_channel: Positive = 4.0,
) -> Spectra:
    """Flag spikes, saturation, bad channels, clock jumps and unstable dumps.

    A sample is a spike if its ratio to the median of dumps of the same state next to it in time
    stands out of the ratios of nearby channels: lines and drifts, which last for several dumps or
    are many channels wide, do not; nor do narrow lines, which the dumps of the sky before and after
    have at the same frequency, as bright as the motion of the beam allows. The noise is that of the
    dump itself, from differences of channels. Bits of a whole dump stand in the column ``flag`` as
    well.

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
        Relative step of the band's level inside a block that makes the gain of the shorter side
        unstable; sources that pass the beam make no steps. `calibrate` looks at whole blocks.
    dead_channel, noisy_channel
        Mean squared deviation of a channel, in units of the noise, below and above which it is
        bad; from loads and OFFs, as lines of the sky deviate too.

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
    flag |= _flag_repeated(dumps, flag)
    spacing_hz = float(np.median(np.abs(np.diff(dumps.axis.to_value(u.Hz)))))
    samples = receiver.noise_bandwidth_hz(spacing_hz) * exposure_s
    flag |= _flag_spectra(
        dumps, receiver, exposure_s, samples, threshold, gain_jump, (dead_channel, noisy_channel)
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
        _scans(rows),
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
    missing = dropped(time_s, exposure_s, np.where(right, _scans(rows), -1))
    if missing:
        caveat(f"{missing} dumps are missing inside scans")
    metric("dropped_dumps", missing)
    metric(
        "clock_jumps", int(np.count_nonzero(np.diff(jumped.astype(int)) == 1) + jumped[:1].sum())
    )
    return np.where(wrong, FLAG_BITS["pointing"], 0)


def _scans(rows: QTable) -> NDArray[np.int64]:
    """Return a number for each state of each scan."""
    return integers(rows, "scan") * len(STATES) + np.unique(states(rows), return_inverse=True)[1]


def _flag_repeated(dumps: Spectra, flag: NDArray[np.int64]) -> NDArray[np.int64]:
    """Flag dumps with the time of another one, and those with the counts of the one before.

    Of dumps that are equal in both the first is kept. Counts that stay the same while the time goes
    on are of a spectrometer that has stopped, nobody knows when: none of them is kept. If most
    loads stay the same, but each has counts of its own, there is no noise, as in some simulations.
    """
    time_s = seconds(rows_of(dumps))
    repeated, frozen = np.zeros(len(time_s), bool), np.zeros(len(time_s), bool)
    known = np.flatnonzero(np.isfinite(time_s) & ((flag & FLAG_BITS["pointing"]) == 0))
    order = known[np.argsort(time_s[known], kind="stable")]
    for before, after in pairwise(order):
        if time_s[before] == time_s[after]:
            repeated[after] = True
            if not np.array_equal(dumps.flux[before], dumps.flux[after]):
                repeated[before] = True
    counted = np.flatnonzero((flag & FLAG_BITS["bad_channel"]) == 0)
    equal = np.array(
        [
            time_s[a] != time_s[b] and np.array_equal(dumps.flux[a], dumps.flux[b])
            for a, b in pairwise(counted)
        ],
        bool,
    )
    state = states(rows_of(dumps))[counted]
    same, load = state[1:] == state[:-1], np.isin(state, ["HOT", "COLD"])
    within, across = same & load[1:], ~same & (load[1:] | load[:-1])
    if not (within.any() and np.mean(equal[within]) > 0.5 and not np.any(equal[across])):
        frozen[counted[:-1][equal]] = frozen[counted[1:][equal]] = True
    if repeated.any():
        caveat(f"{np.count_nonzero(repeated)} of {len(flag)} dumps have the time of another one")
    if frozen.any():
        caveat(f"{np.count_nonzero(frozen)} of {len(flag)} dumps have the counts of the next one")
        np.asarray(dumps.flags)[frozen] |= np.uint16(FLAG_BITS["bad_channel"])
    bits: NDArray[np.int64] = np.where(repeated, FLAG_BITS["pointing"], 0)
    bits[frozen] |= FLAG_BITS["bad_channel"]
    return bits


def _flag_spectra(
    dumps: Spectra,
    receiver: Receiver,
    exposure_s: NDArray[np.float64],
    samples: NDArray[np.float64],
    threshold: float,
    gain_jump: float,
    noise_limits: tuple[float, float],
) -> NDArray[np.int64]:
    """Flag spikes, channels that are noisy or dead, and dumps with another gain or noise."""
    rows, counts = rows_of(dumps), dumps.flux
    flags = np.asarray(dumps.flags)
    state = states(rows)
    number_of_channels = counts.shape[1]
    bits = np.zeros(len(counts), np.int64)
    with np.errstate(divide="ignore", invalid="ignore"):
        least_noise = LEAST_NOISE / np.sqrt(samples)
    usable = np.any(flags == 0, axis=1) & (exposure_s > 0)
    groups = [
        group
        for name in np.unique(state)
        for group in _groups(np.flatnonzero((state == name) & usable))
    ]
    frequency_hz = float(np.median(dumps.axis.to_value(u.Hz)))
    beside = _beside(dumps, state, usable, receiver.beam_fwhm_radian(frequency_hz))
    stride = max(number_of_channels // LEVEL_CHANNELS, 1)
    level, noise = np.full(len(counts), np.nan), np.full(len(counts), np.nan)

    def search(
        group: NDArray[np.intp],
    ) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
        reference = np.ones(number_of_channels)
        scale = _levels(counts[group, ::stride]) / exposure_s[group]
        per_second = 1 / (exposure_s[group] * scale)
        if len(group) >= LEAST_GROUP:
            reference_spectrum(counts, flags, group, per_second, reference)
        of_group, spread = np.full(len(group), np.nan), np.full(len(group), np.nan)
        power, number = np.zeros(number_of_channels), np.zeros(number_of_channels, np.int64)
        flag_spikes(
            counts,
            flags,
            group,
            beside,
            per_second,
            least_noise[group],
            threshold,
            np.uint16(FLAG_BITS["cosmic_ray"]),
            reference,
            of_group,
            spread,
            power,
            number,
        )
        level[group], noise[group] = of_group * scale, spread / of_group
        return power, number, reference

    found = each(search, groups)
    first: dict[str, NDArray[np.float64]] = {}
    sums = {quiet: (np.zeros(number_of_channels), np.zeros(number_of_channels)) for quiet in QUIET}
    for group, (power, number, reference) in zip(groups, found, strict=True):
        # levels against the spectrum of each group compare only within it
        level[group] *= finite_median(reference / first.setdefault(state[group[0]], reference))
        if len(group) >= LEAST_GROUP:
            total, count = sums[state[group[0]] in QUIET_STATES]
            total += power
            count += number
            per_root_s = noise[group] * np.sqrt(exposure_s[group])
            bits[group[per_root_s > 2 * finite_median(per_root_s)]] |= FLAG_BITS["unstable_gain"]
    block = runs(seconds(rows), exposure_s, state, integers(rows, "scan"))
    of_level = MEDIAN_NOISE * noise / np.sqrt(number_of_channels)
    unstable = unstable_dumps(level, of_level, block, state, gain_jump)
    bits[unstable] |= FLAG_BITS["unstable_gain"]
    if unstable.any():
        caveat(
            f"the gain of {np.count_nonzero(unstable)} of {len(bits)} dumps is not that of others"
        )
    _flag_channels(flags, sums, noise_limits)
    return bits


def _levels(counts: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the median count of each dump, by which dumps of different brightness compare."""
    levels = [finite_median(np.where(count > 0, count, np.nan)) for count in counts]
    return np.array([level if np.isfinite(level) else 1.0 for level in levels])


def _flag_channels(
    flags: Bits,
    sums: dict[bool, tuple[NDArray[np.float64], NDArray[np.float64]]],
    limits: tuple[float, float],
) -> None:
    """Flag channels by their noise: that of loads and OFFs, of all dumps if these are too few."""
    power, number = sums[True]
    few = number < LEAST_STATISTICS
    power = np.where(few, power + sums[False][0], power)
    number = np.where(few, number + sums[False][1], number)
    with np.errstate(invalid="ignore", divide="ignore"):
        excess = power / number
    bad = (excess > limits[1]) | ((excess < limits[0]) & (finite_median(excess) > 0.5))
    bad &= number >= LEAST_STATISTICS
    flags[:, bad] |= np.uint16(FLAG_BITS["bad_channel"])
    metric("bad_channels", int(np.count_nonzero(bad)))


def _beside(
    dumps: Spectra, state: NDArray[np.str_], usable: NDArray[np.bool_], beam_radian: float
) -> NDArray[np.int64]:
    """Return for each ON the ones before and after, and the shift of lines in channels.

    Those at another place, where a row of a map ends, are none.
    """
    beside = np.full((len(state), 2, 2), -1, np.int64)
    on = np.flatnonzero((state == "ON") & usable)
    shift = np.round(np.nan_to_num(np.diff(line_places(dumps)[on]))).astype(np.int64)
    apart_beam = np.linalg.norm(np.diff(directions(rows_of(dumps))[on], axis=0), axis=1)
    apart_beam /= beam_radian
    near = (apart_beam < SAME_PLACE_BEAM) | ((np.diff(on) <= 2) & ~(apart_beam > SCAN_BEAM))
    before, after = on[:-1][near], on[1:][near]
    beside[after, 0, 0], beside[before, 1, 0] = before, after
    beside[after, 0, 1], beside[before, 1, 1] = -shift[near], shift[near]
    return beside


def _groups(rows: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """Return runs of about `GROUP` dumps."""
    count = max(round(len(rows) / GROUP), 1)
    edges = [len(rows) * k // count for k in range(count + 1)]
    return [rows[a:b] for a, b in pairwise(edges) if b > a]
