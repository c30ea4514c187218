"""The reference stars of a catalogue."""

from __future__ import annotations

from typing import Annotated

import astropy.units as u
import numpy as np
from pydantic import Field

from csst_imaging.columns import values
from csst_imaging.position.exposure import frame_of
from csst_imaging.position.tpv import project
from csstcore.api import Reference, Table

MOVED_ARCSEC = 150.0
"""Proper motion since the catalogue's epoch is less (Barnard's star in 14 years)."""


def select_stars(
    catalog: Table,
    stars: Reference[Table],
    *,
    margin_arcsec: Annotated[float, Field(ge=0, le=3600)] = 120.0,
) -> Annotated[Table, "stars"]:
    """Select the reference stars around the detector of a catalogue.

    For stages that take several exposures, each of which has its own part of the star
    catalogue.

    Parameters
    ----------
    catalog
        Its world coordinates say where the detector points.
    stars
        Reference stars (definition ``imaging.reference_stars``).
    margin_arcsec
        How far the pointing may be wrong, distortion included.

    Returns
    -------
    Table
        The rows within half a diagonal and the margin of the detector's centre.

    Raises
    ------
    UnprocessableData
        The catalogue has no coordinates, time or size of its image.
    """
    frame = frame_of(catalog)
    corner, middle = frame.wcs.wcs_pix2world([[1.0, 1.0], frame.center], 1)
    ra0, dec0 = map(float, middle)
    radius_deg = float(np.hypot(*project(corner[:1], corner[1:], ra0, dec0))[0])
    radius_deg += (margin_arcsec + MOVED_ARCSEC) / 3600.0
    table = stars.table
    ra, dec = values(table, "ra", u.deg), values(table, "dec", u.deg)
    near = np.hypot(*project(ra, dec, ra0, dec0)) < radius_deg
    return Table(table[near], meta=catalog.meta)
