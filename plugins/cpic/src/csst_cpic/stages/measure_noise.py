"""Histogram of the signal of dark pixels beside the model of the register."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import astropy.units as u
import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from csst_cpic.camera.agreement import em_gain_of, read_noise_electron, require_shape, require_unit
from csst_cpic.detector import Detector
from csst_cpic.register.em_statistics import Array
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
)

SAMPLE = 4_000_000
"""Numbers from evenly spread rows that are enough for a histogram."""

GROUPS = 8
"""Of pixels with about the same rate, each with its own curve."""

SMOOTHED_PIXEL = 15
"""Width of the mean that gives the rate of a pixel, so that its noise does not."""


def measure_noise(
    frames: Sequence[Image],
    mean_frame: Image,
    detector: Reference[Detector],
    em_gain: Reference[Table] | None = None,
) -> Annotated[Table, "noise"]:
    """Compare the signals of dark pixels with what the register makes of their rates.

    Parameters
    ----------
    frames
        One series in electron, dark and clock-induced charge not subtracted; flagged pixels are
        left out.
    mean_frame
        Their mean: the darker half of its pixels is taken.
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
        If no pixel is left.
    UnprocessableData
        If frames are not in electron, or the shapes differ.
    """
    first = frames[0]
    for frame in frames:
        require_unit(frame, u.electron)
        require_shape(frame, mean_frame.shape, "the mean frame")
    gain, noise = em_gain_of(first), read_noise_electron(first, detector)
    serial = serial_rate(em_gain, gain)
    output = RegisterOutput.of_stages(gain, noise, detector.register_stages, serial)
    step = max(1, len(frames) * first.data.size // SAMPLE)
    rate = uniform_filter(np.nan_to_num(mean_frame.data), SMOOTHED_PIXEL)[::step]
    dark = (rate <= np.median(rate)) & ~mean_frame.flagged()[::step]
    edges = _edges(gain, noise)
    counts = sum(each(lambda frame: _counts(frame, dark, step, edges / gain), frames))
    number = int(np.sum(counts))
    if not number:
        raise NotApplicable("all pixels of the darker half are flagged")
    metric("noise_rate", float(rate[dark].mean()))
    metric("noise_pixels", number)
    columns = {
        "low": edges[:-1] * u.electron,
        "high": edges[1:] * u.electron,
        "pixels": np.asarray(counts, np.int64),
        "model": number * _probabilities(output, rate[dark], edges / gain),
    }
    return Table(QTable(columns), meta=common_meta([frame.meta for frame in frames]))


def _edges(gain: float, noise: float) -> Array:
    """Return edges in output electrons: fine over the read noise, then up to 15 gains."""
    fine = noise * np.arange(-8, 8, 0.25)
    return np.concatenate((fine, 8 * noise + max(noise, gain / 4) * np.arange(61)))


def _counts(frame: Image, dark: NDArray[np.bool_], step: int, edges: Array) -> NDArray[np.int64]:
    """Return the usable dark pixels of a frame in each bin; those beyond count at the ends."""
    values = frame.data[::step][dark & ~frame.flagged()[::step]]
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
