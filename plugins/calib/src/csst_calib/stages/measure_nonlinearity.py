"""Non-linearity of the amplifiers from a ramp of flat exposures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import astropy.units as u
import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray
from pydantic import Field

from csst_calib.agreement import exposure_time_second, require_readout, require_unit
from csst_calib.readout import Readout
from csst_calib.tiles import spread_rows
from csstcore.api import (
    Image,
    Reference,
    Table,
    UnprocessableData,
    common_meta,
    metric,
    note_frames,
)

OUTLIER = 0.25
"""Pixels farther than this fraction from the median are defects or cosmic rays."""
SATURATED = 1e-3
"""Fraction of saturated pixels from which a channel's mean is no measure of its light."""


def measure_nonlinearity(
    flats: Sequence[Image],
    readout: Reference[Readout],
    *,
    order: Annotated[int, Field(ge=1, le=3)] = 2,
) -> Annotated[Table, "nonlinearity"]:
    """Measure the non-linearity of every channel from flats of a constant lamp.

    The true signal goes with the exposure time t: ``k t = m (1 + c1 m + c2 m^2)`` is linear
    in 1/k, c1/k, c2/k, which are fitted to the mean m of each frame, weighted by
    1/t (equal relative errors).

    Parameters
    ----------
    flats
        Bias-subtracted flats in electrons, of at least ``order + 2`` exposure times. A
        channel in which more than a thousandth of the pixels is saturated takes no part.
    readout
        Geometry of the channels.
    order
        Number of coefficients per channel.

    Returns
    -------
    nonlinearity
        One row per channel: ``channel`` (from 1), ``coefficient`` (c1, c2, ... as
        `correct_nonlinearity` takes them), ``largest_signal`` (electron) and ``residual``
        (largest relative deviation). Metric: ``largest_residual``.

    Raises
    ------
    UnprocessableData
        If there are too few exposure times, or units or shapes do not fit.
    """
    for image in flats:
        require_unit(image, u.electron)
        require_readout(image, readout)
    seconds = np.array([exposure_time_second(image) for image in flats])
    coefficients, largest, residuals = [], [], []
    for channel in readout:
        level = np.array([_level(image, channel.active) for image in flats])
        usable = np.isfinite(level)
        signal, times = level[usable], seconds[usable]
        if len(np.unique(times)) < order + 2:
            raise UnprocessableData(
                f"channel {channel.index + 1}: the unsaturated flat frames have "
                f"{len(np.unique(times))} exposure times; expected at least {order + 2} for "
                f"{order} coefficients"
            )
        values, residual = _fit(signal, times, order)
        coefficients.append(values)
        largest.append(float(signal.max()))
        residuals.append(residual)
    table = QTable()
    table["channel"] = np.arange(1, readout.channels + 1, dtype=np.int32)
    table["coefficient"] = np.array(coefficients)
    table["largest_signal"] = u.Quantity(largest, u.electron)
    table["residual"] = np.array(residuals)
    metric("largest_residual", max(residuals))
    note_frames(flats)
    return Table(table, common_meta([image.meta for image in flats]))


def _level(image: Image, region: tuple[slice, slice]) -> float:
    """Return the mean of the channel's pixels, without far outliers; nan if it is saturated.

    Not the median: the travel of a shutter averages out over a channel, and the median of a
    pattern that depends on the exposure time does not stay where its mean is.
    """
    data = spread_rows(image.data[region])
    if image.flags is not None:
        saturated = (spread_rows(image.flags[region]) & image.bit("saturated")) != 0
        if np.count_nonzero(saturated) > SATURATED * saturated.size:
            return float("nan")
        data = data[~saturated]
    median = float(np.median(data))
    return float(data[np.abs(data - median) <= OUTLIER * abs(median)].mean(dtype=np.float64))


def _fit(
    signal: NDArray[np.float64], seconds: NDArray[np.float64], order: int
) -> tuple[NDArray[np.float64], float]:
    """Return the coefficients and the largest relative deviation from linearity left."""
    scale = signal.max()
    powers = np.arange(1, order + 2)
    design = (signal[:, None] / scale) ** powers / seconds[:, None]
    solution = np.linalg.lstsq(design, np.ones(len(seconds)), rcond=None)[0]
    residual = float(np.abs(design @ solution - 1).max())
    return solution[1:] / solution[0] / scale ** powers[:-1], residual
