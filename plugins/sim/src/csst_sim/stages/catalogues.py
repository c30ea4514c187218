"""Lists the true sky of a plan, and how Gaia would see it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import numpy as np
from astropy.table import QTable, vstack

from csst_sim.focal_plane import footprint
from csst_sim.gaia import observe_stars
from csst_sim.plan import Plan, SkySettings
from csst_sim.settings import Optics, Readout
from csst_sim.sky import draw_galaxies, draw_stars
from csstcore.api import Reference, Table

Draw = Callable[[float, float, float, SkySettings], QTable]


def draw_catalogs(
    plan: Plan, readout: Reference[Readout], optics: Reference[Optics]
) -> tuple[Annotated[Table, "stars"], Annotated[Table, "galaxies"]]:
    """List the true stars and galaxies in the fields of a plan.

    Parameters
    ----------
    plan
        Its sky settings give the sky, its exposures and detectors the fields.
    readout
        Size of the detectors.
    optics
        Their places.

    Returns
    -------
    stars
        At epoch 2016.0: ``id, ra, dec, pmra, pmdec, parallax, g_mag, bp_rp, reddening,
        peculiarity, amplitude``.
    galaxies
        ``id, ra, dec, i_mag, colour, half_light_radius, bulge_fraction, axis_ratio,
        position_angle``.
    """
    cones = [
        footprint(exposure, detector, optics, readout)
        for exposure in plan.exposure
        for detector in exposure.detectors or plan.detectors
    ]
    stars = _union(draw_stars, cones, plan.sky)
    galaxies = _union(draw_galaxies, cones, plan.sky)
    return Table(stars, meta=plan.meta), Table(galaxies, meta=plan.meta)


def _union(draw: Draw, cones: list[tuple[float, float, float]], sky: SkySettings) -> QTable:
    table = vstack([draw(*cone, sky) for cone in cones], metadata_conflicts="silent")
    _, first = np.unique(np.asarray(table["id"]), return_index=True)
    return table[first]


def observe_reference_stars(
    stars: Table, *, rng: np.random.Generator
) -> Annotated[Table, "reference_stars"]:
    """List the stars as a Gaia-like reference catalogue at epoch 2016.0.

    Parameters
    ----------
    stars
        True stars.
    rng
        Errors of the catalogue.

    Returns
    -------
    reference_stars
        Stars brighter than G 21 with errors by magnitude: ``ra, dec`` (deg), ``ra_error,
        dec_error`` (mas), ``pmra`` (includes cos dec)``, pmdec, pmra_error, pmdec_error`` (mas/yr),
        ``parallax`` (mas), ``g_mag, bp_rp, reddening`` (mag) with errors, ``epoch`` (yr).
    """
    return Table(observe_stars(stars.table, rng), meta=stars.meta)
