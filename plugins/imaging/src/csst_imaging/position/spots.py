"""Sources of a table as points that may be stars."""

from __future__ import annotations

import astropy.units as u
import numpy as np

from csst_imaging.columns import values
from csst_imaging.position.solution import Spots
from csstcore.api import Table, UnprocessableData

SATURATED, TRUNCATED = 4, 8
"""SExtractor's FLAGS bits; sources cut by an edge do not enter the fit."""

SATURATED_ERROR_PIXEL = 0.5
"""Centroid error of saturated stars: they help only where there is nothing better."""

BRIGHTNESS = ("flux_isophotal", "flux_kron")


def select_spots(sources: Table) -> Spots:
    """Return the sources with positions, brightest first.

    Parameters
    ----------
    sources
        Columns ``x, y, x_error, y_error`` (pixel), ``flags`` and ``flux_isophotal`` or
        ``flux_kron``. ``x_psf, y_psf`` are taken instead where they and their errors are
        finite; rows that ``converged`` excludes do not enter the fit.

    Raises
    ------
    UnprocessableData
        A column is missing.
    """
    table = sources.table
    place = np.stack([values(table, name, u.pixel) for name in ("x", "y")])
    error = np.stack([values(table, name, u.pixel) for name in ("x_error", "y_error")])
    usable = np.isfinite(error).all(axis=0)
    if "converged" in table.colnames:
        usable &= np.asarray(table["converged"], bool)
    fitted = ("x_psf", "y_psf", "x_psf_error", "y_psf_error")
    if set(fitted) <= set(table.colnames):
        columns = np.stack([values(table, name, u.pixel) for name in fitted])
        better = np.isfinite(columns).all(axis=0) & (columns[2:] > 0).all(axis=0)
        place = np.where(better, columns[:2], place)
        error = np.where(better, columns[2:], error)
        usable |= better
    brightness = next((name for name in BRIGHTNESS if name in table.colnames), None)
    if brightness is None:
        raise UnprocessableData(f"the table has no column {' or '.join(BRIGHTNESS)}")
    flux = np.asarray(getattr(table[brightness], "value", table[brightness]), float)
    flags = np.asarray(table["flags"])
    usable &= (flags & TRUNCATED) == 0
    error = np.where(flags & SATURATED, np.hypot(error, SATURATED_ERROR_PIXEL), error)
    good = np.isfinite(place.sum(axis=0) + flux) & (flux > 0)
    order = np.flatnonzero(good)[np.argsort(-flux[good], kind="stable")]
    return Spots(place.T[order], error[:, order], usable[order])
