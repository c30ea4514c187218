"""Rates by counting photons, where the EM gain lifts single electrons out of the read noise."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated

import astropy.units as u
import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.ndimage import maximum_filter, uniform_filter

from csst_cpic.camera.agreement import em_gain_of, read_noise_electron, require_shape, require_unit
from csst_cpic.cosmic_rays.surroundings import surroundings
from csst_cpic.detector import Detector
from csst_cpic.register.detection_curve import DetectionCurve
from csst_cpic.register.register_output import RegisterOutput
from csst_cpic.register.serial_charge import serial_rate
from csstcore.api import (
    Image,
    NotApplicable,
    Reference,
    Table,
    UnprocessableData,
    each,
    metric,
    pieces,
    replace,
)

AROUND_PIXEL = 9
FEW = 20
DISTINCT = 4.0
"""Standard deviations above its surroundings that make a pixel distinct."""

RING = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], np.bool_)
ALL_DETECTED = 1e-4
"""Chance of a detection in every frame from which rates are not counted: those that remain would
be the faint draws only. With 100 frames it is reached at 2.6 electron, with 40 at 1.7."""

LASTING = ("bad", "hot", "warm")
"""Flags that the rate keeps, where every frame has them: rows are lost in one frame."""


def count_photons(
    frames: Sequence[Image],
    detector: Reference[Detector],
    em_gain: Reference[Table] | None = None,
    *,
    threshold_noises: Annotated[float, Field(gt=2)] = 5.0,
    least_gain_over_noise: Annotated[float, Field(gt=0)] = 10.0,
) -> Annotated[Image, "rate"]:
    """Measure the electrons per frame by counting in how many frames a pixel is detected.

    A pixel is detected where it exceeds the threshold. From the fraction of frames in which it
    was, the rate follows by the exact probability with multiplication, read noise and charge
    made in the register. Compared with the mean, this spares the excess noise.

    Parameters
    ----------
    frames
        One series in electron, dark and clock-induced charge not subtracted. Pixels flagged
        ``cosmic_ray``, those around them and in their tails, and those without a number are left
        out frame by frame: a tenth of an electron there counts as one.
    detector
        Stages of the register, and the read noise where a frame has none.
    em_gain
        Column ``serial_rate``: electrons per pixel and frame that arise in the register, at the
        measured gain next to that of the frames. Without it none are assumed, nor where it is
        less than three times its error (``serial_rate_error``).
    threshold_noises
        Threshold in read noises: noise alone exceeds 5 in 3 of ten million pixels.
    least_gain_over_noise
        EM gain over read noise from which photons can be counted: at 10 with the threshold at 5
        read noises, 61 % of the electrons are detected, at 50 it is 90 %.

    Returns
    -------
    rate
        Electron per frame, as the mean of many frames would give it: dark current and
        clock-induced charge are in it, and its serial part as it is in a mean. Low rates may come
        out below 0. Flagged ``saturated`` where every frame detected something: then the rate is
        a lower limit; and where that has a chance of 1e-4 or more by the brightest pixel around,
        whatever the pixel itself had: else only its low results would stay (from 2.6 electron
        with 100 frames, 1.7 with 40; counting is no better than the mean from 1.3 on). Variances
        of few detections are those of the surroundings. NaN and flagged ``cosmic_ray`` where no
        frame could be used. Metrics: ``counted_frames`` and ``uncountable_pixels``.

    Raises
    ------
    NotApplicable
        If the EM gain is too low.
    UnprocessableData
        If frames are not in electron, or differ in shape or EM gain.
    """
    first = frames[0]
    gain, noise = em_gain_of(first), read_noise_electron(first, detector)
    for frame in frames:
        require_unit(frame, u.electron)
        require_shape(frame, first.shape, "the first frame")
        if em_gain_of(frame) != gain:
            raise UnprocessableData(
                f"the EM gains are {gain:g} and {em_gain_of(frame):g}; expected one series"
            )
    if gain < least_gain_over_noise * noise:
        raise NotApplicable(
            f"the EM gain is {gain:g} at a read noise of {noise:g} electron; photons are counted "
            f"from a gain of {least_gain_over_noise * noise:g} on"
        )
    serial = serial_rate(em_gain, gain)
    output = RegisterOutput.of_stages(gain, noise, detector.register_stages, serial)
    curve = _curve(output, threshold_noises * output.noise_electron)
    detected, used = np.zeros(first.shape, np.int32), np.zeros(first.shape, np.int32)
    common = np.full(first.shape, np.iinfo(np.uint16).max, np.uint16)

    usable = each(lambda frame: _usable(frame, detector), frames)

    def count(rows: slice) -> None:
        for frame, counts in zip(frames, usable, strict=True):
            used[rows] += counts[rows]
            common[rows] &= 0 if frame.flags is None else frame.flags[rows]
            detected[rows] += counts[rows] & (frame.data[rows] > curve.threshold_electron)

    each(count, pieces(first.shape[0]))
    rate, _ = curve.estimate(detected, np.maximum(used, 1))
    always = replace(first, flags=common)
    usual = ~always.flagged(*LASTING)
    fraction = _expected_fraction(detected, used, usual)
    exact = curve.frame_variance(curve.rate(fraction)) / np.maximum(used, 1)
    variance = exact.astype(np.float32)
    rate += np.float32(output.mean(0.0))
    rate[used == 0], variance[used == 0] = np.nan, np.nan
    meta = replace(first.meta, frame=None, end_time=frames[-1].meta.end_time)
    bits = dict(first.flag_bits)
    result = Image(rate, u.electron, variance, wcs=first.wcs, meta=meta, flag_bits=bits)
    for name in LASTING:
        result.set_flag(name, always.flagged(name))
    full = ((detected == used) | _too_bright(fraction, used, usual)) & (used > 0)
    result.set_flag("saturated", full)
    result.set_flag("cosmic_ray", used == 0)
    metric("counted_frames", len(frames))
    metric("uncountable_pixels", int(np.count_nonzero(full | (used == 0))))
    return result


def _usable(frame: Image, detector: Detector) -> NDArray[np.bool_]:
    """Return the pixels that hold nothing of a cosmic ray."""
    valid = np.asarray(np.isfinite(frame.data))
    if frame.flags is not None:
        valid &= ~surroundings(frame, frame.flagged("cosmic_ray"), detector)
    return valid


@lru_cache(maxsize=8)
def _curve(output: RegisterOutput, threshold_electron: float) -> DetectionCurve:
    return DetectionCurve.of(output, threshold_electron)


def _expected_fraction(
    detected: NDArray[np.int32], used: NDArray[np.int32], usual: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return the probability of a detection, for the variance: of a pixel and its surroundings.

    The fewer the detections, the more a variance made of them alone would follow their chance:
    a pixel without any would be known exactly. So the surroundings, without pixels that stand out
    of them, count as much as `FEW` detections, unless the pixel itself stands out.
    """
    likely = _surroundings(detected, used, usual)
    distinct = detected > likely + DISTINCT * np.sqrt(likely + 1)
    likely = _surroundings(detected, used, usual & ~distinct)
    distinct = detected > likely + DISTINCT * np.sqrt(likely + 1)
    weight = np.where(distinct, 1.0, likely / (likely + FEW))
    expected = weight * detected + (1 - weight) * likely
    return np.asarray(np.clip(expected, 0.0, used - 0.5) / np.maximum(used, 1))


def _too_bright(
    fraction: NDArray[np.float64], used: NDArray[np.int32], usual: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Return where all frames may detect something, as the brightest pixel around has it."""
    brightest = maximum_filter(np.where(usual & (used > 0), fraction, 0.0), footprint=RING)
    return np.asarray(brightest**used >= ALL_DETECTED)


def _surroundings(
    detected: NDArray[np.int32], used: NDArray[np.int32], usual: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return the detections that usual pixels around would have in the frames of each."""
    parts = (np.where(usual, plane, 0).astype(np.float32) for plane in (detected, used))
    hits, frames = (uniform_filter(part, AROUND_PIXEL) for part in parts)
    return np.asarray(used * (hits / np.maximum(frames, 1 / AROUND_PIXEL**2)), np.float64)
