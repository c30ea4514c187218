"""The orbit of the telescope, its light and shadow, and the Doppler shift of the sky.

Vector sums in plain numpy about the Earth of `erfa.epv00`, independent of the frames that a
pipeline uses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import erfa  # type: ignore[import-untyped]
import numpy as np
from astropy.time import Time
from numpy.typing import NDArray

from csst_sim.hstdm.settings import HstdmReceiver

Vectors = NDArray[np.float64]

LIGHT_KMS = 299792.458
EARTH_KM = 6378.137
_GRAVITY_KM3_S2 = 398600.4418
_AU_KM = 149597870.7
_DAY_S = 86400.0
_EPOCH_MJD = 61771.0  # 2028-01-01


def unit_vector(ra_deg: Any, dec_deg: Any) -> Vectors:
    """Return directions as vectors, shape (..., 3)."""
    ra, dec = np.radians(np.asarray(ra_deg, float)), np.radians(np.asarray(dec_deg, float))
    return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=-1)


# 20 km/s towards 18h +30 deg of B1900, which is 18h 03m 50.29s +30 deg 00' 16.8" of J2000
APEX_KMS: Vectors = 20.0 * unit_vector(15 * (18 + 3 / 60 + 50.29 / 3600), 30 + 16.8 / 3600)


@dataclass(frozen=True, eq=False)
class Track:
    """Where the telescope is at a series of times."""

    position_km: Vectors
    """GCRS, shape (times, 3)."""
    velocity_kms: Vectors
    lsrk_kms: Vectors
    """Velocity at the local standard of rest."""
    sunlit: NDArray[np.bool_]


def fly(mjd: NDArray[np.float64], settings: HstdmReceiver) -> Track:
    """Return the track of a circular orbit whose node drifts.

    Parameters
    ----------
    mjd
        Times, UTC; shape (times,).
    settings
        Altitude, inclination and node.
    """
    radius = EARTH_KM + settings.altitude_km
    rate = np.sqrt(_GRAVITY_KM3_S2 / radius**3)
    days = mjd - _EPOCH_MJD
    angle = rate * days * _DAY_S
    node = np.radians(settings.node_deg + settings.node_deg_per_day * days)
    tilt = np.radians(settings.inclination_deg)
    first = np.stack([np.cos(node), np.sin(node), np.zeros_like(node)], axis=-1)
    second = np.stack(
        [
            -np.sin(node) * np.cos(tilt),
            np.cos(node) * np.cos(tilt),
            np.full_like(node, np.sin(tilt)),
        ],
        axis=-1,
    )
    cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
    position = radius * (cos * first + sin * second)
    velocity = radius * rate * (cos * second - sin * first)
    time = Time(mjd, format="mjd", scale="utc").tdb
    heliocentric, barycentric = erfa.epv00(time.jd1, time.jd2)
    earth = barycentric["v"] * _AU_KM / _DAY_S
    sun = -heliocentric["p"]
    sun = sun / np.linalg.norm(sun, axis=-1, keepdims=True)
    height = np.sum(position * sun, axis=-1)
    beside = np.linalg.norm(position - height[:, None] * sun, axis=-1)
    sunlit = (height > 0) | (beside > EARTH_KM)
    return Track(position, velocity, earth + velocity + APEX_KMS, sunlit)


def approach_kms(track: Track, ra_deg: Any, dec_deg: Any) -> NDArray[np.float64]:
    """Return the velocity towards a direction, in the local standard of rest."""
    return np.asarray(np.sum(track.lsrk_kms * unit_vector(ra_deg, dec_deg), axis=-1))


def blue_shift(velocity_kms: Any) -> NDArray[np.float64]:
    """Return observed over emitted frequency of an observer who approaches."""
    b = np.asarray(velocity_kms, float) / LIGHT_KMS
    return np.asarray(np.sqrt((1 + b) / (1 - b)))
