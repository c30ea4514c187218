"""Correction of the amplifier's non-linearity."""

from __future__ import annotations

from dataclasses import dataclass

import astropy.units as u
import numpy as np
from numpy.typing import NDArray

from csst_cpic.camera.agreement import em_gain_of, require_unit
from csstcore.api import (
    Image,
    InPlace,
    NotApplicable,
    Reference,
    Table,
    UnprocessableData,
    caveat,
    compiled,
    each,
    metric,
    pieces,
)

NODES = 65536
"""Even steps in which a curve is looked up: bends of a table are rounded by less than 1e-5."""


def correct_nonlinearity(
    image: InPlace[Image], nonlinearity: Reference[Table] | None = None
) -> Image:
    """Correct the non-linear response of the amplifier.

    Measured counts are multiplied by a factor that depends on them and on the EM gain: linear
    in the counts, and between measured EM gains in their logarithm; beyond the ends it stays as
    it is there. The variance is scaled by the squared derivative of the corrected counts.

    Parameters
    ----------
    image
        Bias-subtracted image in adu, changed in place.
    nonlinearity
        Columns ``em_gain``, ``counts`` (adu) and ``relative_gain``, the factor.

    Returns
    -------
    image
        Metric: ``largest_correction``, the factor's largest distance from 1 at this EM gain.

    Raises
    ------
    NotApplicable
        If there is no reference, with a caveat.
    UnprocessableData
        If the image is not in adu or has no EM gain, or the reference has no row or numbers
        that are not finite and positive.
    """
    if nonlinearity is None:
        caveat("the response of the amplifier is not made linear: there is no reference")
        raise NotApplicable("there is no non-linearity reference")
    require_unit(image, u.adu)
    curve = curve_at(nonlinearity, em_gain_of(image))
    first, last = curve.counts_adu[[0, -1]]
    factors = np.interp(np.linspace(first, last, NODES), curve.counts_adu, curve.factor)
    rises = np.diff(factors, append=factors[-1:]).astype(np.float32)  # exact, for the slope
    step = max((last - first) / (NODES - 1), np.finfo(np.float32).tiny)
    variance = np.empty((0, 0), np.float32) if image.variance is None else image.variance

    def correct(rows: slice) -> None:
        _correct(image.data[rows], variance[rows], factors.astype(np.float32), rises, first, step)

    each(correct, pieces(image.shape[0]))
    metric("largest_correction", float(np.max(np.abs(curve.factor - 1))))
    return image


@dataclass(frozen=True)
class Curve:
    """Factor by measured counts, at one EM gain."""

    counts_adu: NDArray[np.float64]
    """Ascending."""
    factor: NDArray[np.float64]


@compiled
def _correct(
    data: NDArray[np.float32],
    variance: NDArray[np.float32],
    factors: NDArray[np.float32],
    rises: NDArray[np.float32],
    first: float,
    step: float,
) -> None:
    """Multiply by the factor at even steps of counts, in place; the variance may be empty."""
    start, inverse = np.float32(first), np.float32(1 / step)
    last = np.float32(len(factors) - 1)
    zero = np.float32(0)
    for y in range(data.shape[0]):
        for x in range(data.shape[1]):
            value = data[y, x]
            place = (value - start) * inverse
            inside = zero <= place < last
            here = int(min(max(place, zero), last)) if place == place else 0
            rise = rises[here] if inside else zero
            factor = factors[here] + (place - np.float32(here)) * rise if inside else factors[here]
            if variance.size:
                derivative = factor + value * rise * inverse
                variance[y, x] *= derivative * derivative
            data[y, x] = value * factor


def curve_at(nonlinearity: Table, em_gain: float) -> Curve:
    """Return the curve of an EM gain, between those of the neighbouring measured ones."""
    table = nonlinearity.table
    gains = np.asarray(table["em_gain"], np.float64)
    counts = np.asarray(table["counts"].to_value(u.adu), np.float64)
    factors = np.asarray(table["relative_gain"], np.float64)
    good = np.isfinite(gains) & np.isfinite(counts) & np.isfinite(factors) & (factors > 0)
    if not len(table) or not np.all(good & (gains >= 1)):
        raise UnprocessableData(
            f"the non-linearity reference has {int(np.sum(~good))} unusable of {len(table)} rows; "
            "expected finite counts, EM gains of 1 or more and positive factors"
        )
    known = np.unique(gains)
    upper = int(np.clip(np.searchsorted(known, em_gain), 0, len(known) - 1))
    lower = max(upper - 1, 0) if known[upper] > em_gain else upper
    ends = [_curve(counts[gains == known[k]], factors[gains == known[k]]) for k in (lower, upper)]
    if lower == upper:
        return ends[0]
    weight = np.log(em_gain / known[lower]) / np.log(known[upper] / known[lower])
    grid = np.union1d(ends[0].counts_adu, ends[1].counts_adu)
    low, high = (np.interp(grid, end.counts_adu, end.factor) for end in ends)
    return Curve(grid, low + np.clip(weight, 0.0, 1.0) * (high - low))


def _curve(counts: NDArray[np.float64], factors: NDArray[np.float64]) -> Curve:
    counts, first = np.unique(counts, return_index=True)
    return Curve(counts, factors[first])
