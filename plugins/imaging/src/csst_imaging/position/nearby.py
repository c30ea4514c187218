"""Reference stars around a place in a tangent plane."""

from __future__ import annotations

import astropy.units as u
import numpy as np
from astropy.time import Time
from numpy.typing import NDArray

from csst_imaging.columns import values
from csst_imaging.position.epoch import Stars, stars_at
from csst_imaging.position.tpv import Plane, project
from csstcore.api import Table

MOVED_DEG = 0.04
"""Proper motion since the catalogue's epoch is less (Barnard's star in 13 years)."""


def stars_around(
    stars: Table, plane: Plane, center: NDArray[np.float64], radius_pixel: float, time: Time
) -> tuple[Stars, NDArray[np.float64]]:
    """Return the stars near an ideal pixel at a time, brightest first, with their ideal pixels.

    Only those are moved to the time that were near at the catalogue's epoch.
    """
    table = stars.table
    ra0, dec0 = plane.world(center[None])
    ra, dec = values(table, "ra", u.deg), values(table, "dec", u.deg)
    radius_deg = radius_pixel * plane.scale_mas / 3.6e6
    near = np.hypot(*project(ra, dec, float(ra0[0]), float(dec0[0]))) < radius_deg + MOVED_DEG
    nearby = stars_at(table[near], time)
    nearby = nearby[np.argsort(nearby.magnitude, kind="stable")]
    seen = plane.seen(nearby.ra_deg, nearby.dec_deg)
    inside = np.hypot(*(seen - center).T) < radius_pixel
    return nearby[inside], seen[inside]
