"""A simulated field: everything that happens to a small piece of sky in one exposure.

Each field draws its own detector, exposure and sky, beyond what one instrument shows, so that
the network learns what a cosmic ray is and not what one simulator makes of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from csst_calib.training.domain import Domain, Range
from csst_calib.training.scenes import (
    Psf,
    bleed,
    draw_galaxies,
    draw_ghost,
    draw_stars,
    draw_streak,
)
from csst_calib.training.tracks import Silicon, deposit, draw_hit

HITS_PER_PIXEL = 3e-4
"""Hits per pixel at rate 1: about 26,000 on a frame of 9216 x 9232 pixels."""
TRACK_MARGIN_PIXEL = 20
MOFFAT_BETA = (2.5, 60.0)
"""From broad wings to a Gaussian."""
SATURATED_SHARE = 0.98
"""Share of the full well from which pixels are flagged saturated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldSettings:
    """What one field is made of."""

    silicon: Silicon
    psf: Psf
    background_electron: float
    read_noise_electron: float
    gain_electron_per_adu: float
    full_well_electron: float
    flat_residual: float
    rate: float
    stars_per_pixel: float
    galaxies_per_pixel: float
    hot_per_pixel: float
    streak: bool
    ghost: bool
    shift_pixel: tuple[float, float] | None
    """By which the field was shifted, linearly interpolated; None if it was not resampled."""


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """A field with its truth; arrays of shape (rows, columns)."""

    electron: NDArray[np.float32]
    """What a stage would see; hot pixels may be NaN."""
    deposit: NDArray[np.float32]
    """Electrons that particles left."""
    sigma: NDArray[np.float32]
    """Noise without particles, in electrons."""
    unjudged: NDArray[np.bool_]
    """Hot and saturated pixels: no one can tell whether a particle hit one."""
    diffusion_pixel: float


def draw_settings(domain: Domain, rng: np.random.Generator) -> FieldSettings:
    """Draw the settings of one field."""
    return FieldSettings(
        silicon=Silicon(
            thickness_um=float(rng.uniform(*domain.thickness_um)),
            pixel_um=float(rng.uniform(*domain.pixel_um)),
            diffusion_pixel=float(rng.uniform(*domain.diffusion_pixel)),
        ),
        psf=Psf(
            fwhm_pixel=float(rng.uniform(*domain.fwhm_pixel)),
            ellipticity=float(rng.uniform(0, 0.2)),
            angle=float(rng.uniform(0, np.pi)),
            beta=_log_uniform(rng, MOFFAT_BETA),
        ),
        background_electron=_log_uniform(rng, domain.background_electron),
        read_noise_electron=float(rng.uniform(*domain.read_noise_electron)),
        gain_electron_per_adu=float(rng.uniform(*domain.gain_electron_per_adu)),
        full_well_electron=float(rng.uniform(*domain.full_well_electron)),
        flat_residual=_log_uniform(rng, (5e-4, 1e-2)),
        rate=_log_uniform(rng, domain.rate),
        stars_per_pixel=_log_uniform(rng, domain.stars_per_pixel),
        galaxies_per_pixel=_log_uniform(rng, domain.galaxies_per_pixel),
        hot_per_pixel=_log_uniform(rng, (1e-5, 1e-3)),
        streak=bool(rng.uniform() < 0.1),
        ghost=bool(rng.uniform() < 0.1),
        shift_pixel=_draw_shift(rng) if rng.uniform() < domain.resampled_share else None,
    )


def make_field(settings: FieldSettings, size: int, rng: np.random.Generator) -> Field:
    """Make a square field.

    Parameters
    ----------
    settings
        Detector, exposure and sky.
    size
        Side in pixels.
    rng
        Source of randomness.

    Returns
    -------
    Field
        Pixels in electrons, with truth.
    """
    shape = (size, size)
    expected = np.full(shape, settings.background_electron, np.float64)
    draw_stars(expected, settings.psf, settings.stars_per_pixel, rng)
    draw_galaxies(expected, settings.psf, settings.galaxies_per_pixel, rng)
    if settings.streak:
        draw_streak(expected, settings.psf, rng)
    if settings.ghost:
        draw_ghost(expected, settings.psf, rng)
    expected *= rng.normal(1, settings.flat_residual, shape)
    np.maximum(expected, 0, out=expected)
    electron = rng.poisson(expected).astype(np.float32)
    particles = _draw_particles(settings, shape, rng)
    electron += particles
    bleed(electron, settings.full_well_electron)
    saturated = electron > SATURATED_SHARE * settings.full_well_electron
    electron += rng.normal(0, settings.read_noise_electron, shape).astype(np.float32)
    sigma = np.sqrt(expected + settings.read_noise_electron**2).astype(np.float32)
    if settings.shift_pixel is not None:
        electron = _shifted(electron, settings.shift_pixel)
        particles = _shifted(particles, settings.shift_pixel)
        sigma *= np.float32(np.prod([np.hypot(1 - step, step) for step in settings.shift_pixel]))
    hot = rng.uniform(size=shape) < settings.hot_per_pixel
    electron[hot] += np.exp(rng.uniform(np.log(30), np.log(3e4), int(hot.sum())))
    gain = np.float32(settings.gain_electron_per_adu)
    electron = np.rint(electron / gain) * gain
    if rng.uniform() < 0.5:
        electron[hot] = np.nan
    return Field(electron, particles, sigma, hot | saturated, settings.silicon.diffusion_pixel)


def _draw_particles(
    settings: FieldSettings, shape: tuple[int, int], rng: np.random.Generator
) -> NDArray[np.float32]:
    span = shape[0] + 2 * TRACK_MARGIN_PIXEL
    number = rng.poisson(HITS_PER_PIXEL * settings.rate * span**2)
    places = rng.uniform(-TRACK_MARGIN_PIXEL, span - TRACK_MARGIN_PIXEL, (number, 2))
    hits = [draw_hit(settings.silicon, float(x), float(y), rng) for x, y in places]
    return deposit(hits, shape, settings.silicon)


def _draw_shift(rng: np.random.Generator) -> tuple[float, float]:
    return float(rng.uniform(0, 0.5)), float(rng.uniform(0, 0.5))


def _shifted(plane: NDArray[np.float32], shift: tuple[float, float]) -> NDArray[np.float32]:
    """Shift by fractions of a pixel along rows and columns, round the edges."""
    for axis, step in enumerate(shift):
        plane = np.float32(1 - step) * plane + np.float32(step) * np.roll(plane, 1, axis)
    return plane


def _log_uniform(rng: np.random.Generator, limits: Range) -> float:
    return float(np.exp(rng.uniform(*np.log(limits))))
