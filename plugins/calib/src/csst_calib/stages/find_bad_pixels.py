"""Mask of bad pixels from flat, dark and the scatter of dark frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import astropy.units as u
import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.ndimage import median_filter

from csst_calib.agreement import (
    exposure_time_second,
    per_channel,
    require_readout,
    require_shape,
    require_unit,
)
from csst_calib.readout import Readout
from csst_calib.stages.bad_pixels import SAMPLE_STEP
from csst_calib.stages.dark import RATE_UNIT
from csst_calib.tiles import ROWS, channel_tiles, row_tiles
from csstcore.api import Image, Reference, caveat, common_meta, metric, note_frames

RESPONSE, UNSTABLE, COLUMN = np.uint8(1), np.uint8(2), np.uint8(4)
"""Why a pixel is bad: values of the mask's data, added up."""
ENOUGH_FRAMES = 5
"""Dark frames from which a scatter can tell an unstable pixel from cosmic rays."""
NEIGHBOURS = 15
"""Columns whose median tells what a column's response should be."""

Rules = NDArray[np.uint8]


def find_bad_pixels(
    darks: Sequence[Image],
    flat: Reference[Image],
    dark: Reference[Image],
    bias: Reference[Image],
    readout: Reference[Readout],
    *,
    low: float = 0.5,
    high: float = 1.5,
    unstable_sigma: Annotated[float, Field(gt=1)] = 4.0,
    column_rows: Annotated[int, Field(ge=8)] = 64,
    column_deviation: Annotated[float, Field(gt=0)] = 0.1,
    column_fraction: Annotated[float, Field(gt=0, le=1)] = 0.3,
    survey_exposure_s: Annotated[float, Field(gt=0)] = 150.0,
) -> Annotated[Image, "bad_pixels"]:
    """Find pixels that are bad in every exposure.

    The documented rules of the survey camera, with the read noise RN: ``bad`` where the flat
    is below `low` or above `high` of its median; for the survey's exposure of t seconds ``hot``
    where dark x t >= RN^2 and ``warm`` from half of that. Beyond them, proposed:

    - unstable pixels: the scatter of a pixel's charge over the dark frames, from the median
      absolute deviation, exceeds `unstable_sigma` times its expected noise (five frames or
      more; cosmic rays do not raise it);
    - columns of low or high response: a piece of `column_rows` rows whose median differs
      from that of the 15 columns around by more than `column_deviation`, or of which more
      than `column_fraction` is bad already, is bad as a whole.

    Parameters
    ----------
    darks
        Overscan-corrected dark frames in electrons.
    flat, dark, bias
        Flat field, dark rate (electron / s) and master bias (electron).
    readout
        Geometry of the channels.
    low, high
        Limits in units of the flat's median.
    unstable_sigma
        Limit of the scatter in units of the expected noise.
    column_rows
        Length of the pieces of columns.
    column_deviation
        Largest relative deviation of a column's response.
    column_fraction
        Largest fraction of bad pixels of a piece.
    survey_exposure_s
        Exposure for which pixels are called hot or warm.

    Returns
    -------
    bad_pixels
        Flags ``bad``, ``hot``, ``warm``; data (uint8) say why a pixel is bad: 1 response,
        2 unstable, 4 column, added up. Metrics: ``bad_pixels``, ``unstable_pixels``,
        ``bad_column_pixels``, ``hot_pixels``, ``warm_pixels``.

    Raises
    ------
    UnprocessableData
        If shapes or units do not fit.
    """
    for image in darks:
        require_unit(image, u.electron)
        require_readout(image, readout)
    for name, reference in (("flat", flat), ("dark", dark), ("bias", bias)):
        require_shape(darks[0], reference, name)
    require_unit(dark, RATE_UNIT, "dark")
    require_unit(bias, u.electron, "bias")
    result = Image(
        np.zeros(readout.shape, np.uint8),
        flags=np.zeros(readout.shape, np.uint16),
        meta=common_meta([image.meta for image in darks]),
        flag_bits=darks[0].flag_bits,
    )
    rules = result.data
    median = float(np.median(flat.data[::SAMPLE_STEP, ::SAMPLE_STEP]))
    for rows in row_tiles(readout.shape[0]):
        good = (flat.data[rows] >= low * median) & (flat.data[rows] <= high * median)
        rules[rows][~good] |= RESPONSE
    if len(darks) >= ENOUGH_FRAMES:
        _mark_unstable(darks, dark, bias, readout, unstable_sigma, rules)
    else:
        caveat(f"{len(darks)} dark frames do not tell unstable pixels; {ENOUGH_FRAMES} would")
    noise = per_channel(darks[0].meta.read_noise, u.electron, readout, "read noise")
    for channel, sigma in zip(readout, noise, strict=True):
        region = channel.active
        _mark_columns(flat, region, column_rows, column_deviation, column_fraction, rules)
        _mark_hot(dark, region, float(sigma) ** 2 / survey_exposure_s, result)
    result.set_flag("bad", rules != 0)
    for name, bit in (("unstable_pixels", UNSTABLE), ("bad_column_pixels", COLUMN)):
        metric(name, int(np.count_nonzero(rules & bit)))
    for name in ("bad", "hot", "warm"):
        metric(f"{name}_pixels", int(np.count_nonzero(result.flagged(name))))
    note_frames(darks)
    return result


def _mark_unstable(
    darks: Sequence[Image],
    dark: Image,
    bias: Image,
    readout: Readout,
    limit: float,
    rules: Rules,
) -> None:
    """Mark pixels whose scatter over the frames is too large for their noise."""
    noise = per_channel(darks[0].meta.read_noise, u.electron, readout, "read noise")
    for channel, region in channel_tiles(readout, ROWS):
        rate = dark.data[region]
        pulls = []
        for image in darks:
            charge = rate * np.float32(exposure_time_second(image))
            sigma = np.sqrt(noise[channel.index] ** 2 + np.maximum(charge, 0))
            pulls.append((image.data[region] - bias.data[region] - charge) / sigma)
        stack = np.stack(pulls)
        scatter = 1.4826 * np.median(np.abs(stack - np.median(stack, axis=0)), axis=0)
        rules[region][scatter > limit] |= UNSTABLE


def _mark_columns(
    flat: Image,
    region: tuple[slice, slice],
    piece_rows: int,
    deviation: float,
    fraction: float,
    rules: Rules,
) -> None:
    """Mark pieces of a channel's columns that are off their neighbours, or mostly bad."""
    first, last, columns = region[0].start, region[0].stop, region[1]
    for piece in row_tiles(last - first, piece_rows):
        part = slice(first + piece.start, first + piece.stop), columns
        level = np.median(flat.data[part], axis=0)
        expected = median_filter(level, size=NEIGHBOURS, mode="nearest")
        off = np.abs(level - expected) > deviation * expected
        off |= np.mean(rules[part] != 0, axis=0) > fraction
        rules[part][:, off] |= COLUMN


def _mark_hot(
    dark: Image, region: tuple[slice, slice], limit_electron_per_s: float, result: Image
) -> None:
    """Flag hot and warm pixels of a channel."""
    assert result.flags is not None  # noqa: S101 - made by the caller
    rate, flags = dark.data[region], result.flags[region]
    hot = rate >= limit_electron_per_s
    flags[hot] |= result.bit("hot")
    flags[(rate > limit_electron_per_s / 2) & ~hot] |= result.bit("warm")
