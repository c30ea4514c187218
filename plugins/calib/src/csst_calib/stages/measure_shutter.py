"""Exposure-time offset of every pixel from short and long flats."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import astropy.units as u
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from csst_calib.agreement import exposure_time_second, require_unit
from csst_calib.stages.combine import MASKING_FLAGS
from csst_calib.tiles import row_tiles
from csstcore.api import Image, UnprocessableData, caveat, common_meta, metric, note_frames

TIME_RATIO = 10.0
"""Ratio of the longest to the shortest time from which an offset is told well."""
OUTLIER = 0.25
"""Pixels farther than this fraction from their cell's median are defects or cosmic rays."""

Values = NDArray[np.float64]


def measure_shutter(
    flats: Sequence[Image], *, cell_pixel: Annotated[int, Field(ge=4)] = 32
) -> Annotated[Image, "shutter"]:
    """Measure the exposure-time offset of every pixel from short and long flats.

    With a constant lamp the charge is ``k (t + d)``: a line through the mean charges of a
    cell at all nominal times t gives the offset d, true minus nominal time, as intercept
    over slope. Every frame has the same weight relative to its level, so that short frames
    give the offset. The travel of a shutter is smooth: between the centres of cells the map
    is interpolated linearly, and continued so beyond the outer ones.

    Parameters
    ----------
    flats
        Bias- and dark-subtracted flats in electrons, corrected for non-linearity, of at
        least two exposure times; saturated frames are left out.
    cell_pixel
        Size of a cell.

    Returns
    -------
    shutter
        s, with variance. Metrics: ``mean_offset_s``, ``largest_offset_s``.

    Raises
    ------
    UnprocessableData
        If there are fewer than two exposure times, or units or shapes do not fit.
    """
    for image in flats:
        require_unit(image, u.electron)
        if image.shape != flats[0].shape:
            raise UnprocessableData(
                f"a flat has shape {image.shape}; expected {flats[0].shape} as the first"
            )
    usable = [image for image in flats if _saturated(image) < 1e-3]
    seconds = np.array([exposure_time_second(image) for image in usable])
    if len(np.unique(seconds)) < 2:
        raise UnprocessableData(
            f"the unsaturated flats have {len(np.unique(seconds))} exposure times; expected at "
            "least 2"
        )
    if seconds.max() < TIME_RATIO * seconds.min():
        caveat(
            f"the flats' exposure times span a factor of {seconds.max() / seconds.min():.3g} "
            f"only; expected {TIME_RATIO:g} or more for a good offset"
        )
    rows, columns = flats[0].shape
    y_edges, x_edges = (
        np.linspace(0, n, max(2, n // cell_pixel) + 1).astype(int) for n in (rows, columns)
    )
    cells = [_cell_means(image, y_edges, x_edges) for image in usable]
    offset, variance = _offsets(
        np.stack([mean for mean, _ in cells]), np.stack([n for _, n in cells]), seconds
    )
    metric("mean_offset_s", float(offset.mean()))
    metric("largest_offset_s", float(np.abs(offset).max()))
    note_frames(usable)
    meta = common_meta([image.meta for image in usable])
    return Image(
        _interpolated(offset, y_edges, x_edges),
        u.s,
        _interpolated(variance, y_edges, x_edges, continued=False),
        meta=meta,
    )


def _saturated(image: Image) -> float:
    if image.flags is None:
        return 0.0
    bit = image.bit("saturated")
    return sum(int(np.count_nonzero(row & bit)) for row in image.flags) / image.flags.size


def _cell_means(
    image: Image, y_edges: NDArray[np.int_], x_edges: NDArray[np.int_]
) -> tuple[Values, Values]:
    """Return mean and number of the good pixels of every cell."""
    bits = np.uint16(sum(int(image.flag_bits.get(name, 0)) for name in MASKING_FLAGS))
    means, counts = (np.empty((len(y_edges) - 1, len(x_edges) - 1)) for _ in range(2))
    for j in range(len(means)):
        rows = slice(y_edges[j], y_edges[j + 1])
        for i in range(means.shape[1]):
            region = rows, slice(x_edges[i], x_edges[i + 1])
            data = image.data[region]
            median = float(np.median(data))
            good = np.abs(data - np.float32(median)) <= OUTLIER * abs(median)
            if image.flags is not None:
                good &= (image.flags[region] & bits) == 0
            counts[j, i] = np.count_nonzero(good)
            means[j, i] = data.mean(where=good, dtype=np.float64) if counts[j, i] else np.nan
    return means, counts


def _offsets(mean: Values, pixels: Values, seconds: Values) -> tuple[Values, Values]:
    """Return intercept over slope and its variance, shape (cells in y, cells in x)."""
    t = seconds[:, None, None]
    if not np.all(mean > 0):
        raise UnprocessableData("a part of a flat has a level of 0 or less, or no good pixel")
    weight = 1 / np.square(mean)
    total, first, second = weight.sum(0), (weight * t).sum(0), (weight * t * t).sum(0)
    y, ty = (weight * mean).sum(0), (weight * t * mean).sum(0)
    determinant = total * second - first**2
    slope, intercept = (
        (total * ty - first * y) / determinant,
        (second * y - first * ty) / determinant,
    )
    offset = intercept / slope
    # Photon noise of a cell's mean, carried through intercept / slope.
    share = weight * ((second - first * t) - offset * (total * t - first)) / determinant / slope
    return offset, np.sum(np.square(share) * mean / pixels, axis=0)


def _interpolated(
    cells: Values, y_edges: NDArray[np.int_], x_edges: NDArray[np.int_], *, continued: bool = True
) -> NDArray[np.float32]:
    """Return the cells interpolated linearly to pixels; `continued` beyond the outer centres."""
    weights = [_weights(edges, continued) for edges in (y_edges, x_edges)]
    along_x = cells @ weights[1].T
    result = np.empty((y_edges[-1], x_edges[-1]), np.float32)
    for rows in row_tiles(len(result)):
        result[rows] = weights[0][rows] @ along_x
    return result


def _weights(edges: NDArray[np.int_], continued: bool) -> Values:
    """Return the weights (pixels, cells) of linear interpolation between cell centres."""
    centres = (edges[1:] + edges[:-1] - 1) / 2
    pixel = np.arange(edges[-1], dtype=float)
    left = np.clip(np.searchsorted(centres, pixel) - 1, 0, len(centres) - 2)
    part = (pixel - centres[left]) / (centres[left + 1] - centres[left])
    if not continued:
        part = np.clip(part, 0, 1)
    weights = np.zeros((len(pixel), len(centres)))
    index = np.arange(len(pixel))
    weights[index, left], weights[index, left + 1] = 1 - part, part
    return weights
