"""Velocity of a satellite against the local standard of rest, and the frequencies it shifts."""

from __future__ import annotations

from functools import cache
from typing import Any

import astropy.units as u
import numpy as np
from astropy.constants import c
from astropy.coordinates import ICRS, LSRK, get_body_barycentric_posvel
from astropy.time import Time
from numpy.typing import NDArray

LIGHT_KM_S = float(c.to_value("km / s"))


def velocity_to_source(
    time: Time, velocity_km_s: NDArray[np.float64], direction: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the velocity of the observer towards the source, against LSRK.

    Velocity of the Earth about the barycentre (ERFA epv00) plus that of the satellite (GCRS) plus
    that of the Sun, 20 km/s towards 18h +30 deg (B1900) as defined for LSRK.

    Parameters
    ----------
    time
        Of each dump.
    velocity_km_s
        Of the satellite about the Earth, GCRS, shape (dumps, 3).
    direction
        Unit vectors towards the source, ICRS, shape (dumps, 3).

    Returns
    -------
    NDArray
        km/s, positive where the observer approaches the source.
    """
    _, earth = get_body_barycentric_posvel("earth", time)
    total = earth.xyz.to_value(u.km / u.s).T + velocity_km_s + _sun_km_s()
    return np.asarray(np.sum(total * direction, axis=1))


def doppler_factor(velocity_km_s: Any) -> NDArray[np.float64]:
    """Return the frequency at rest over that seen by an observer who approaches the source.

    ``sqrt((1 - b) / (1 + b))`` with ``b = v / c``.
    """
    b = np.asarray(velocity_km_s, float) / LIGHT_KM_S
    return np.asarray(np.sqrt((1 - b) / (1 + b)))


@cache
def _sun_km_s() -> NDArray[np.float64]:
    """Return the velocity of the barycentre against LSRK, ICRS axes."""
    zero = 0 * u.mas / u.yr
    rest = ICRS(0 * u.deg, 0 * u.deg, 1 * u.pc, zero, zero, 0 * u.km / u.s)
    moving = rest.transform_to(LSRK()).velocity.d_xyz
    return np.asarray(moving.to_value(u.km / u.s))
