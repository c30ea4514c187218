"""`find_companions`: sources in a residual image."""

from __future__ import annotations

from typing import Annotated

import astropy.units as u
import numpy as np
from astropy.table import QTable
from pydantic import Field
from scipy.stats import norm

from csst_cpic.planets.detection import detect, resolution_elements
from csst_cpic.planets.experiment import Experiment
from csst_cpic.planets.frame_scatter import levels
from csst_cpic.planets.repeated import repeated, star_subtraction
from csst_cpic.planets.search import search
from csst_cpic.star.reduction import Reduction
from csstcore.api import Cube, Image, Reference, Table, UnprocessableData, caveat, metric


def find_companions(
    residual: Image,
    cube: Cube,
    frames: Table,
    reduction: Table,
    star: Image | None = None,
    library: Reference[Cube] | None = None,
    *,
    significance_sigma: Annotated[float, Field(gt=0)] = 5.0,
    largest_number: Annotated[int, Field(ge=1)] = 20,
) -> Annotated[Table, "companions"]:
    """Find sources in a residual image by their signal over noise in small samples.

    Each maximum is compared with the other apertures of its ring; its ratio counts by how rarely
    noise gives it, with Student's t (Mawet et al. 2014, ApJ 792, 97). Apertures are levelled first
    by their scatter from frame to frame: where speckles were bright noise is larger, and would
    give false positives. The best source is fitted and taken out of the frames before the next is
    looked for, so that what the reduction leaves around a bright one is not another; without the
    image of the star it is only masked.

    Parameters
    ----------
    residual
        Of `subtract_psf`.
    cube, frames, library
        What was reduced.
    reduction
        The settings of the reduction.
    star
        The star without coronagraph, of `measure_star`.
    significance_sigma
        Threshold, as the deviation of a Gaussian that is as rare in one aperture.
    largest_number
        No more companions are listed.

    Returns
    -------
    Table
        One row a source, the most significant first: ``x``, ``y`` (FITS pixels of the residual
        image), ``separation``, ``position_angle``, ``snr``, ``false_positive_fraction`` (in one
        aperture), ``significance``.

    Raises
    ------
    UnprocessableData
        If the image has no values, or the settings do not fit the cube.
    """
    settings = Reduction.from_table(reduction.table)
    if not np.isfinite(residual.data).any():
        raise UnprocessableData("the residual image has no values")
    experiment = _experiment(cube, frames, reduction, star, library)
    if experiment is not None:
        found = search(experiment, significance_sigma, largest_number)
    else:
        level = levels(star_subtraction(cube, frames, reduction, library))
        width = settings.fwhm_pixel
        found = detect(residual.data, level, width, significance_sigma, largest_number)
    elements = resolution_elements(residual.data, settings.fwhm_pixel)
    metric("companions", len(found))
    metric("resolution_elements", elements)
    metric("expected_false_positives", elements * float(norm.sf(significance_sigma)))
    scale = settings.pixel_scale_arcsec * 1e3
    table = QTable(
        {
            "x": np.array([each.column + 1 for each in found], np.float64) * u.pix,
            "y": np.array([each.row + 1 for each in found], np.float64) * u.pix,
            "separation": np.array([scale * e.separation_pixel for e in found], np.float64) * u.mas,
            "position_angle": np.array([e.position_angle_deg for e in found], np.float64) * u.deg,
            "snr": np.array([each.ratio for each in found], np.float64),
            "false_positive_fraction": np.array(
                [each.false_positive_fraction for each in found], np.float64
            ),
            "significance": np.array([each.significance_sigma for each in found], np.float64),
        }
    )
    return Table(table, meta=residual.meta, wcs=residual.wcs)


def _experiment(
    cube: Cube, frames: Table, reduction: Table, star: Image | None, library: Cube | None
) -> Experiment | None:
    """Return what fits need; None, with a caveat, if there is no image of the star that fits."""
    try:
        if star is None:
            raise UnprocessableData("there is no image of the star")
        return repeated(cube, frames, reduction, star, library)
    except UnprocessableData as cause:
        caveat(f"companions are masked, not taken out, before others are looked for: {cause}")
        return None
