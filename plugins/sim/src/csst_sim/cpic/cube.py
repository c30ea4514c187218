"""Cubes of aligned coronagraph images, without a detector: cheap, for tests in numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from csst_sim.cpic.coronagraph import Coronagraph, drifting_screens, random_screens
from csst_sim.cpic.pupil import Pupil
from csst_sim.cpic.sky import planet_offset

Cube = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class SimulatedCube:
    """Images of one star at several roll angles, the star at the central pixel."""

    cube: Cube
    """Electrons, shape (frames, size, size)."""
    angles_deg: NDArray[np.float64]
    """Position angle of +y of each image: a planet at position angle p is at the angle
    ``p - angle`` from +y, counterclockwise."""
    psf: Cube
    """The star beside the mask, electrons per frame, without noise; shape (size, size)."""
    star_electron: float
    """Of the star beside the mask, per frame, to infinity."""
    fwhm_pixel: float
    offset_pixel: NDArray[np.float64]
    """True offset (x, y) of the star from the central pixel, shape (frames, 2)."""
    library: Cube
    """Images of another star with the same static speckles, shape (reference_frames, size,
    size)."""
    throughput: NDArray[np.float64]
    """Of the mask, for each planet."""


def simulate_cube(
    planets: Sequence[tuple[float, float, float]] = (),
    *,
    frames: int = 40,
    size: int = 161,
    rotation_deg: float = 60.0,
    pixel_lambda_d: float = 0.24,
    star_electron: float = 1e11,
    raw_contrast: float = 1e-8,
    drift_fraction: float = 0.1,
    drift_frames: float = 40.0,
    background_electron: float = 1.0,
    read_noise_electron: float = 0.0,
    noise: bool = True,
    jitter_pixel: float = 0.0,
    inner_lambda_d: float = 4.0,
    reference_frames: int = 0,
    seed: int = 1,
) -> SimulatedCube:
    """Return a cube of angular differential imaging, aligned, as Level 2 makes them.

    Parameters
    ----------
    planets
        ``(separation_pixel, position_angle_deg, contrast)`` of each; the position angle is
        from north through east, the contrast is that of total fluxes before the mask.
    frames, size
        Of the cube; an odd `size` puts the star at ``size // 2``.
    rotation_deg
        Roll from the first frame to the last, evenly.
    pixel_lambda_d
        Width of a pixel in wavelengths over aperture; the width at half maximum of a star's
        image is 5.3 pixels for 0.24.
    star_electron
        Electrons of the star per frame, beside the mask.
    raw_contrast
        Mean brightness of the speckles over that of the star's peak.
    drift_fraction, drift_frames
        Part of the speckles whose field drifts, and the time of its Ornstein-Uhlenbeck
        process in frames.
    background_electron
        Per pixel and frame.
    read_noise_electron
        Gaussian, beside shot noise.
    noise
        Whether there is shot and read noise.
    jitter_pixel
        Scatter of the star about the central pixel, per axis.
    inner_lambda_d
        Where the mask passes half of a planet's light.
    reference_frames
        Images of another star without planets, for a library.
    seed
        Of speckles and noise; the same seed with other planets gives the same ones.
    """
    static_rng, drift_rng, jitter_rng, noise_rng = np.random.default_rng(seed).spawn(4)
    pupil = Pupil(64, 1.0, pixel_lambda_d)
    coronagraph = Coronagraph(pupil, inner_lambda_d, np.inf, 1e-6, 1.0, raw_contrast)
    total = frames + reference_frames
    screens = drifting_screens(
        random_screens(pupil.samples, static_rng)[0],
        np.arange(total, dtype=float),
        drift_frames,
        drift_fraction,
        drift_rng,
    )
    pixel = np.arange(size, dtype=np.float64) - size // 2
    factors = coronagraph.factors(pixel, pixel)
    angles = np.linspace(-rotation_deg / 2, rotation_deg / 2, frames)
    offsets = jitter_pixel * jitter_rng.standard_normal((total, 2))
    throughput = coronagraph.throughput(np.array([separation for separation, _, _ in planets]))
    tilts = pupil.tilt(*offsets.T)
    images = coronagraph.stars(screens, tilts, factors, pixel, pixel)
    for (separation, angle, contrast), passing in zip(planets, throughput, strict=True):
        places = np.array([planet_offset(separation, angle, own) for own in angles])
        moved = tilts[:frames] * pupil.tilt(*places.T)
        images[:frames] += np.float32(contrast * passing) * pupil.images(moved, pixel, pixel)
    images *= np.float32(star_electron)
    images += np.float32(background_electron)
    if noise:
        images = noise_rng.poisson(images).astype(np.float32)
        images += np.float32(read_noise_electron) * noise_rng.standard_normal(
            images.shape, np.float32
        )
    return SimulatedCube(
        cube=images[:frames],
        angles_deg=angles,
        psf=pupil.image(pixel, pixel) * np.float32(star_electron),
        star_electron=star_electron,
        fwhm_pixel=pupil.fwhm_pixel,
        offset_pixel=offsets[:frames],
        library=images[frames:],
        throughput=throughput,
    )
