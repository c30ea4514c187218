"""One observation with all that is true about it: camera, optics, star and time of each frame."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from astropy.time import Time
from numpy.typing import NDArray

from csst_sim.cpic.coronagraph import Coronagraph, drifting_screens, random_screens
from csst_sim.cpic.exposure import Exposer
from csst_sim.cpic.plan import STAR_TYPES, CpicPlan, Observation, Star
from csst_sim.cpic.pupil import Complex, Field, Pupil
from csst_sim.cpic.settings import CpicCamera, CpicOptics
from csst_sim.cpic.sky import planet_offset
from csstcore.api import Meta

_STATIC, _DRIFT = 0x57A71C, 0xD21F7
_DAY_S = 86400.0
_SPOT_ANGLES_DEG = (45.0, 135.0, 225.0, 315.0)
_AT_ONCE = 8
"""Frames whose light is drawn together."""
_PLANET_PIXEL = 48
"""Planets are drawn this far from their centre."""


@dataclass(frozen=True, eq=False)
class CpicSession:
    """Truth and settings of one observation."""

    plan: CpicPlan
    observation: Observation
    star: Star | None
    exposer: Exposer
    optics: CpicOptics
    coronagraph: Coronagraph
    star_electron_per_s: float
    """Beside the mask, without attenuation."""
    background_electron_per_s: float
    centre: tuple[float, float]
    """Commanded position (x, y) of the star, pixels from 0 in the active area."""
    offset_pixel: NDArray[np.float64]
    """True offset (x, y) of the star from it in each frame, shape (frames, 2)."""
    meta: Meta = field(default_factory=Meta)

    @property
    def shape(self) -> tuple[int, int]:
        """Shape (rows, columns) of the active area."""
        return self.exposer.readout.shape

    @property
    def interval_s(self) -> float:
        """Time from one frame to the next."""
        return interval_s(self.observation, self.exposer.camera)

    def planets(self) -> list[tuple[float, float, float]]:
        """Return offset (x, y) from the star in pixels and electrons per second of each planet.

        Behind the mask, that is; of PSF beside it.
        """
        found = []
        for planet in self.star.planet if self.star else ():
            separation = planet.separation_mas * 1e-3 / self.optics.pixel_scale_arcsec
            x, y = planet_offset(
                separation, planet.position_angle_deg, self.observation.position_angle_deg
            )
            passing = self.observation.attenuation
            if self.observation.file_type == "SCIE":
                passing = float(self.coronagraph.throughput(np.array(separation)))
            found.append((x, y, planet.contrast * passing * self.star_electron_per_s))
        return found

    def rates(self) -> Iterator[Field]:
        """Yield the light of each frame, electrons per second, in the active area."""
        if self.star is None:
            light = np.full(self.shape, self.observation.lamp_electron_per_s, np.float32)
            for _ in range(self.observation.frames):
                yield light
            return
        screens = _screens(self)
        for first in range(0, self.observation.frames, _AT_ONCE):
            part = slice(first, first + _AT_ONCE)
            yield from self._light(self.offset_pixel[part], screens[part])

    def _light(self, offsets: NDArray[np.float64], screens: Complex) -> Field:
        """Return the light of several frames, shape (frames, rows, columns)."""
        light = np.full((len(offsets), *self.shape), self.background_electron_per_s, np.float32)
        pupil, (centre_x, centre_y) = self.coronagraph.pupil, self.centre
        rows, columns = _window(self.shape, self.centre, self.optics.light_pixel // 2)
        x, y = np.arange(*columns) - centre_x, np.arange(*rows) - centre_y
        tilts = pupil.tilt(*offsets.T)
        if self.observation.file_type == "PSF":
            images = pupil.images(tilts, x, y) * np.float32(self.observation.attenuation)
        else:
            offset_x, offset_y = self.offset_pixel.mean(axis=0)
            factors = self.coronagraph.factors(x, y, (float(offset_x), float(offset_y)))
            images = self.coronagraph.stars(screens, tilts, factors, x, y)
        light[:, slice(*rows), slice(*columns)] += images * np.float32(self.star_electron_per_s)
        for dx, dy, rate in [*self.planets(), *self._spots()]:
            place = (round(centre_x + dx), round(centre_y + dy))
            rows, columns = _window(self.shape, place, _PLANET_PIXEL)
            if rows[0] == rows[1] or columns[0] == columns[1]:
                continue  # beyond the frame
            images = pupil.images(
                tilts, np.arange(*columns) - (centre_x + dx), np.arange(*rows) - (centre_y + dy)
            )
            light[:, slice(*rows), slice(*columns)] += images * np.float32(rate)
        return light

    def _spots(self) -> list[tuple[float, float, float]]:
        """Return offset and electrons per second of the satellite spots."""
        contrast = self.plan.satellite_spot_contrast
        if contrast == 0 or self.observation.file_type != "SCIE":
            return []
        distance = self.optics.spot_lambda_d / self.coronagraph.pupil.pixel_lambda_d
        angles = np.radians(_SPOT_ANGLES_DEG)
        rate = contrast * self.star_electron_per_s
        return [(distance * np.cos(a), distance * np.sin(a), rate) for a in angles]


def interval_s(observation: Observation, camera: CpicCamera) -> float:
    """Return the time from one frame to the next."""
    return observation.exposure_time_s + camera.frame_transfer_s


def _window(
    shape: tuple[int, int], centre: tuple[float, float], half: int
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return first and last + 1 of rows and columns of a square in the frame."""
    limits = []
    for middle, length in zip(reversed(centre), shape, strict=True):
        first = max(0, round(middle) - half)
        limits.append((first, max(first, min(length, round(middle) + half + 1))))
    return limits[0], limits[1]


def _screens(session: CpicSession) -> Complex:
    """Return the pupil's aberrations in each frame, a process over all star frames of a plan."""
    plan, optics = session.plan, session.optics
    (static,) = random_screens(
        optics.pupil_samples,
        np.random.default_rng([plan.instrument_seed, _STATIC]),
        phase_fraction=optics.phase_fraction,
    )
    drifts = plan.effects_of(session.observation).speckle_drift
    times, own = [], []
    for each in plan.observation:
        if each.file_type in STAR_TYPES:
            start = float(Time(each.time, format="isot", scale="utc").mjd) * _DAY_S
            frames = np.arange(each.frames) + 0.5
            times.append(start + interval_s(each, session.exposer.camera) * frames)
            own.append(np.full(each.frames, each.obs_id == session.observation.obs_id))
    order = np.argsort(np.concatenate(times), kind="stable")
    mine = np.concatenate(own)[order]
    screens = drifting_screens(
        static,
        np.concatenate(times)[order],
        optics.drift_time_s,
        optics.drift_fraction if drifts else 0.0,
        np.random.default_rng([plan.instrument_seed, _DRIFT]),
        optics.phase_fraction,
    )
    return np.asarray(screens[mine])


def build_pupil(plan: CpicPlan, optics: CpicOptics) -> Pupil:
    """Return the pupil in the plan's filter."""
    return Pupil(optics.pupil_samples, optics.apodiser_exponent, optics.pixel_lambda_d(plan.filter))
