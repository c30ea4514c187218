"""Combination of many frames into one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from csst_calib.combine_kernel import combine_pixels, load_usable, sorting_network
from csst_calib.tiles import row_tiles
from csstcore.api import Image, UnprocessableData, common_meta, metric, note_frames

TILE_BYTES = 64 * 1024**2
MASKING_FLAGS = ("bad", "saturated", "cosmic_ray", "trail")


def combine(
    images: Sequence[Image],
    *,
    clip_mad: Annotated[float, Field(gt=0)] = 5.0,
    weighted: bool = False,
) -> Annotated[Image, "combined"]:
    """Combine frames by the mean of what is left after median and MAD clipping.

    Per pixel a value is clipped if it is farther from the median than `clip_mad` times the
    larger of 1.4826 times the median absolute deviation and its own sigma, if it has one:
    the deviation of very few values is small by chance too often. (With the standard
    deviation instead, a lone cosmic ray among n frames can never exceed (n-1)/sqrt(n)
    sigma: 4.25 for n = 20.) Values flagged bad, saturated, cosmic_ray or trail, and values
    that are not finite, do not take part.

    The variance of the mean is the sum of the variances of the values used over their
    squared number (weighted: the inverse of the sum of the weights). If a frame has none, it
    is the scatter of the values over their number, whose relative error is
    sqrt(2 / (n - 1)): for few frames, run `estimate_variance` on each before.

    Memory: about 128 MB beside the result; every plane is read once, by tiles of rows.

    Parameters
    ----------
    images
        Frames of one shape and unit.
    clip_mad
        Clipping limit in normalised median absolute deviations.
    weighted
        Weight by the inverse variance: for frames of unequal exposure, whose variance is a
        smooth model (`estimate_variance`) and does not follow the noise.

    Returns
    -------
    combined
        float32 data and variance; flags: what all frames share, and ``bad`` (data 0,
        variance 0) where no value was usable. Its meta holds what the frames share. Metrics:
        ``combined_frames`` and ``clipped_fraction`` (of the values that take part).

    Raises
    ------
    UnprocessableData
        If there is no frame, shapes, units or flag bits differ, or weights are asked for and
        a frame has no variance.
    """
    first = _first_of_equals(images)
    rows, columns = first.shape
    variances = all(image.variance is not None for image in images)
    if weighted and not variances:
        raise UnprocessableData("a frame has no variance to be weighted by")
    data, variance = np.empty(first.shape, np.float32), np.empty(first.shape, np.float32)
    flags = np.zeros(first.shape, np.uint16)
    network = sorting_network(len(images))
    height = max(1, TILE_BYTES // (4 * columns * len(images) * (2 if variances else 1)))
    largest = len(images) * min(height, rows) * columns
    buffer = np.empty(largest, np.float32)
    noise_buffer = np.empty(largest if variances else 0, np.float32)
    usable = used = 0
    for tile in row_tiles(rows, height):
        size = (tile.stop - tile.start) * columns
        values = buffer[: len(images) * size].reshape(-1, size)
        sigmas_square = noise_buffer[: len(images) * size].reshape(-1, size)
        _load(images, tile, values, sigmas_square)
        usable += int(np.count_nonzero(np.isfinite(values)))
        count = np.empty(size, np.int32)
        combine_pixels(
            values,
            sigmas_square,
            network,
            np.float32(clip_mad),
            weighted,
            data[tile].reshape(-1),
            variance[tile].reshape(-1),
            count,
        )
        flags[tile] = _common_flags(images, tile)
        flags[tile][count.reshape(-1, columns) == 0] |= first.bit("bad")
        used += int(count.sum())
    note_frames(images)
    metric("clipped_fraction", 1 - used / max(usable, 1))
    return Image(
        data=data,
        unit=first.unit,
        variance=variance,
        flags=flags,
        meta=common_meta([image.meta for image in images]),
        flag_bits=first.flag_bits,
    )


def _first_of_equals(images: Sequence[Image]) -> Image:
    if not images:
        raise UnprocessableData("there is no frame to combine")
    first = images[0]
    for number, image in enumerate(images):
        if image.shape != first.shape or image.unit != first.unit:
            raise UnprocessableData(
                f"frame {number} has shape {image.shape} and unit {image.unit}; expected "
                f"{first.shape} and {first.unit} as the first"
            )
        if image.flags is not None and dict(image.flag_bits) != dict(first.flag_bits):
            raise UnprocessableData(
                f"frame {number} has the flag bits {dict(image.flag_bits)}; expected "
                f"{dict(first.flag_bits)} as the first"
            )
    return first


def _load(
    images: Sequence[Image],
    tile: slice,
    values: NDArray[np.float32],
    sigmas_square: NDArray[np.float32],
) -> None:
    """Fill `values` (inf where unusable) and `sigmas_square`, both (frames, pixels)."""
    no_flags = np.zeros(values.shape[1], np.uint16)
    for number, image in enumerate(images):
        bits = np.uint16(sum(int(image.flag_bits.get(name, 0)) for name in MASKING_FLAGS))
        flags = no_flags if image.flags is None else image.flags[tile].reshape(-1)
        load_usable(image.data[tile].reshape(-1), flags, bits, values[number])
        if sigmas_square.size and image.variance is not None:
            sigmas_square[number] = image.variance[tile].reshape(-1)


def _common_flags(images: Sequence[Image], tile: slice) -> NDArray[np.uint16]:
    if any(image.flags is None for image in images):
        return np.zeros((tile.stop - tile.start, images[0].shape[1]), np.uint16)
    planes = [image.flags[tile] for image in images if image.flags is not None]
    return np.asarray(np.bitwise_and.reduce(planes), np.uint16)
