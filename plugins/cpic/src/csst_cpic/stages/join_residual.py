"""`join_residual`: one product of all that a reduction gives."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from astropy.table import QTable

from csst_cpic.planets.residual_map import ResidualMap
from csstcore.api import Image, Table


def join_residual(
    residual: Image, signal_to_noise: Image, reduction: Table, companions: Table
) -> Annotated[ResidualMap, "residual_map"]:
    """Join residual, signal over noise, settings and companions for one file.

    Parameters
    ----------
    residual, reduction
        Of `subtract_psf`.
    signal_to_noise
        Of the stage of that name.
    companions
        Of `find_companions` or `fit_companions`.
    """
    return ResidualMap(
        data=residual.data,
        unit=residual.unit,
        variance=residual.variance,
        flags=residual.flags,
        wcs=residual.wcs,
        meta=residual.meta,
        flag_bits=residual.flag_bits,
        signal_to_noise=signal_to_noise.data.astype(np.float32, copy=False),
        settings=QTable(reduction.table, copy=True),
        companions=QTable(companions.table, copy=True),
    )
