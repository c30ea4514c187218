"""Variance of a frame from the mean of its series."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import astropy.units as u
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import convolve

from csst_cpic.camera.agreement import em_gain_of, read_noise_electron, require_shape, require_unit
from csst_cpic.detector import Detector
from csst_cpic.register.register_output import RegisterOutput
from csst_cpic.register.serial_charge import serial_rate
from csstcore.api import Image, InPlace, Mask, Reference, Table, each, pieces, replace

ENOUGH_ELECTRON = 50.0
"""Charge in all frames from which a pixel's own mean is good enough for a variance."""
FEW_ELECTRON = 25.0
"""Charge around a pixel from which that of its nearest neighbours is enough."""
NEAR = (1, 4, 6, 4, 1)
WIDE_PIXEL = 9
DEFECTS = ("bad", "hot", "warm")


def average_frames(
    frames: Sequence[Image], cosmic_rays: Sequence[Mask]
) -> Annotated[Image, "mean_frame"]:
    """Average the frames of a series without cosmic rays.

    Parameters
    ----------
    frames
        Of one shape and unit.
    cosmic_rays
        Where each of them is not to be used.

    Returns
    -------
    mean_frame
        Mean of each pixel, flagged ``cosmic_ray`` where no frame has a number. Where all frames
        together have less than 50 electrons it is the mean of 5 x 5 pixels (weights 1-4-6-4-1)
        around it, or of 9 x 9 if those hold less than 25 electrons: with a part in it, a pixel
        that by chance had an electron would get a larger variance (pulls of 0.92 at 0.03
        electron). More pixels would blur speckles.
    """
    first = frames[0]
    for frame in frames:
        require_unit(frame, first.unit)
        require_shape(frame, first.shape, "the first frame")
    sums = np.empty(first.shape, np.float32)
    count = np.empty(first.shape, np.float32)
    lasting = np.full(first.shape, np.iinfo(np.uint16).max, np.uint16)

    def average(rows: slice) -> None:
        total = np.zeros(sums[rows].shape, np.float64)
        number = np.zeros(sums[rows].shape, np.int32)
        for frame, hit in zip(frames, cosmic_rays, strict=True):
            data = frame.data[rows]
            used = np.isfinite(data) & ~hit.mask[rows]
            np.add(total, data, out=total, where=used)
            number += used
            lasting[rows] &= 0 if frame.flags is None else frame.flags[rows]
        sums[rows], count[rows] = total, number

    each(average, pieces(first.shape[0]))
    defects = replace(first, flags=lasting).flagged(*DEFECTS)
    mean = _mean_of_neighbours(sums, count, defects)
    expected = Image(mean, first.unit, meta=replace(first.meta, frame=None))
    expected.set_flag("cosmic_ray", count == 0)
    return expected


def _mean_of_neighbours(
    sums: NDArray[np.float32], count: NDArray[np.float32], defects: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Return sums over counts, of the pixels around one where its sum is small.

    Only faint pixels without defect are averaged, each without itself: they say nothing of
    bright ones, nor bright ones of them.
    """
    mean = np.divide(sums, np.maximum(count, 1), dtype=np.float32)
    few = (sums < ENOUGH_ELECTRON) & ~defects
    near, pixels = np.outer(NEAR, NEAR).astype(np.float32), len(NEAR) // 2
    near[pixels, pixels] = 0
    wide = np.ones((WIDE_PIXEL, WIDE_PIXEL), np.float32)
    wide[WIDE_PIXEL // 2, WIDE_PIXEL // 2] = 0
    left = few
    for kernel in (near, wide):
        total, weight = (
            convolve(np.where(few, plane, 0), kernel, mode="nearest") for plane in (sums, count)
        )
        mean[left] = total[left] / np.maximum(weight[left], 1)
        # electrons that the mean rests on: weights that differ are worth fewer pixels
        left = left & (total * (kernel.sum() / np.sum(kernel**2)) < FEW_ELECTRON)
    return mean


def estimate_variance(
    image: InPlace[Image],
    mean_frame: Image,
    detector: Reference[Detector],
    em_gain: Reference[Table] | None = None,
) -> Image:
    """Add read noise and the noise of multiplied charge to the variance.

    ``F^2 q + (sigma / G)^2`` electron^2 before multiplication, with the mean charge q of the
    pixel (light, dark current, clock-induced charge), the excess noise factor F^2 of the
    register (Robbins & Hadwen 2003), read noise sigma and EM gain G. The charge is that of the
    mean frame; what of it arose within the register, where only the stages that followed
    multiplied it, scatters less. A variance from the noisy pixel itself would be small where its
    noise is negative, and weighted means biased low.

    Parameters
    ----------
    image
        Electrons per frame before multiplication, with all its charge; the variance is changed
        in place, or made.
    mean_frame
        Mean of the series in the same unit.
    detector
        Stages of the register, and read noise where the frame has none.
    em_gain
        Column ``serial_rate``: electrons per pixel and frame that arise in the register, at the
        measured gain next to that of the frame. Without it none are assumed.

    Raises
    ------
    UnprocessableData
        If units or shapes do not fit, or there is no EM gain.
    """
    require_unit(image, u.electron)
    require_unit(mean_frame, u.electron, "mean frame")
    require_shape(image, mean_frame.shape, "the mean frame")
    gain, noise = em_gain_of(image), read_noise_electron(image, detector)
    serial = serial_rate(em_gain, gain)
    output = RegisterOutput.of_stages(gain, noise, detector.register_stages, serial)
    excess, within = np.float32(1 + output.spread), np.float32(output.mean(0.0))
    dark_variance = np.float32(output.variance(0.0))
    variance = np.zeros(image.shape, np.float32) if image.variance is None else image.variance

    def add(rows: slice) -> None:
        charge = np.maximum(mean_frame.data[rows] - within, 0)
        charge *= excess
        charge += dark_variance
        variance[rows] += charge

    each(add, pieces(image.shape[0]))
    return replace(image, variance=variance)
