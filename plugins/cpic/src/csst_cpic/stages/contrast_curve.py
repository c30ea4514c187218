"""`contrast_curve`: the contrast that a companion needs."""

from __future__ import annotations

from typing import Annotated

import astropy.units as u
import numpy as np
from astropy.table import QTable
from pydantic import Field
from scipy.stats import norm

from csst_cpic.planets.contrast_limits import contrast_limits
from csst_cpic.planets.mask_transmission import transmission_at
from csst_cpic.planets.repeated import repeated, sources_of
from csst_cpic.star.reduction import Reduction
from csstcore.api import Cube, Image, Reference, Table, UnprocessableData, metric


def contrast_curve(
    cube: Cube,
    frames: Table,
    reduction: Table,
    star: Image,
    companions: Table | None = None,
    library: Reference[Cube] | None = None,
    mask_transmission: Reference[Table] | None = None,
    *,
    significance_sigma: Annotated[float, Field(gt=0)] = 5.0,
    step_fwhm: Annotated[float, Field(gt=0)] = 1.0,
    azimuths: Annotated[int, Field(ge=3)] = 3,
) -> Annotated[Table, "contrast"]:
    """Measure the contrast that is detected, by injection and recovery of companions.

    The reduction is repeated with exactly its settings. Known companions are taken out of the
    frames first; sources are injected at several position angles, those in one image at least
    three FWHM apart. The threshold is that of Student's t for the apertures of the ring (Mawet
    et al. 2014, ApJ 792, 97).

    Parameters
    ----------
    cube, frames, library
        What was reduced.
    reduction
        The settings of the reduction.
    star
        The star without coronagraph, of `measure_star`.
    companions
        Known ones, of `fit_companions`.
    mask_transmission
        Of the focal-plane mask, by separation; without it contrasts are not corrected for it.
    significance_sigma
        The false-positive fraction is that of a Gaussian above this.
    step_fwhm
        Between separations.
    azimuths
        Position angles at which each separation is tested.

    Returns
    -------
    Table
        One row a separation: ``separation``, ``contrast`` (detected in half of all cases),
        ``complete_contrast`` (in 95 %), ``throughput`` of the reduction, ``throughput_error``,
        ``noise`` (one standard deviation, as a contrast without throughput), ``apertures``,
        ``threshold`` (signal over noise), ``false_positive_fraction``. NaN where nothing is
        recovered.

    Raises
    ------
    UnprocessableData
        If no separation can be measured, or cube, star and settings do not fit together.
    """
    settings = Reduction.from_table(reduction.table)
    experiment = repeated(cube, frames, reduction, star, library)
    known = sources_of(companions, settings, mask_transmission) if companions is not None else []
    half = settings.fwhm_pixel / 2
    outer = min(settings.outer_radius_pixel, min(cube.data.shape[1:]) / 2 - 1)
    separations = np.arange(
        settings.inner_radius_pixel + half, outer - half + 1e-9, step_fwhm * settings.fwhm_pixel
    )
    if not len(separations):
        raise UnprocessableData("no aperture fits between the radii of the reduction")
    limits = contrast_limits(experiment, known, separations, significance_sigma, azimuths)
    if not np.isfinite(limits.contrast).any():
        raise UnprocessableData("no injected source is recovered at any separation")
    arcsec = separations * settings.pixel_scale_arcsec
    passing = transmission_at(mask_transmission, arcsec)
    metric("best_contrast", float(np.nanmin(limits.contrast / passing)))
    table = QTable(
        {
            "separation": arcsec * 1e3 * u.mas,
            "contrast": limits.contrast / passing,
            "complete_contrast": limits.complete_contrast / passing,
            "throughput": limits.throughput,
            "throughput_error": limits.throughput_error,
            "noise": limits.noise_contrast,
            "apertures": limits.apertures,
            "threshold": limits.threshold,
            "false_positive_fraction": np.full(len(separations), norm.sf(significance_sigma)),
        }
    )
    return Table(table, meta=cube.meta)
