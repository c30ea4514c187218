"""Light of a companion that passes the focal-plane mask."""

from __future__ import annotations

import astropy.units as u
import numpy as np
from numpy.typing import ArrayLike, NDArray

from csstcore.api import Table


def transmission_at(mask: Table | None, separation_arcsec: ArrayLike) -> NDArray[np.float64]:
    """Return the transmission at separations from the star.

    Parameters
    ----------
    mask
        Columns ``separation`` (ascending) and ``transmission``; None is a mask that passes
        everything. Beyond the ends, the transmission is that of the end.
    separation_arcsec
        Of companions.

    Returns
    -------
    NDArray
        NaN where the mask passes nothing.
    """
    separation = np.asarray(separation_arcsec, np.float64)
    if mask is None:
        return np.ones(separation.shape)
    known = mask.table["separation"].to_value(u.arcsec)
    values = np.interp(separation, known, np.asarray(mask.table["transmission"], np.float64))
    return np.where(values > 0, values, np.nan)
