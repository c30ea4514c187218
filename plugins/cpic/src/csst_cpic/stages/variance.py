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
from csst_cpic.register.em_statistics import excess_noise_factor
from csstcore.api import Image, InPlace, Mask, Reference, each, pieces, replace

ENOUGH_ELECTRON = 50.0
"""Charge in all frames from which a pixel's own mean is good enough for a variance."""
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
        together have less than 50 electrons it is the mean of 5 x 5 pixels (weights 1-4-6-4-1):
        in the noise of few electrons a pixel would be its own measure. More pixels would blur
        speckles.
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
    """Return sums over counts, of 5 x 5 pixels where the sum is small.

    Only faint pixels without defect are averaged: they say nothing of bright ones, nor bright
    ones of them.
    """
    kernel = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]).astype(np.float32)
    mean = np.divide(sums, np.maximum(count, 1), dtype=np.float32)
    few = (sums < ENOUGH_ELECTRON) & ~defects
    total, weight = (
        convolve(np.where(few, plane, 0), kernel, mode="nearest") for plane in (sums, count)
    )
    mean[few] = total[few] / np.maximum(weight[few], 1)
    return mean


def estimate_variance(
    image: InPlace[Image], mean_frame: Image, detector: Reference[Detector]
) -> Image:
    """Add read noise and the noise of multiplied charge to the variance.

    ``F^2 q + (sigma / G)^2`` electron^2 before multiplication, with the mean charge q of the
    pixel (light, dark current, clock-induced charge), the excess noise factor F^2 of the
    register (Robbins & Hadwen 2003), read noise sigma and EM gain G. The charge is that of the
    mean frame: a variance from the noisy pixel itself would be small where its noise is
    negative, and weighted means biased low.

    Parameters
    ----------
    image
        Electrons per frame before multiplication, with all its charge; the variance is changed
        in place, or made.
    mean_frame
        Mean of the series in the same unit.
    detector
        Stages of the register, and read noise where the frame has none.

    Raises
    ------
    UnprocessableData
        If units or shapes do not fit, or there is no EM gain.
    """
    require_unit(image, u.electron)
    require_unit(mean_frame, u.electron, "mean frame")
    require_shape(image, mean_frame.shape, "the mean frame")
    em_gain = em_gain_of(image)
    excess = np.float32(excess_noise_factor(em_gain, detector.register_stages))
    read_variance = np.float32((read_noise_electron(image, detector) / em_gain) ** 2)
    variance = np.zeros(image.shape, np.float32) if image.variance is None else image.variance

    def add(rows: slice) -> None:
        charge = np.maximum(mean_frame.data[rows], 0)
        charge *= excess
        charge += read_variance
        variance[rows] += charge

    each(add, pieces(image.shape[0]))
    return replace(image, variance=variance)
