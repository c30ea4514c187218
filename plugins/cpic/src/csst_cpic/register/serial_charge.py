"""Charge that arises within the register, as measured with the EM gain."""

from __future__ import annotations

import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from csstcore.api import Table

SIGNIFICANT = 3.0
"""Errors from which a serial charge is one."""


def serial_rate(em_gain: Table | None, gain: float) -> float:
    """Return the serial charge measured at the gain nearest to one, electron per pixel and frame.

    Parameters
    ----------
    em_gain
        Columns ``em_gain``, ``serial_rate`` and ``serial_rate_error``. The rate is 0 without them,
        and where it is less than three errors: a histogram of some tens of frames knows it to
        0.01 electron only, which is more than there is of it.
    gain
        EM gain of the frames.
    """
    wanted = {"serial_rate", "serial_rate_error"}
    if em_gain is None or not wanted <= set(em_gain.table.colnames):
        return 0.0
    measured = np.asarray(em_gain.table["em_gain"], np.float64)
    rates, errors = (_numbers(em_gain.table, f"serial_rate{end}") for end in ("", "_error"))
    known = np.isfinite(measured) & np.isfinite(rates) & np.isfinite(errors) & (measured > 1)
    if not known.any():
        return 0.0
    nearest = np.argmin(np.abs(np.log(measured[known] / gain)))
    rate, error = float(rates[known][nearest]), float(errors[known][nearest])
    return rate if rate > SIGNIFICANT * error else 0.0


def _numbers(table: QTable, name: str) -> NDArray[np.float64]:
    column = table[name]
    return np.asarray(getattr(column, "value", column), np.float64)
