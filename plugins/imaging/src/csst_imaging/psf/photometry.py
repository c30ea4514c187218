"""Point-source fits of every source of an image, neighbours subtracted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from csst_imaging.planes import Planes
from csst_imaging.psf.blends import close_neighbours, widen_errors
from csst_imaging.psf.noise import SkyVariance
from csst_imaging.psf.point_fit import CHI2, FLUX, LIGHT, USED, X, Y, fit_point, render_light
from csst_imaging.psf.render import blend
from csst_imaging.psf.spread import spread_of
from csstcore.api import compiled, each

Floats = NDArray[np.float64]
Stamps = NDArray[np.float32]

SPREAD, SPREAD_ERROR = 9, 10
COLUMNS = 11
"""Columns of a result: those of `point_fit`, and these two."""

BAND_ROWS = 768
MARGIN_ROWS = 48
FIXED_PASSES, PASSES, CLOSE_PASSES = 3, 6, 15
"""Rounds over sources with neighbours, and with close ones; each fits with the others' latest
models off. In the first of them positions are kept, so that no source takes another's light."""

CLOSE_HALVES = 0.8
"""A neighbour is close within so many half sides of a fit's stamp."""

LEAST_LIGHT = 0.01
CORE_PIXEL, MOST_MISSING = 2, 4
"""Of the pixels this near, more without value make a core that cannot be fitted."""

REACH_PIXEL = 2.0


@dataclass(frozen=True)
class Model:
    """A PSF ready for fits."""

    planes: Stamps
    """Spline coefficients with margin, shape (terms, rows, columns)."""
    extended: Stamps
    """The same for a slightly extended source, see `spread`."""
    step: float
    photons: float
    """Variance that a source adds per unit of flux."""
    error: float
    """Error of the PSF, relative to its values."""
    half: int
    """Half side of the stamps of fits, pixel."""
    halves: NDArray[np.int64]
    """Half sides of the stamps in which models are subtracted."""
    limits: Floats
    """Fluxes over the sky's noise up to which each of them will do."""


@dataclass(frozen=True)
class Entries:
    """What is known of sources before the fits; 0-based positions."""

    x: Floats
    y: Floats
    terms: Stamps
    brightness: Floats
    """Any measure by which the brighter are fitted first."""

    def take(self, rows: NDArray[np.int64]) -> Entries:
        """Return some of the sources."""
        return Entries(self.x[rows], self.y[rows], self.terms[rows], self.brightness[rows])


def fit_sources(
    planes: Planes, forbidden: np.uint16, sky: SkyVariance, entries: Entries, model: Model
) -> NDArray[np.float64]:
    """Fit flux and position of every source.

    Sources are fitted from bright to faint, each fit being subtracted before the next; those
    with neighbours again, with all others subtracted.

    Parameters
    ----------
    planes
        The image.
    forbidden
        Flags of pixels that have no value.
    sky
        Its variance without sources.
    entries
        The sources.
    model
        The PSF.

    Returns
    -------
    ndarray
        One row per source; NaN where the fit failed.
    """
    rows = planes.data.shape[0]
    result = np.full((len(entries.x), COLUMNS), np.nan)
    finite = np.isfinite(entries.x) & np.isfinite(entries.y)

    def one(start: int) -> None:
        stop = min(start + BAND_ROWS, rows)
        low, high = max(start - MARGIN_ROWS, 0), min(stop + MARGIN_ROWS, rows)
        y = entries.y
        mine = (y >= start - 0.5 if start else y > -np.inf) & (
            y < stop - 0.5 if stop < rows else y < np.inf
        )
        near = np.flatnonzero(finite & (mine | ((y > low) & (y < high))))
        if not len(near):
            return
        found = _fit_band(planes, forbidden, sky, entries.take(near), model, low, high)
        result[near[mine[near]]] = found[mine[near]]

    each(one, range(0, rows, BAND_ROWS))
    return result


def _fit_band(
    planes: Planes,
    forbidden: np.uint16,
    sky: SkyVariance,
    entries: Entries,
    model: Model,
    low: int,
    high: int,
) -> NDArray[np.float64]:
    """Fit the sources of the rows `low` to `high`."""
    rows = slice(low, high)
    flags = planes.flags if planes.flags.shape != planes.data.shape else planes.flags[rows]
    residual = np.empty((high - low, planes.data.shape[1]), np.float32)
    _subtract_background(
        *(planes.data[rows], planes.background[rows], planes.variance[rows], flags),
        *(forbidden, residual),
    )
    x, y = entries.x, entries.y - low
    light = residual.copy()
    result = np.full((len(x), COLUMNS), np.nan)
    order = np.argsort(-np.nan_to_num(entries.brightness), kind="stable")
    _fit_in_order(
        residual, light, order, _rounds(x, y, model), x, y,
        entries.terms, sky.at(entries.x, entries.y),
        model.planes, model.extended, model.step, model.photons, model.error,
        model.half, model.halves, model.limits, result,
    )  # fmt: skip
    good = np.flatnonzero(np.isfinite(result[:, FLUX]))
    if len(good):
        fits = result[good]
        near = close_neighbours(fits[:, X], fits[:, Y], 1.5 * model.half)
        widen_errors(
            near, fits, entries.terms[good], sky.at(entries.x[good], entries.y[good]),
            model.planes, model.step, model.photons, model.error, model.half,
        )  # fmt: skip
        result[good] = fits
    result[:, Y] += low
    return result


def _rounds(x: Floats, y: Floats, model: Model) -> NDArray[np.int64]:
    """Return how often each source is to be fitted, by how near its neighbours are."""
    rounds = np.ones(len(x), np.int64)
    tree = cKDTree(np.stack([x, y], axis=-1))
    for reach, number in ((2.5, PASSES), (CLOSE_HALVES, CLOSE_PASSES)):
        rounds[tree.query_pairs(reach * model.half, output_type="ndarray").ravel()] = number
    return rounds


@compiled
def _subtract_background(
    data: NDArray[np.float32],
    background: NDArray[np.float32],
    variance: NDArray[np.float32],
    flags: NDArray[np.uint16],
    forbidden: np.uint16,
    out: NDArray[np.float32],
) -> None:
    """Write data less background; NaN where a pixel has no value."""
    flagged = flags.shape == data.shape
    for row in range(data.shape[0]):
        for column in range(data.shape[1]):
            value = data[row, column] - background[row, column]
            noise = variance[row, column]
            if not (noise > 0 and noise < np.inf and abs(value) < np.inf):
                value = np.float32(np.nan)
            out[row, column] = value
        if flagged:
            for column in range(data.shape[1]):
                if flags[row, column] & forbidden:
                    out[row, column] = np.float32(np.nan)


@compiled
def _add(
    plane: NDArray[np.float32],
    local: NDArray[np.float32],
    step: float,
    x: float,
    y: float,
    half: int,
    flux: float,
) -> None:
    """Add a source to a plane."""
    column, row = int(np.floor(x + 0.5)) - half, int(np.floor(y + 0.5)) - half
    size = 2 * half + 1
    stamp = np.empty((size, size), np.float32)
    render_light(local, step, column - x, row - y, stamp)
    amplitude = np.float32(flux)
    for j in range(max(0, -row), min(size, plane.shape[0] - row)):
        for i in range(max(0, -column), min(size, plane.shape[1] - column)):
            plane[row + j, column + i] += amplitude * stamp[i, j]


@compiled
def _cut(
    residual: NDArray[np.float32],
    light: NDArray[np.float32],
    column: int,
    row: int,
    sky: float,
    photons: float,
    data: Stamps,
    variance: Stamps,
) -> None:
    """Cut a transposed stamp; its variance is the sky's and the neighbours' photons."""
    size = data.shape[0]
    data[:] = 0.0
    variance[:] = np.inf
    for j in range(max(0, -row), min(size, residual.shape[0] - row)):
        for i in range(max(0, -column), min(size, residual.shape[1] - column)):
            value = residual[row + j, column + i]
            if np.isnan(value):
                continue
            others = light[row + j, column + i] - value
            data[i, j] = value
            variance[i, j] = sky + photons * max(others, np.float32(0))


@compiled
def _fit_in_order(
    residual: NDArray[np.float32],
    light: NDArray[np.float32],
    order: NDArray[np.int64],
    rounds: NDArray[np.int64],
    x: Floats,
    y: Floats,
    terms: Stamps,
    sky: Floats,
    planes: Stamps,
    extended: Stamps,
    step: float,
    photons: float,
    model_error: float,
    fit_half: int,
    halves: NDArray[np.int64],
    limits: Floats,
    result: NDArray[np.float64],
) -> None:
    local = np.empty(planes.shape[1:], np.float32)
    found = np.empty(SPREAD)
    fitted = np.zeros(len(x), np.bool_)
    wide = int(halves[-1])
    for number in range(rounds.max()):
        for i in order:
            if number >= rounds[i] or not sky[i] < np.inf:
                continue
            blend(planes, terms[i], 0, planes.shape[1], local)
            px, py, flux = x[i], y[i], 0.0
            if not np.isnan(result[i, FLUX]):
                px, py, flux = result[i, X], result[i, Y], result[i, FLUX]
                reach = _reach(flux, sky[i], halves, limits)
                _add(residual, local, step, px, py, reach, flux)
            half = wide if _hidden(residual, px, py) else fit_half
            size = 2 * half + 1
            column, row = int(np.floor(px + 0.5)) - half, int(np.floor(py + 0.5)) - half
            data, variance = np.empty((size, size), np.float32), np.empty((size, size), np.float32)
            work = np.empty((3, size, size), np.float32)
            _cut(residual, light, column, row, sky[i], photons, data, variance)
            fixed = rounds[i] > 1 and number < FIXED_PASSES
            good = fit_point(
                data, variance, local, step, px - column, py - row, 0.0 if fixed else REACH_PIXEL,
                photons, model_error, found, work,
            )  # fmt: skip
            if good and found[LIGHT] > LEAST_LIGHT:
                found[CHI2] /= max(found[USED] - 3.0, 1.0)
                found[X] += column
                found[Y] += row
                result[i, :SPREAD] = found
                fitted[i] = not fixed
            elif not fixed:
                fitted[i] = False
            if np.isnan(result[i, FLUX]):
                continue
            reach = _reach(result[i, FLUX], sky[i], halves, limits)
            _add(residual, local, step, result[i, X], result[i, Y], reach, -result[i, FLUX])
            if fitted[i] and number == rounds[i] - 1:
                blend(extended, terms[i], 0, planes.shape[1], local)
                render_light(local, step, column - result[i, X], row - result[i, Y], work[1])
                spread_of(
                    data, variance, work[0], work[1], photons * result[i, FLUX], result[i, SPREAD:]
                )
    for i in range(len(x)):
        if not fitted[i]:
            result[i] = np.nan


@compiled
def _hidden(residual: NDArray[np.float32], x: float, y: float) -> bool:
    """Return whether the core of a source has no value, so that its wings must do."""
    column, row = int(np.floor(x + 0.5)), int(np.floor(y + 0.5))
    missing = 0
    for j in range(max(0, row - CORE_PIXEL), min(residual.shape[0], row + CORE_PIXEL + 1)):
        for i in range(
            max(0, column - CORE_PIXEL), min(residual.shape[1], column + CORE_PIXEL + 1)
        ):
            missing += np.isnan(residual[j, i])
    return missing > MOST_MISSING


@compiled
def _reach(flux: float, sky: float, halves: NDArray[np.int64], limits: Floats) -> int:
    """Return the half side of the stamp that holds all of a source that matters."""
    ratio = flux / np.sqrt(sky)
    for k in range(len(halves)):
        if ratio < limits[k]:
            return int(halves[k])
    return int(halves[-1])
