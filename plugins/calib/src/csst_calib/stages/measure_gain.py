"""Gain and read noise from pairs of flat and bias frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import astropy.units as u
import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from csst_calib.agreement import require_readout, require_unit
from csst_calib.pair_statistics import PairStatistics, pair_statistics, pairs_by_exposure
from csst_calib.ptc_fit import LEVEL_RATIO, LEVELS_FOR_SLOPE, SATURATED, can_slope
from csst_calib.readout import Readout
from csst_calib.stages.gain import GAIN_UNIT
from csstcore.api import (
    Image,
    Reference,
    Table,
    UnprocessableData,
    caveat,
    common_meta,
    metric,
    note_frames,
)


def measure_gain(
    flats: Sequence[Image], biases: Sequence[Image], readout: Reference[Readout]
) -> Annotated[Table, "gain"]:
    """Measure gain and read noise of every channel by photon transfer.

    Half the variance of the difference of two frames is free of fixed pattern (Janesick
    2001, Scientific Charge-Coupled Devices, chapter 2). The read noise comes from pairs of
    bias frames, about the mean of each row (see `measure_ptc`, which fits many levels). For
    flats of mean m and variance v, ``(v - read_variance) / m = 1/g + q m``: the slope q
    takes up the correlation of bright pixels (brighter-fatter) and is fitted if there are
    three levels or more over a factor of two. Frames of a pair have the same exposure time
    and follow each other; saturated ones are left out.

    Parameters
    ----------
    flats
        Overscan-corrected flat frames in adu, at least two of one exposure time.
    biases
        Overscan-corrected bias frames in adu, at least two.
    readout
        Geometry of the channels.

    Returns
    -------
    gain
        One row per channel: ``channel`` (from 1), ``gain`` and ``gain_error``
        (electron / adu), ``read_noise`` and ``read_noise_error`` (electron). Metrics:
        ``median_gain``, ``median_read_noise``.

    Raises
    ------
    UnprocessableData
        If there are no pairs, or a channel's flats show no photon noise.
    """
    for image in (*flats, *biases):
        require_unit(image, u.adu)
        require_readout(image, readout)
    flat_pairs, bias_pairs = (
        [pair for pairs in pairs_by_exposure(images).values() for pair in pairs]
        for images in (flats, biases)
    )
    if not flat_pairs or not bias_pairs:
        raise UnprocessableData(
            f"there are {len(flats)} flat and {len(biases)} bias frames; expected at least two "
            "of one exposure time of each"
        )
    # Pairs outside, channels inside: every frame is read from disk once.
    lit = [[pair_statistics(pair, channel) for channel in readout] for pair in flat_pairs]
    dark = [
        [pair_statistics(pair, channel, lit=False) for channel in readout] for pair in bias_pairs
    ]
    measured = [
        _measure(number, *flats_and_biases)
        for number, flats_and_biases in enumerate(
            zip(zip(*lit, strict=True), zip(*dark, strict=True), strict=True), 1
        )
    ]
    rows = [row for row, _ in measured]
    sloped = all(slope for _, slope in measured)
    table = QTable()
    table["channel"] = np.arange(1, readout.channels + 1, dtype=np.int32)
    columns = zip(*rows, strict=True)
    units = (GAIN_UNIT, GAIN_UNIT, u.electron, u.electron)
    names = ("gain", "gain_error", "read_noise", "read_noise_error")
    for name, values, unit in zip(names, columns, units, strict=True):
        table[name] = u.Quantity(values, unit)
    metric("median_gain", float(np.median(table["gain"].value)))
    metric("median_read_noise", float(np.median(table["read_noise"].value)))
    note_frames(flats, biases)
    if not sloped:
        caveat(
            f"the flats have fewer than {LEVELS_FOR_SLOPE} levels over a factor of "
            f"{LEVEL_RATIO:g}: the brighter-fatter slope is taken as 0"
        )
    return Table(table, common_meta([image.meta for image in flats]))


def _measure(
    number: int, flats: Sequence[PairStatistics], dark: Sequence[PairStatistics]
) -> tuple[tuple[float, float, float, float], bool]:
    """Return gain, its error, read noise and its error (electron); whether a slope was fitted."""
    level = float(np.mean([each.mean for each in dark]))
    read_variance = float(np.mean([each.variance for each in dark]))
    row_variance = float(np.mean([each.row_variance for each in dark]))
    read_error = read_variance * np.sqrt(2 / sum(each.pixels for each in dark))
    lit = [each for each in flats if each.saturated <= SATURATED]
    if not lit:
        raise UnprocessableData(f"channel {number}: every flat frame is saturated")
    points = np.array([(each.mean, each.variance, each.pixels) for each in lit])
    mean, variance = points[:, 0] - level, points[:, 1]
    sigma = np.hypot(variance * np.sqrt(2 / points[:, 2]), read_error) / mean
    ratio = (variance - read_variance) / mean
    if not (np.all(mean > 0) and np.all(ratio > 0)):
        raise UnprocessableData(
            f"channel {number}: the flat frames have levels {mean.round(1).tolist()} "
            f"adu and variances {variance.round(1).tolist()} adu^2, the bias frames "
            f"{read_variance:.1f} adu^2; expected photon noise above the bias"
        )
    sloped = can_slope(mean)
    inverse, error = _intercept(mean, ratio, sigma, sloped=sloped)
    gain = 1 / inverse
    read_noise = gain * np.sqrt(row_variance)
    relative = np.hypot(error / inverse, 0.5 * read_error / read_variance)
    return (gain, gain * error / inverse, read_noise, read_noise * relative), sloped


def _intercept(
    mean: NDArray[np.float64],
    ratio: NDArray[np.float64],
    sigma: NDArray[np.float64],
    *,
    sloped: bool,
) -> tuple[float, float]:
    """Return value and error at mean 0 of a weighted line, or of a constant."""
    design = np.vander(mean, 2 if sloped else 1) / sigma[:, None]
    normal = np.linalg.inv(design.T @ design)
    solution = normal @ (design.T @ (ratio / sigma))
    return float(solution[-1]), float(np.sqrt(normal[-1, -1]))
