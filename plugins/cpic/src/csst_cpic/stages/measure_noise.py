"""Histogram of the signal where light is even, beside the model of the register."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, TypeAlias

import astropy.units as u
import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from csst_cpic.camera.agreement import em_gain_of, read_noise_electron, require_shape, require_unit
from csst_cpic.detector import Detector
from csst_cpic.register.em_statistics import Array, excess_noise_factor
from csst_cpic.register.register_output import RegisterOutput
from csst_cpic.register.serial_charge import serial_rate
from csstcore.api import (
    Image,
    NotApplicable,
    Reference,
    Table,
    common_meta,
    each,
    metric,
    pieces,
)

Plane: TypeAlias = NDArray[np.float32]

SAMPLE = 4_000_000
"""Numbers from evenly spread rows that are enough for a histogram."""

GROUPS = 8
"""Of pixels with about the same rate, each with its own curve."""

AROUND_PIXEL = 9
"""Width of the surroundings by which light is even, and whose mean is free of a pixel's noise."""

EVEN_FRACTION = 0.25
"""Of the pixels, those in the most even surroundings."""


def measure_noise(
    frames: Sequence[Image],
    detector: Reference[Detector],
    em_gain: Reference[Table] | None = None,
) -> Annotated[Table, "noise"]:
    """Compare signals where light is even with what the register makes of their rates.

    Parameters
    ----------
    frames
        One series in electron, dark and clock-induced charge not subtracted; flagged pixels are
        left out. The quarter of the pixels is taken around which their mean varies least.
    detector
        Stages of the register, and the read noise where a frame has none.
    em_gain
        Column ``serial_rate``: electrons per pixel and frame that arise in the register.

    Returns
    -------
    noise
        Histogram in output electrons: ``low``, ``high``, ``pixels`` and ``model``. Metrics:
        ``noise_rate`` (mean electrons per frame of these pixels) and ``noise_pixels``.

    Raises
    ------
    NotApplicable
        If no pixel is left: all of the even ones are flagged.
    UnprocessableData
        If frames are not in electron, or the shapes differ.
    """
    first = frames[0]
    for frame in frames:
        require_unit(frame, u.electron)
        require_shape(frame, first.shape, "the first frame")
    gain, noise = em_gain_of(first), read_noise_electron(first, detector)
    serial = serial_rate(em_gain, gain)
    output = RegisterOutput.of_stages(gain, noise, detector.register_stages, serial)
    step = max(1, len(frames) * first.data.size // SAMPLE)
    excess = excess_noise_factor(gain, detector.register_stages)
    own, used = _mean(frames)
    rate, unevenness = (
        plane[::step] for plane in _light(own, used, len(frames), excess, noise / gain)
    )
    even = used[::step]
    if even.any():
        even &= unevenness <= np.quantile(unevenness[even], EVEN_FRACTION)
    edges = _edges(gain, noise)
    counts = sum(each(lambda frame: _counts(frame, even, step, edges / gain), frames))
    number = int(np.sum(counts))
    if not number:
        raise NotApplicable("all pixels where light is even are flagged")
    metric("noise_rate", float(rate[even].mean()))
    metric("noise_pixels", number)
    columns = {
        "low": edges[:-1] * u.electron,
        "high": edges[1:] * u.electron,
        "pixels": np.asarray(counts, np.int64),
        "model": number * _probabilities(output, rate[even], edges / gain),
    }
    return Table(QTable(columns), meta=common_meta([frame.meta for frame in frames]))


def _mean(frames: Sequence[Image]) -> tuple[Plane, NDArray[np.bool_]]:
    """Return the mean of every pixel, and which have a number without flag in most frames."""
    mean = np.empty(frames[0].shape, np.float32)
    used = np.empty(mean.shape, np.bool_)

    def average(rows: slice) -> None:
        total, number = np.zeros(mean[rows].shape, np.float32), np.zeros(mean[rows].shape, np.int32)
        for frame in frames:
            usable = np.isfinite(frame.data[rows])
            if frame.flags is not None:
                usable &= frame.flags[rows] == 0
            np.add(total, frame.data[rows], out=total, where=usable)
            number += usable
        mean[rows] = total / np.maximum(number, 1)
        used[rows] = number > len(frames) // 2

    each(average, pieces(mean.shape[0]))
    return mean, used


def _light(
    own: Plane, used: NDArray[np.bool_], frames: int, excess: float, read_noise: float
) -> tuple[Plane, Plane]:
    """Return the rate of every pixel, and the variance of the means around it.

    The rate is the mean around the pixel, and as far as that varies by more than its noise, the
    pixel's own: the mean alone would be wrong on every slope, the pixel's own has its noise.
    """
    weight = np.maximum(uniform_filter(used.astype(np.float32), AROUND_PIXEL), AROUND_PIXEL**-2)

    def around(plane: Plane) -> Plane:
        mean = uniform_filter(np.where(used, plane, np.float32(0)), AROUND_PIXEL) / weight
        return np.asarray(mean, np.float32)

    mean = around(own)
    variance = np.maximum(around((own - mean) ** 2), np.finfo(np.float32).tiny)
    noise = np.asarray((excess * np.maximum(mean, 0) + read_noise**2) / frames, np.float32)
    part = np.sqrt(np.clip(1 - around(noise) / variance, 0, 1))
    return np.asarray(mean + part * (own - mean), np.float32), variance


def _edges(gain: float, noise: float) -> Array:
    """Return edges in output electrons: fine over the read noise, then up to 15 gains."""
    fine = noise * np.arange(-8, 8, 0.25)
    return np.concatenate((fine, 8 * noise + max(noise, gain / 4) * np.arange(61)))


def _counts(frame: Image, even: NDArray[np.bool_], step: int, edges: Array) -> NDArray[np.int64]:
    """Return the usable even pixels of a frame in each bin; those beyond count at the ends."""
    values = frame.data[::step][even & ~frame.flagged()[::step]]
    inside = np.clip(values[np.isfinite(values)], edges[0], edges[-1])
    return np.asarray(np.histogram(inside, edges)[0], np.int64)


def _probabilities(output: RegisterOutput, rates: NDArray[np.float32], edges: Array) -> Array:
    """Return the mean probability of each bin over pixels of these rates.

    What rates are below that of an empty pixel is noise of the mean by which pixels were chosen:
    their signals are lower by as much.
    """
    tails = np.zeros(len(edges))
    groups = np.array_split(np.sort(rates.astype(np.float64)), GROUPS)
    for group in groups:
        if group.size:
            entering = float(group.mean()) - output.mean(0.0)
            tail = output.tail(edges - min(entering, 0.0), max(entering, 0.0))
            tails += group.size / rates.size * tail
    tails[0], tails[-1] = 1.0, 0.0
    return -np.diff(tails)
