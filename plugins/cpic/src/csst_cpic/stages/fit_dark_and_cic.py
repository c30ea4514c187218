"""Dark current and clock-induced charge of every pixel from dark frames."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Annotated

import astropy.units as u
import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation

from csst_cpic.camera.agreement import (
    em_gain_of,
    exposure_time_second,
    read_noise_electron,
    require_shape,
    require_unit,
)
from csst_cpic.camera.calibration_sets import by, clean_stack
from csst_cpic.cosmic_rays.surroundings import TRAIL_ROWS, behind, tail_pixels
from csst_cpic.detector import Detector
from csst_cpic.register.dark_fit import DarkFit, analog_variance
from csst_cpic.register.dark_fit import fit_dark_and_cic as fit_pixels
from csst_cpic.register.detection_curve import DetectionCurve
from csst_cpic.register.register_output import RegisterOutput
from csst_cpic.stages.dark import RATE_UNIT
from csstcore.api import (
    Image,
    Meta,
    NotApplicable,
    Reference,
    Table,
    UnprocessableData,
    common_meta,
    metric,
    note_frames,
)

THRESHOLD = 0.4348
"""Electrons above which a photon is counted: where E1(T) exp(T) = 1, so that charge that arises in
the register, at any of its stages alike, counts as much as the mean signal has of it."""
LEAST_NOISES = 5.0
"""Read noises that the threshold is above zero at least; else the mean signal is taken."""
MOST_DETECTED = 0.8
"""Fraction of frames with a photon up to which a pixel's photons are counted. It is the detections
that decide, and far from the usual rate: choosing by the signal takes it where it came out high."""

MOSTLY = 0.5
"""Fraction of the frames of one exposure time."""


def fit_dark_and_cic(
    frames: Sequence[Image], detector: Reference[Detector]
) -> tuple[Annotated[Image, "dark"], Annotated[Image, "cic"], Annotated[Table, "dark_ramp"]]:
    """Fit dark current and clock-induced charge to every pixel of dark frames.

    The mean charge of a pixel is ``CIC + dark t`` with the exposure time t, fitted with weights by
    its noise. Photons are counted where the EM gain allows, which has half the variance of the
    mean signal; the signal itself is taken in pixels with a photon in more than four of five
    frames, and at low gain. Both hold, beside the charge that enters the register, what arises
    within it, as much as an average frame has. Cosmic rays are found among the frames of each
    exposure time.

    Parameters
    ----------
    frames
        Dark frames of one EM gain and two or more exposure times, in electron before
        multiplication; exposure time 0 counts.
    detector
        Stages of the register, and read noise where a frame has none.

    Returns
    -------
    dark
        electron / s, with variance; ``bad`` (0, variance 0) where fewer than two exposure times
        have values; ``saturated`` where the pixel is full in most frames of an exposure time. Both
        are so of a very hot pixel, and the next one, which takes what it spills, is ``bad``.
    cic
        electron per frame, likewise.
    dark_ramp
        One row for each exposure time: ``exposure_time`` (s), ``charge`` and ``charge_error``
        (electron; mean of the pixels that are not hot), ``fit`` and ``frames``. Metrics:
        ``dark_mean`` and ``cic_mean`` of those of these pixels that no warm one's tail or trail
        reaches, with ``_error``.

    Raises
    ------
    NotApplicable
        If all exposure times are 0: clock-induced charge for the linearity alone.
    UnprocessableData
        If the frames have several EM gains or one exposure time, or units or shapes do not fit.
    """
    if not frames:
        raise UnprocessableData("there is no dark frame")
    for image in frames:
        require_unit(image, u.electron)
        require_shape(image, detector.shape, "the active area of the detector")
    gains = sorted({em_gain_of(image) for image in frames})
    if len(gains) > 1:
        raise UnprocessableData(
            f"the dark frames have the EM gains {', '.join(f'{gain:g}' for gain in gains)}; "
            "expected one, with which clock-induced charge changes"
        )
    if not any(exposure_time_second(image) for image in frames):
        raise NotApplicable(f"EM gain {gains[0]:g}: there are frames of clocking only, no dark")
    noise = read_noise_electron(frames[0], detector)
    output = RegisterOutput.of_stages(gains[0], noise, detector.register_stages)
    sets = by(exposure_time_second, frames)
    counted = LEAST_NOISES * output.noise_electron <= THRESHOLD
    curve = DetectionCurve.of(output, THRESHOLD) if counted else None
    means = [_means(clean_stack(own, detector, dark=True), curve) for own in sets.values()]
    signal, counts, number = (np.array(planes) for planes in zip(*means, strict=True))
    if not number.any():
        raise UnprocessableData(f"no pixel of {len(frames)} dark frames has a value")
    seconds = np.array(list(sets))
    variance, rate = analog_variance(output), signal
    fit = fit_pixels(seconds, signal, number, variance)
    if curve is not None:
        faint = np.all(counts < curve.rate(np.array(MOST_DETECTED)), axis=0)
        by_counting = fit_pixels(seconds, counts, number, curve.frame_variance)
        fit = DarkFit(*(np.where(faint, c, a) for c, a in zip(by_counting, fit, strict=True)))
        variance, rate = curve.frame_variance, np.where(faint, counts, signal)
    known = np.isfinite(fit.dark_variance)
    usual = known & _usual(fit.dark, detector)
    _note(fit, usual & ~_near(known & ~usual, detector))
    ramp = _ramp(seconds, rate, number, fit, usual, variance)
    ramp["frames"] = np.array([len(own) for own in sets.values()], np.int32)
    note_frames(frames)
    meta = common_meta([image.meta for image in frames])
    full = _saturated(sets.values())
    dark, cic = (
        _image(plane, variance, unit, known, full, meta, frames[0])
        for plane, variance, unit in (
            (fit.dark, fit.dark_variance, RATE_UNIT),
            (fit.cic, fit.cic_variance, u.electron),
        )
    )
    return dark, cic, Table(ramp, meta)


def _means(
    stack: NDArray[np.float32], curve: DetectionCurve | None
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int32]]:
    """Return mean signal and mean of counted photons of every pixel, and the number of frames."""
    known = np.isfinite(stack)
    number = known.sum(axis=0, dtype=np.int32)
    total = np.where(known, stack, np.float32(0)).sum(axis=0, dtype=np.float64)
    signal = (total / np.maximum(number, 1)).astype(np.float32)
    if curve is None:
        return signal, signal, number
    detected = (stack > curve.threshold_electron).sum(axis=0, dtype=np.int32)
    return signal, curve.estimate(detected, np.maximum(number, 1))[0], number


def _usual(dark: NDArray[np.float32], detector: Detector) -> NDArray[np.bool_]:
    return np.asarray(dark < detector.warm_electron_per_s)


def _near(warm: NDArray[np.bool_], detector: Detector) -> NDArray[np.bool_]:
    """Return warm pixels, those around them, and those that their tails and trails reach."""
    around = np.asarray(binary_dilation(warm, np.ones((3, 3), bool)))
    return around | behind(warm, tail_pixels(detector), 1) | behind(around, TRAIL_ROWS, 0)


def _saturated(sets: Iterable[Sequence[Image]]) -> NDArray[np.bool_]:
    """Return the pixels that are full in most frames of any exposure time."""
    parts = [np.mean([frame.flagged("saturated") for frame in own], axis=0) for own in sets]
    return np.asarray(np.max(parts, axis=0) > MOSTLY)


def _ramp(
    seconds: NDArray[np.float64],
    rate: NDArray[np.float32],
    number: NDArray[np.int32],
    fit: DarkFit,
    usual: NDArray[np.bool_],
    frame_variance: Callable[[NDArray[np.float64]], NDArray[np.float64]],
) -> QTable:
    """Return the mean of the pixels at every exposure time, beside that of their fits."""
    used = usual & (number > 0)
    pixels = np.maximum(used.sum(axis=(1, 2)), 1)
    charge = rate.sum(axis=(1, 2), where=used, dtype=np.float64) / pixels
    frames_of_pixel = np.maximum(number, 1)
    inverse = (1 / frames_of_pixel).sum(axis=(1, 2), where=used) / pixels**2
    cic, dark = (float(plane[usual].mean(dtype=np.float64)) for plane in (fit.cic, fit.dark))
    return QTable(
        {
            "exposure_time": seconds * u.s,
            "charge": charge * u.electron,
            "charge_error": np.sqrt(frame_variance(charge) * inverse) * u.electron,
            "fit": (cic + dark * seconds) * u.electron,
        }
    )


def _note(fit: DarkFit, usual: NDArray[np.bool_]) -> None:
    pixels = np.count_nonzero(usual)
    if not pixels:
        raise UnprocessableData("no pixel has dark current below that of a warm one")
    for name in ("dark", "cic"):
        plane, variance = getattr(fit, name), getattr(fit, f"{name}_variance")
        metric(f"{name}_mean", float(plane[usual].mean(dtype=np.float64)))
        error = np.sqrt(variance[usual].sum(dtype=np.float64)) / pixels
        metric(f"{name}_mean_error", float(error))


def _image(
    plane: NDArray[np.float32],
    variance: NDArray[np.float32],
    unit: u.UnitBase,
    known: NDArray[np.bool_],
    full: NDArray[np.bool_],
    meta: Meta,
    first: Image,
) -> Image:
    result = Image(
        np.where(known, plane, np.float32(0)),
        unit,
        np.where(known, variance, np.float32(0)),
        np.zeros(plane.shape, np.uint16),
        meta=meta,
        flag_bits=first.flag_bits,
    )
    result.set_flag("bad", ~known)
    result.set_flag("saturated", full)
    return result
