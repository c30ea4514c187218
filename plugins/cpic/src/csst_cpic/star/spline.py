"""Interpolation of planes with quintic B-splines."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates, spline_filter

ORDER: Final = 5
"""At a FWHM of 2.3 pixels a turned Airy disk keeps 99.8 % of its flux; with order 3, 99.2 %."""
_MARGIN_PIXEL: Final = 15
"""Pixels around those asked for that the prefilter takes in; its response falls by 0.43 a pixel."""
_ALL: Final = 1 - 1e-5
"""So much of the weight lies on valid pixels where none else counts, up to rounding."""


def interpolate(
    plane: NDArray[np.float32],
    valid: NDArray[np.bool_],
    rows: NDArray[np.float64],
    columns: NDArray[np.float64],
) -> NDArray[np.float32]:
    """Return the values of a plane between its pixels.

    A quintic B-spline goes through all pixels (Unser 1999, IEEE Signal Processing Magazine 16,
    22); pixels that are not valid count as zero, and places next to one get NaN.

    Parameters
    ----------
    plane
        Shape (rows, columns).
    valid
        Which pixels have a value; shape as `plane`.
    rows, columns
        Places as array indices from 0, one shape.

    Returns
    -------
    NDArray
        Shape of `rows`; NaN outside the plane.
    """
    inside = (rows >= 0) & (rows <= plane.shape[0] - 1)
    inside &= (columns >= 0) & (columns <= plane.shape[1] - 1)
    values = np.full(rows.shape, np.nan, np.float32)
    if not inside.any():
        return values
    y, x = rows[inside], columns[inside]
    top, left = (max(int(place.min()) - _MARGIN_PIXEL, 0) for place in (y, x))
    bottom, right = (int(place.max()) + _MARGIN_PIXEL + 2 for place in (y, x))
    window = np.s_[top:bottom, left:right]
    clear = valid[window]
    coefficients = spline_filter(
        np.where(clear, plane[window], np.float32(0)), ORDER, output=np.float32, mode="mirror"
    )
    places = np.stack([y - top, x - left])
    found = map_coordinates(
        coefficients, places, np.float32, order=ORDER, mode="mirror", prefilter=False
    )
    if not clear.all():
        found[_linear(clear, places) < _ALL] = np.nan
    values[inside] = found
    return values


def interpolate_linear(
    plane: NDArray[np.float32], rows: NDArray[np.float64], columns: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Return the values of a plane between its pixels, from the four pixels around each.

    For variances and weights, which must not become negative.

    Parameters
    ----------
    plane
        Shape (rows, columns).
    rows, columns
        Places as array indices from 0, one shape.

    Returns
    -------
    NDArray
        Shape of `rows`; NaN outside the plane, and where a pixel that counts is NaN.
    """
    places = np.stack([rows, columns])
    valid = np.isfinite(plane)
    if valid.all():
        return _linear(plane, places)
    values = _linear(np.where(valid, plane, np.float32(0)), places)
    values[~(_linear(valid, places) >= _ALL)] = np.nan
    return values


def _linear(plane: NDArray[Any], places: NDArray[np.float64]) -> NDArray[np.float32]:
    values = map_coordinates(
        plane, places, np.float32, order=1, mode="constant", cval=np.nan, prefilter=False
    )
    return np.asarray(values)
