"""Overscan subtraction and assembly of the channels."""

from __future__ import annotations

from typing import Annotated

import astropy.units as u
import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.ndimage import median_filter, uniform_filter1d

from csst_calib.readout import Channel, Readout
from csst_calib.tiles import row_tiles
from csstcore.api import Image, Reference, UnprocessableData, each, metric, replace

CLIP_SIGMA = 5.0


def subtract_overscan(
    image: Image,
    readout: Reference[Readout],
    *,
    window_rows: Annotated[int, Field(ge=1)] = 101,
    skip_columns: Annotated[int, Field(ge=0)] = 2,
) -> Annotated[Image, "image"]:
    """Subtract the overscan level of every channel and assemble the active area.

    Per channel and row the level is the mean of the serial overscan pixels within 5 sigma
    (of the median absolute deviation) of the running median, averaged over `window_rows`
    rows: the noise of a single row's 16 pixels would add some 8 % of the read-noise
    variance to that row. Cosmic rays in the overscan are clipped. The parallel overscan is
    not used: it is read after the frame and says nothing about the level at a given row;
    structure along columns is in the master bias. A camera without overscan keeps its
    level, for the master bias to remove.

    Parameters
    ----------
    image
        Raw frame in adu, any integer or float type, shape ``readout.raw_shape``.
    readout
        Geometry of the raw frame.
    window_rows
        Rows over which the level is averaged; 1 takes every row by itself.
    skip_columns
        First overscan columns left out: they hold charge trailed from the last active ones.

    Returns
    -------
    image
        Active area in adu, float32, shape ``readout.shape``, with the flag ``saturated``
        where the raw value reached ``readout.saturation_adu``. Metrics: ``overscan_level``
        and ``overscan_noise``, medians over the channels in adu.

    Raises
    ------
    UnprocessableData
        If the frame has another shape than the geometry says.
    """
    if image.shape != readout.raw_shape:
        raise UnprocessableData(
            f"the raw frame has shape {image.shape}; expected {readout.raw_shape} by the "
            "readout geometry"
        )
    data = np.empty(readout.shape, np.float32)
    flags = np.zeros(readout.shape, np.uint16)
    saturated = image.bit("saturated")

    def assemble(channel: Channel) -> tuple[float, float]:
        level, noise = _level(image.data, channel, window_rows, skip_columns)
        raw, target, flag = image.data[channel.raw], data[channel.active], flags[channel.active]
        for rows in row_tiles(len(raw)):
            np.subtract(raw[rows], level[rows, None], out=target[rows], dtype=np.float32)
            flag[rows][raw[rows] >= readout.saturation_adu] = saturated
        return float(np.median(level)), noise

    levels = each(assemble, readout)
    metric("overscan_level", float(np.median([level for level, _ in levels])))
    metric("overscan_noise", float(np.median([noise for _, noise in levels])))
    return replace(image, data=data, unit=u.adu, variance=None, flags=flags)


def _level(
    raw: NDArray[np.generic], channel: Channel, window_rows: int, skip_columns: int
) -> tuple[NDArray[np.float32], float]:
    """Return the level of every row (adu, shape (rows,)) and the noise of one pixel."""
    overscan = np.asarray(raw[channel.overscan], np.float64)
    rows, columns = overscan.shape
    if columns == 0:
        return np.zeros(rows, np.float32), 0.0
    if columns > skip_columns:
        keep = slice(0, columns - skip_columns) if channel.leftwards else slice(skip_columns, None)
        overscan = overscan[:, keep]
    rough = median_filter(np.median(overscan, axis=1), size=window_rows, mode="nearest")
    deviation = overscan - rough[:, None]
    # Raw values are whole numbers: the deviation's median can be 0 although there is noise.
    sigma = max(1.4826 * float(np.median(np.abs(deviation))), 0.5)
    kept = np.abs(deviation) <= CLIP_SIGMA * sigma
    total = uniform_filter1d(
        np.where(kept, deviation, 0.0).sum(axis=1), window_rows, mode="nearest"
    )
    count = uniform_filter1d(kept.sum(axis=1, dtype=np.float64), window_rows, mode="nearest")
    mean = np.divide(total, count, out=np.zeros(rows), where=count > 0)
    noise = float(np.std(deviation[kept])) if kept.any() else 0.0
    return (rough + mean).astype(np.float32), noise
