"""Charge that arises within the register, as measured with the EM gain."""

from __future__ import annotations

import numpy as np

from csstcore.api import Table


def serial_rate(em_gain: Table | None, gain: float) -> float:
    """Return the serial charge measured at the gain nearest to one, electron per pixel and frame.

    Parameters
    ----------
    em_gain
        Columns ``em_gain`` and ``serial_rate``; without them it is 0.
    gain
        EM gain of the frames.
    """
    if em_gain is None or "serial_rate" not in em_gain.table.colnames:
        return 0.0
    measured = np.asarray(em_gain.table["em_gain"], np.float64)
    column = em_gain.table["serial_rate"]
    rates = np.asarray(getattr(column, "value", column), np.float64)
    known = np.isfinite(measured) & np.isfinite(rates) & (measured > 1)
    if not known.any():
        return 0.0
    nearest = np.argmin(np.abs(np.log(measured[known] / gain)))
    return max(float(rates[known][nearest]), 0.0)
