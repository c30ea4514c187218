"""Quality numbers of Level 2: residuals, companions and contrast curves."""

from __future__ import annotations

import numpy as np

from csst_cpic.planets.residual_map import ResidualMap
from csst_cpic.star.reduction import Reduction
from csst_cpic.star.sky_frame import central_pixel
from csstcore.api import NotApplicable, Table


def empty_fraction(residual: ResidualMap) -> float:
    """Fraction of the pixels between the radii of a reduction that have no value.

    Parameters
    ----------
    residual
        Of `join_residual`. Many are empty where too few frames may model each other.
    """
    if residual.settings is None:
        raise NotApplicable("the residual image carries no settings")
    settings = Reduction.from_table(residual.settings)
    row, column = central_pixel(residual.shape)
    y, x = np.ogrid[: residual.shape[0], : residual.shape[1]]
    radius = np.hypot(y - row, x - column)
    outer = min(settings.outer_radius_pixel, min(row, column))
    inside = (radius >= settings.inner_radius_pixel + 1) & (radius < outer - 1)
    if not inside.any():
        raise NotApplicable("no pixel lies between the radii of the reduction")
    return float(np.mean(~np.isfinite(residual.data[inside])))


def unconverged_fraction(companions: Table) -> float:
    """Fraction of the companions whose fit does not converge.

    Parameters
    ----------
    companions
        Of `fit_companions`.
    """
    if not len(companions) or "converged" not in companions.table.colnames:
        raise NotApplicable("no companion was fitted")
    return float(np.mean(~np.asarray(companions.table["converged"], bool)))


def lowest_throughput(contrast: Table) -> float:
    """Lowest part of a companion's flux that the reduction leaves, over all separations.

    Parameters
    ----------
    contrast
        Of `contrast_curve`.
    """
    return _smallest(contrast, "throughput")


def best_contrast(contrast: Table) -> float:
    """Lowest contrast that is detected in half of all cases.

    Parameters
    ----------
    contrast
        Of `contrast_curve`.
    """
    return _smallest(contrast, "contrast")


def _smallest(contrast: Table, name: str) -> float:
    values = np.asarray(contrast.table[name], np.float64)
    if not np.isfinite(values).any():
        raise NotApplicable("nothing was recovered at any separation")
    return float(np.nanmin(values))
