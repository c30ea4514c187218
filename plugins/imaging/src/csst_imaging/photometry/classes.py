"""Point sources and extended ones."""

from __future__ import annotations

import astropy.units as u
import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from csst_imaging.columns import values
from csst_imaging.stages.detection import SATURATED, TRUNCATED, point_like

UNKNOWN, STAR, GALAXY = 0, 1, 2

SPREAD_POINT, SPREAD_EXTENDED = 0.003, 0.01
"""Up to the first value of SPREAD_MODEL a source may be a point (Desai et al. 2012, ApJ 757,
83); few galaxies that can be told from stars lie below the second."""

SIZE_POINT, SIZE_EXTENDED = 0.1, 0.4
"""The same for the width, relative to that of stars, minus one."""

ERRORS = 2.0
LEAST_SIZE_SCATTER = 0.01


def classify(table: QTable) -> NDArray[np.int32]:
    """Return the class of each source: 1 point source, 2 extended, 0 not told apart.

    A source is extended if its ``spread_model`` is larger than that of a point by two errors,
    and a point if it is smaller than that of a galaxy by two errors. Without that column the
    width takes its place, with an error of one part in the signal to noise. Saturated
    and cut sources, and those sharper than a point, are not told.

    Parameters
    ----------
    table
        Columns of `detect_sources`, with or without those of PSF photometry.
    """
    if "spread_model" in table.colnames:
        size, error = values(table, "spread_model"), values(table, "spread_model_error")
        point, extended = SPREAD_POINT, SPREAD_EXTENDED
    else:
        size, error = relative_width(table)
        point, extended = SIZE_POINT, SIZE_EXTENDED
    spread = ERRORS * error
    kind = np.zeros(len(table), np.int32)
    with np.errstate(invalid="ignore"):
        kind[(size + spread < extended) & (size + spread > -point)] = STAR
        kind[size - spread > point] = GALAXY
    kind[(np.asarray(table["flags"]) & (SATURATED | TRUNCATED)) != 0] = UNKNOWN
    return kind


def relative_width(table: QTable) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return width over that of stars minus one, and its error; NaN without stars."""
    fwhm = values(table, "fwhm", u.pixel)
    stars = point_like(table)
    if not stars.any():
        return np.full(fwhm.size, np.nan), np.full(fwhm.size, np.nan)
    middle = float(np.median(fwhm[stars]))
    scatter = max(1.4826 * float(np.median(np.abs(fwhm[stars] / middle - 1))), LEAST_SIZE_SCATTER)
    noise = values(table, "flux_isophotal_error") / np.abs(values(table, "flux_isophotal"))
    return fwhm / middle - 1.0, np.hypot(scatter, noise)
