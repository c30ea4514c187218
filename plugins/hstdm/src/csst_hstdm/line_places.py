"""Where a line lies in each dump, as its observer moves."""

from __future__ import annotations

import astropy.units as u
import numpy as np
from numpy.typing import NDArray

from csst_hstdm.doppler import LIGHT_KM_S, velocity_to_source
from csst_hstdm.dump_rows import VELOCITY, numbers, rows_of, seconds, vectors
from csst_hstdm.pointing_interpolation import unit_vectors
from csstcore.api import Spectra


def line_places(dumps: Spectra) -> NDArray[np.float64]:
    """Return where a line lies in each dump, in channels, but for a constant of all files.

    NaN where time, pointing or orbit are not known, or dumps have no common axis.
    """
    rows = rows_of(dumps)
    place = np.full(len(rows), np.nan)
    if dumps.axis.ndim != 1 or len(dumps.axis) < 2 or {"ra", "dec"} - set(rows.colnames):
        return place
    velocity = vectors(rows, VELOCITY, u.km / u.s)
    ra, dec = numbers(rows, "ra", u.deg), numbers(rows, "dec", u.deg)
    known = np.isfinite(np.sum(velocity, axis=1) + ra + dec + seconds(rows))
    if known.any():
        direction = unit_vectors(ra[known], dec[known])
        approach = velocity_to_source(rows["time"][known], velocity[known], direction)
        axis_hz = dumps.axis.to_value(u.Hz)
        shift_hz = approach / LIGHT_KM_S * np.mean(axis_hz)
        place[known] = (shift_hz - axis_hz[0]) / np.median(np.diff(axis_hz))
    return place
