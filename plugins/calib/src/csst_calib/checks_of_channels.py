"""Quality checks of references with one row per channel."""

from __future__ import annotations

import numpy as np

from csst_calib.ptc import Ptc
from csstcore.api import Table


def largest_gain_error(table: Table) -> float:
    """Largest relative error of a channel's gain."""
    return float(np.max((table.table["gain_error"] / table.table["gain"]).value))


def largest_read_noise(table: Table) -> float:
    """Largest read noise of a channel in electrons."""
    return float(np.max(table.table["read_noise"].value))


def largest_residual(table: Table) -> float:
    """Largest relative deviation from linearity that is left."""
    return float(np.max(table.table["residual"]))


def largest_chi_square(ptc: Ptc) -> float:
    """Largest reduced chi-square of a channel's photon transfer curve."""
    return float(np.max(ptc.fit["chi_square"]))


def smallest_full_well(ptc: Ptc) -> float:
    """Smallest full well of a channel in electrons."""
    return float(np.min(ptc.fit["full_well"].value))
