"""Where each dump looks, and where a line lies in it, as its observer moves."""

from __future__ import annotations

import astropy.units as u
import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from csst_hstdm.doppler import LIGHT_KM_S, velocity_to_source
from csst_hstdm.dump_rows import VELOCITY, numbers, rows_of, seconds, vectors
from csst_hstdm.pointing_interpolation import unit_vectors
from csstcore.api import Spectra


def directions(rows: QTable) -> NDArray[np.float64]:
    """Return unit vectors, shape (rows, 3), whose small differences are in radians; NaN unknown."""
    if {"ra", "dec"} - set(rows.colnames):
        return np.full((len(rows), 3), np.nan)
    return unit_vectors(numbers(rows, "ra", u.deg), numbers(rows, "dec", u.deg))


def line_places(dumps: Spectra) -> NDArray[np.float64]:
    """Return where a line lies in each dump, in channels, but for a constant of all files.

    NaN where time, pointing or orbit are not known, or dumps have no common axis.
    """
    rows = rows_of(dumps)
    place = np.full(len(rows), np.nan)
    if dumps.axis.ndim != 1 or len(dumps.axis) < 2:
        return place
    velocity, direction = vectors(rows, VELOCITY, u.km / u.s), directions(rows)
    known = np.isfinite(np.sum(velocity + direction, axis=1) + seconds(rows))
    if known.any():
        approach = velocity_to_source(rows["time"][known], velocity[known], direction[known])
        axis_hz = dumps.axis.to_value(u.Hz)
        shift_hz = approach / LIGHT_KM_S * np.mean(axis_hz)
        place[known] = (shift_hz - axis_hz[0]) / np.median(np.diff(axis_hz))
    return place
