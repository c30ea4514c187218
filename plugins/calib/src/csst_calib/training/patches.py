"""A training patch: everything that happens to one small field in one exposure.

Each patch draws its own detector, exposure and sky, far beyond what one instrument shows, so
that the network learns what a cosmic ray is and not what one simulator makes of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from csst_calib.training.scenes import Psf, bleed, draw_galaxies, draw_stars
from csst_calib.training.tracks import Silicon, deposit, draw_hit

HITS_PER_PIXEL = 3e-4
"""Hits per pixel at rate 1: about 26,000 on a frame of 9216 x 9232 pixels."""
TRACK_MARGIN_PIXEL = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchSettings:
    """What one patch is made of."""

    silicon: Silicon
    psf: Psf
    sky_electron: float
    read_noise_electron: float
    gain_electron_per_adu: float
    full_well_electron: float
    flat_residual: float
    rate: float
    stars_per_pixel: float
    galaxies_per_pixel: float
    hot_per_pixel: float


@dataclass(frozen=True, slots=True, eq=False)
class Patch:
    """A patch with its truth."""

    electron: NDArray[np.float32]
    """What a stage would see, shape (rows, columns); hot pixels may be NaN (flagged before)."""
    deposit: NDArray[np.float32]
    """Electrons that particles left."""
    hot: NDArray[np.bool_]
    """Hot pixels; no one can tell whether a particle hit one."""
    read_noise_electron: float


def draw_settings(rng: np.random.Generator, *, rate: tuple[float, float]) -> PatchSettings:
    """Draw the settings of one patch; `rate` is the range of the rate of hits."""
    pixel_um = float(rng.choice((10.0, 13.5, 15.0)))
    exposure_second = _log_uniform(rng, 10, 300)
    return PatchSettings(
        silicon=Silicon(
            thickness_um=float(rng.uniform(10, 50)),
            pixel_um=pixel_um,
            diffusion_pixel=float(rng.uniform(0, 0.5)),
        ),
        psf=Psf(
            fwhm_pixel=float(rng.uniform(1.6, 2.8)),
            ellipticity=float(rng.uniform(0, 0.2)),
            angle=float(rng.uniform(0, np.pi)),
            beta=float(rng.uniform(2.5, 5)),
        ),
        sky_electron=exposure_second * _log_uniform(rng, 0.005, 0.5),
        read_noise_electron=float(rng.uniform(3, 7)),
        gain_electron_per_adu=float(rng.uniform(0.8, 2)),
        full_well_electron=float(rng.uniform(6e4, 1.2e5)),
        flat_residual=_log_uniform(rng, 5e-4, 1e-2),
        rate=_log_uniform(rng, *rate),
        stars_per_pixel=_log_uniform(rng, 5e-5, 5e-3),
        galaxies_per_pixel=_log_uniform(rng, 1e-4, 2e-3),
        hot_per_pixel=_log_uniform(rng, 1e-5, 1e-3),
    )


def make_patch(settings: PatchSettings, size: int, rng: np.random.Generator) -> Patch:
    """Make a square patch.

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
    Patch
        Pixels in electrons, with truth.
    """
    shape = (size, size)
    expected = np.full(shape, settings.sky_electron, np.float64)
    draw_stars(expected, settings.psf, settings.stars_per_pixel, 1e7, rng)
    draw_galaxies(expected, settings.psf, settings.galaxies_per_pixel, rng)
    expected *= rng.normal(1, settings.flat_residual, shape)
    electron = rng.poisson(np.maximum(expected, 0)).astype(np.float32)
    particles = _draw_particles(settings, shape, rng)
    electron += particles
    bleed(electron, settings.full_well_electron)
    electron += rng.normal(0, settings.read_noise_electron, shape).astype(np.float32)
    hot = rng.uniform(size=shape) < settings.hot_per_pixel
    electron[hot] += np.exp(rng.uniform(np.log(30), np.log(3e4), int(hot.sum())))
    gain = np.float32(settings.gain_electron_per_adu)
    electron = np.rint(electron / gain) * gain
    if rng.uniform() < 0.5:
        electron[hot] = np.nan
    return Patch(electron, particles, hot, settings.read_noise_electron)


def _draw_particles(
    settings: PatchSettings, shape: tuple[int, int], rng: np.random.Generator
) -> NDArray[np.float32]:
    span = shape[0] + 2 * TRACK_MARGIN_PIXEL
    number = rng.poisson(HITS_PER_PIXEL * settings.rate * span**2)
    places = rng.uniform(-TRACK_MARGIN_PIXEL, span - TRACK_MARGIN_PIXEL, (number, 2))
    hits = [draw_hit(settings.silicon, float(x), float(y), rng) for x, y in places]
    return deposit(hits, shape, settings.silicon)


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))
