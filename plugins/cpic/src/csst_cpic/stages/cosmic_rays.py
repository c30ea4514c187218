"""Cosmic rays in a series of frames, by the statistics of electron multiplication."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, TypeAlias

import astropy.units as u
import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.ndimage import median_filter
from scipy.special import ndtri

from csst_cpic.camera.agreement import em_gain_of, read_noise_electron, require_shape, require_unit
from csst_cpic.cosmic_rays.drift import Drift, drifting_levels, follow
from csst_cpic.cosmic_rays.growth import find_hits
from csst_cpic.cosmic_rays.hit_levels import hit_levels
from csst_cpic.cosmic_rays.stack_statistics import order_widths, pixel_statistics
from csst_cpic.detector import Detector
from csst_cpic.register.register_output import RegisterOutput
from csst_cpic.register.tail_table import tail_table
from csstcore.api import Image, InPlace, Mask, Reference, caveat, each, metric

Plane: TypeAlias = NDArray[np.float32]
Probability: TypeAlias = Annotated[float, Field(gt=1e-10, lt=0.5)]

OUTLIER = 1e-4
"""Probability beyond which a value takes no part in the mean of its pixel."""

TAIL = 0.05
"""The same of a pixel that continues the tail of a hit."""

FEWEST_NOISES = 500.0
"""Charge in read noises that may leave a tail: 0.2 % of it would be seen."""

TILE_VALUES = 2_000_000
"""Numbers of all frames in a tile of rows: 8 MB."""

PEAK = 3.0
"""Of a point source over the median of its 5 x 5 pixels, at most."""

SCATTER_SEEN = 8
MOTION_PIXEL = 0.3
"""Assumed motion of a star: in fewer frames it does not show in the scatter of a pixel."""

TOLD_APART = 3
"""Frames of which the one that was hit stands out."""


def flag_cosmic_rays(
    frames: Sequence[Image],
    detector: Reference[Detector],
    *,
    seed_probability: Probability = 1e-6,
    neighbour_probability: Probability = 2e-3,
) -> Annotated[Sequence[Mask], "cosmic_rays"]:
    """Find pixels hit by cosmic rays by comparing the frames of a series.

    The rate of a pixel is the mean over the series without outliers. A pixel is hit where it is
    brighter than it would be once in ``1 / seed_probability`` frames: by the exact tail of the
    compound Poisson-Gamma distribution with read noise, which reaches much farther than a
    Gaussian's. Pixels next to a hit, corners included, need `neighbour_probability` only; from a
    bright hit on, the tail that the register leaves is followed in the direction of reading.

    Parameters
    ----------
    frames
        Of one EM gain and exposure time, in electron. Pixels that are NaN are never hit.
    detector
        Stages of the register, and the read noise where a frame has none.
    seed_probability
        Chance that a pixel without a hit is taken for one.
    neighbour_probability
        The same beside a hit.

    Returns
    -------
    cosmic_rays
        True where hit. Metrics: ``cosmic_ray_pixels`` and ``cosmic_ray_fraction``.

    Raises
    ------
    UnprocessableData
        If frames are not in electron, have no EM gain or differ in shape.

    Notes
    -----
    Where the means of eight frames each differ more than by chance, the rate changes (a speckle
    that drifts): there it is that of a line through the nine frames before and after, without
    the frame itself, and what scatters about the lines more than the model, as a part of the
    light, is added to the noise. A pixel whose order statistics scatter more than the model says
    (a moving star, a changing speckle) gets that scatter added to its noise; in less than 8
    frames at least that of a motion by 0.3 pixels. Less than 3 frames hardly tell hits from
    light, and get a caveat: of two, the lower value is the rate; a single one is compared with
    three times the median of the 5 x 5 pixels around.
    """
    for frame in frames:
        require_unit(frame, u.electron)
        require_shape(frame, frames[0].shape, "the first frame")
    if len(frames) < TOLD_APART:
        caveat(f"cosmic rays are found in {len(frames)} frame(s); at least 3 tell them from light")
    first = frames[0]
    em_gain, noise = em_gain_of(first), read_noise_electron(first, detector)
    output = RegisterOutput.of_stages(em_gain, noise, detector.register_stages)
    rate, variability, drift = _rates(frames, output)
    probabilities = (seed_probability, neighbour_probability)
    levels = [_level(rate, variability, len(frames), output, chance) for chance in probabilities]
    tail = tail_table(output, TAIL)
    least = FEWEST_NOISES * output.noise_electron

    def find(number: int) -> Mask:
        frame = frames[number]
        state = np.empty(frame.shape, np.uint8)
        data = np.asarray(frame.data, np.float32)
        own, seed, neighbour = rate, *levels
        if drift.place.size:
            own = _changed(rate, drift.place, drift.rate[number])
            seed, neighbour = (
                _changed(plane, drift.place, _drifting_level(drift, number, output, probability))
                for plane, probability in zip(levels, probabilities, strict=True)
            )
        find_hits(data, own, seed, neighbour, tail, least, state)
        return Mask(state.view(np.bool_), frame.meta)

    masks = each(find, range(len(frames)))
    number = sum(int(np.count_nonzero(mask.mask)) for mask in masks)
    metric("cosmic_ray_pixels", number)
    metric("cosmic_ray_fraction", number / (len(frames) * rate.size))
    return masks


def set_flags(image: InPlace[Image], cosmic_rays: Mask) -> Image:
    """Flag the pixels of a frame that cosmic rays hit.

    Parameters
    ----------
    image
        The frame; its flag ``cosmic_ray`` is set.
    cosmic_rays
        Of `flag_cosmic_rays`.

    Returns
    -------
    image
        The same.

    Raises
    ------
    UnprocessableData
        If the shapes differ.
    """
    require_shape(image, cosmic_rays.mask.shape, "the cosmic rays")
    image.set_flag("cosmic_ray", cosmic_rays.mask)
    return image


def _rates(frames: Sequence[Image], output: RegisterOutput) -> tuple[Plane, Plane, Drift]:
    """Return rate and variability of every pixel and what drifts, by row tiles in threads."""
    shape = frames[0].shape
    rate, variability = np.empty(shape, np.float32), np.zeros(shape, np.float32)
    if len(frames) == 1:
        rate[:] = _surroundings(frames[0].data)
        return rate, variability, _joined([], 1)
    table, widths = tail_table(output, OUTLIER), order_widths(len(frames))

    def measure(rows: slice) -> Drift:
        values = np.stack([np.asarray(frame.data[rows], np.float32) for frame in frames])
        values = values.reshape(len(frames), -1)
        own, scatter = rate[rows].ravel(), variability[rows].ravel()
        drifting = np.empty(own.size, np.bool_)
        pixel_statistics(values, table, widths, own, scatter, drifting)
        place = np.flatnonzero(drifting)
        local, variance = np.empty((2, len(frames), place.size), np.float32)
        follow(values[:, place], own[place], scatter[place], table, local, variance)
        return Drift(place + rows.start * shape[1], local, variance)

    height = max(TILE_VALUES // (len(frames) * shape[1]), 1)
    tiles = (slice(y, min(y + height, shape[0])) for y in range(0, shape[0], height))
    drift = _joined(each(measure, tiles), len(frames))
    if len(frames) < SCATTER_SEEN:
        along_y, along_x = np.gradient(np.nan_to_num(rate))
        np.maximum(variability, MOTION_PIXEL**2 * (along_y**2 + along_x**2), out=variability)
    return rate, variability, drift


def _joined(parts: Sequence[Drift], frames: int) -> Drift:
    nothing = np.empty((frames, 0), np.float32)
    place = np.concatenate([np.empty(0, np.intp), *(part.place for part in parts)])
    rate, variance = (
        np.concatenate([nothing, *planes], axis=1)
        for planes in ([part.rate for part in parts], [part.variance for part in parts])
    )
    return Drift(place, rate, variance)


def _surroundings(data: Plane) -> Plane:
    """Return what a pixel of a single frame may have: by its surroundings, for want of others."""
    known = np.nan_to_num(data, posinf=0.0, neginf=0.0)
    return np.asarray(PEAK * median_filter(known, size=5), np.float32)


def _level(
    rate: Plane, variability: Plane, frames: int, output: RegisterOutput, probability: float
) -> Plane:
    level = np.empty_like(rate)
    sigma = -float(ndtri(probability))
    hit_levels(rate, variability, frames, tail_table(output, probability), sigma, level)
    return level


def _drifting_level(drift: Drift, frame: int, output: RegisterOutput, probability: float) -> Plane:
    level = np.empty(drift.place.size, np.float32)
    sigma = -float(ndtri(probability))
    table = tail_table(output, probability)
    drifting_levels(drift.rate[frame], drift.variance[frame], table, sigma, level)
    return level


def _changed(plane: Plane, place: NDArray[np.intp], values: Plane) -> Plane:
    """Return a copy of a plane with other values at some places."""
    result = plane.copy()
    result.ravel()[place] = values
    return result
