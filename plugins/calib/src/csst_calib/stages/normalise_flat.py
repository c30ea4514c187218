"""Normalisation of flat-field frames."""

from __future__ import annotations

from typing import Annotated

import astropy.units as u
import numpy as np
from numpy.polynomial import legendre
from numpy.typing import NDArray
from pydantic import Field

from csst_calib.agreement import require_readout
from csst_calib.readout import Readout
from csst_calib.stages.bad_pixels import SAMPLE_STEP
from csst_calib.stages.variance import cell_medians
from csst_calib.tiles import row_tiles
from csstcore.api import Image, InPlace, Reference, UnprocessableData, metric, replace

MESH_PIXEL = 64
SATURATED = 0.01
"""Fraction of saturated pixels from which the level of a frame is not its mean."""
CELLS = 4
"""Least number of cells of a channel along each axis: within a channel, slope and level differ."""


def normalise_flat(
    image: InPlace[Image],
    readout: Reference[Readout],
    *,
    illumination_degree: Annotated[int, Field(ge=0, le=6)] = 0,
) -> Image:
    """Scale a flat-field frame to unit mean, with or without the lamp's illumination.

    With a degree of 1 or more the large-scale illumination is divided out: a polynomial in
    x and y is fitted to the logarithm of the medians of cells of up to 64 pixels together with one
    factor per channel, and only the polynomial is divided. So the steps between channels,
    which are gain, stay in the flat. A trend of the detector's own response cannot be told
    from the lamp's and goes with it.

    Parameters
    ----------
    image
        Bias- and dark-subtracted flat frame, changed in place; becomes dimensionless.
    readout
        Geometry of the channels.
    illumination_degree
        Largest total degree of the polynomial; 0 keeps the illumination.

    Raises
    ------
    UnprocessableData
        If the frame's level is not positive, or a cell's with a degree of 1 or more; if more
        than a hundredth of the pixels is saturated.
        Metric: ``flat_level``, the mean by which the frame was divided.
    """
    require_readout(image, readout)
    _require_unsaturated(image)
    trend = _illumination(image, readout, illumination_degree) if illumination_degree else None
    level = _level(image, trend)
    if not level > 0:
        raise UnprocessableData(f"the flat frame has the mean level {level}; expected more than 0")
    for rows in row_tiles(image.shape[0]):
        factor = 1 / level if trend is None else 1 / (level * trend.evaluate(rows))
        image.data[rows] *= np.asarray(factor, np.float32)
        if image.variance is not None:
            image.variance[rows] *= np.asarray(np.square(factor), np.float32)
    metric("flat_level", level)
    return replace(image, unit=u.dimensionless_unscaled)


def _require_unsaturated(image: Image) -> None:
    if image.flags is None:
        return
    sample = image.flags[::SAMPLE_STEP, ::SAMPLE_STEP] & image.bit("saturated")
    fraction = np.count_nonzero(sample) / sample.size
    if fraction > SATURATED:
        raise UnprocessableData(
            f"{100 * fraction:.3g} % of the flat frame is saturated; expected at most "
            f"{100 * SATURATED:g} %"
        )


class _Trend:
    """Exponential of a two-dimensional Legendre series over an image."""

    def __init__(self, coefficients: NDArray[np.float64], shape: tuple[int, int]) -> None:
        self.coefficients = coefficients
        self.y, self.x = (_unit_interval(np.arange(size), size) for size in shape)

    def evaluate(self, rows: slice, step: int = 1) -> NDArray[np.float64]:
        """Return the trend of every `step`-th column in the given rows."""
        grid = legendre.leggrid2d(self.y[rows], self.x[::step], self.coefficients)
        return np.asarray(np.exp(grid))


def _unit_interval(pixel: NDArray[np.generic], size: int) -> NDArray[np.float64]:
    return np.asarray((2 * np.asarray(pixel, np.float64) + 1) / size - 1)


def _channel_shape(readout: Readout) -> tuple[int, int]:
    return readout.channel_rows, readout.channel_columns


def _illumination(image: Image, readout: Readout, degree: int) -> _Trend:
    """Fit the trend: log of cell medians = polynomial without constant + channel's constant."""
    cell = max(1, min(MESH_PIXEL, *(size // CELLS for size in _channel_shape(readout))))
    y, x, level, member = [], [], [], []
    for channel in readout:
        rows, columns = channel.active
        cells = cell_medians(image.data[channel.active], cell)
        centres = (
            np.linspace(part.start, part.stop, 2 * count + 1)[1::2] - 0.5
            for part, count in zip((rows, columns), cells.shape, strict=True)
        )
        grid = np.meshgrid(*centres, indexing="ij")
        y.append(_unit_interval(grid[0].ravel(), image.shape[0]))
        x.append(_unit_interval(grid[1].ravel(), image.shape[1]))
        level.append(cells.ravel())
        member.append(np.full(cells.size, channel.index))
    values = np.concatenate(level)
    if not np.all(values > 0):
        raise UnprocessableData("a part of the flat frame has a level of 0 or less")
    terms = [(j, i) for j in range(degree + 1) for i in range(degree + 1) if 0 < i + j <= degree]
    basis = legendre.legvander2d(np.concatenate(y), np.concatenate(x), [degree, degree])
    columns_used = [j * (degree + 1) + i for j, i in terms]
    channels = np.equal.outer(np.concatenate(member), np.arange(readout.channels))
    design = np.hstack([basis[:, columns_used], channels])
    solution = np.linalg.lstsq(design, np.log(values), rcond=None)[0]
    coefficients = np.zeros((degree + 1, degree + 1))
    for (j, i), value in zip(terms, solution, strict=False):
        coefficients[j, i] = value
    return _Trend(coefficients, image.shape)


def _level(image: Image, trend: _Trend | None) -> float:
    """Return the mean of a sample of the unflagged pixels, without far outliers."""
    sample = image.data[::SAMPLE_STEP, ::SAMPLE_STEP].astype(np.float64)
    if trend is not None:
        sample /= trend.evaluate(slice(None, None, SAMPLE_STEP), SAMPLE_STEP)
    good = np.isfinite(sample)
    if image.flags is not None:
        good &= image.flags[::SAMPLE_STEP, ::SAMPLE_STEP] == 0
    if not good.any():
        raise UnprocessableData("every pixel of the flat frame is flagged")
    values = sample[good]
    median = np.median(values)
    near = np.abs(values - median) <= 0.5 * abs(median)
    return float(values[near].mean()) if near.any() else float(median)
