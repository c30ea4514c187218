"""`signal_to_noise`: how far each place stands out of the noise around the star."""

from __future__ import annotations

from typing import Annotated

import astropy.units as u
import numpy as np

from csst_cpic.planets.aperture_noise import aperture_sums, ratios
from csst_cpic.star.reduction import Reduction
from csstcore.api import Image, Table, metric, replace


def signal_to_noise(residual: Image, reduction: Table) -> Annotated[Image, "signal_to_noise"]:
    """Compare the flux at each place with that of the other apertures at its distance.

    The ratio of Mawet et al. 2014 (ApJ 792, 97), for apertures of one FWHM side by side around
    the star; the two next to the tested one are left out. In Gaussian noise it follows Student's
    t: see `csst_cpic.planets.small_samples` for what a ratio means where there are few apertures.

    Parameters
    ----------
    residual, reduction
        Of `subtract_psf`.

    Returns
    -------
    Image
        Ratio, NaN where fewer than three apertures or half of a ring have values; the variance
        is that of a ratio S of n apertures, ``1 + S^2 / (2 (n - 2))``. Metrics
        ``largest_ratio``, ``largest_x`` and ``largest_y`` (from 1).
    """
    settings = Reduction.from_table(reduction.table)
    sums = aperture_sums(residual.data, settings.fwhm_pixel)
    rows, columns = np.nonzero(np.isfinite(sums))
    ratio, apertures = ratios(
        sums, settings.fwhm_pixel, rows.astype(np.float64), columns.astype(np.float64)
    )
    data = np.full(residual.shape, np.nan, np.float32)
    variance = data.copy()
    data[rows, columns] = ratio
    freedom = np.maximum(apertures - 2, 1)
    variance[rows, columns] = np.where(np.isfinite(ratio), 1 + ratio**2 / (2 * freedom), np.nan)
    if np.isfinite(data).any():
        row, column = np.unravel_index(int(np.nanargmax(data)), data.shape)
        metric("largest_ratio", float(data[row, column]))
        metric("largest_x", int(column) + 1)
        metric("largest_y", int(row) + 1)
    return replace(residual, data=data, unit=u.dimensionless_unscaled, variance=variance)
