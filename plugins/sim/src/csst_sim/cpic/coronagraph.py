"""What a star leaves behind the mask: a leak, and speckles about the dark zone.

The field of the star is a sum of the light that passes the middle of the mask, of the wings of
the apodised pupil beyond the dark zone, and of speckles: the transform of a random screen over
the pupil. The screen has a part that stays and a part that drifts; fields add, not intensities,
so that drifting speckles beat with those that stay. A deformable mirror is not simulated as
such: its dark zone is a factor on the fields.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from csst_sim.cpic.pupil import Complex, Field, Pixels, Pupil

_EDGE_LAMBDA_D = 1.0
_STEEPNESS = 6


@dataclass(frozen=True, eq=False)
class Coronagraph:
    """Pupil, mask and dark zone."""

    pupil: Pupil
    inner_lambda_d: float
    outer_lambda_d: float
    mask_leak: float
    outside_contrast: float
    raw_contrast: float
    """Mean brightness of speckles in the dark zone over that of the star's peak."""

    def throughput(self, radius_pixel: Pixels) -> NDArray[np.float64]:
        """Return the part of a planet's light that passes the mask, 0.5 at the inner edge."""
        radius = np.asarray(radius_pixel) * self.pupil.pixel_lambda_d / self.inner_lambda_d
        return np.asarray(1 - 0.5 ** (radius**_STEEPNESS))

    def beyond(self, radius_pixel: Pixels) -> NDArray[np.float64]:
        """Return 0 within the outer edge of the dark zone, 1 far beyond."""
        step = radius_pixel * self.pupil.pixel_lambda_d - self.outer_lambda_d
        return np.asarray(0.5 * (1 + np.tanh(step / _EDGE_LAMBDA_D)))

    def factors(
        self, x: Pixels, y: Pixels, star: tuple[float, float] = (0.0, 0.0)
    ) -> tuple[Field, Field]:
        """Return what multiplies the fields of the pupil itself and of the speckles.

        Parameters
        ----------
        x, y
            Pixels from the mask, which stays where it is when the star moves.
        star
            Position (x, y) of the star: the mirror's dark zone moves with it.
        """
        passing = self.throughput(np.hypot(x, y[:, None]))
        radius = np.hypot(x - star[0], y[:, None] - star[1])
        beyond = self.beyond(radius)
        pupil = np.sqrt(self.mask_leak) * (1 - passing) + beyond
        edge = self.outer_lambda_d / self.pupil.pixel_lambda_d
        decline = np.minimum(1, (edge / np.maximum(radius, 1)) ** 2)
        contrast = self.raw_contrast * (1 + (self.outside_contrast - 1) * beyond * decline)
        speckles = np.sqrt(passing * contrast)
        return pupil.astype(np.float32), speckles.astype(np.float32)

    def stars(
        self,
        screens: Complex,
        tilts: Complex,
        factors: tuple[Field, Field],
        x: Pixels,
        y: Pixels,
    ) -> Field:
        """Return images of the star behind the mask, for a star of flux 1.

        Parameters
        ----------
        screens
            Aberrations of the pupil, of `random_screens`, one for each image.
        tilts
            Of `Pupil.tilt`: where the star is in each image.
        factors
            Of `factors`.
        x, y
            Pixels.

        Returns
        -------
        images
            Shape (number, len(y), len(x)).
        """
        pupil = self.pupil
        planes = pupil.amplitude * tilts
        power, total = np.square(pupil.amplitude).sum(), pupil.amplitude.sum()
        field = pupil.transform(planes * screens, x, y)
        field *= factors[1] * np.float32(total / np.sqrt(power))
        field += pupil.transform(planes, x, y) * factors[0]
        return np.asarray(np.square(np.abs(field)) * np.float32(pupil.peak), np.float32)


def random_screens(
    samples: int, rng: Generator, number: int = 1, phase_fraction: float = 0.5
) -> Complex:
    """Return screens of independent samples of unit variance, shape (number, y, x).

    Parameters
    ----------
    samples
        Across the pupil.
    rng
        Random numbers.
    number
        Of screens.
    phase_fraction
        Part of the variance that is phase; the rest is amplitude. Speckles of either alone are
        symmetric about the star.
    """
    shape = (number, samples, samples)
    real, imaginary = rng.standard_normal(shape, np.float32), rng.standard_normal(shape, np.float32)
    real *= np.float32(np.sqrt(1 - phase_fraction))
    imaginary *= np.float32(np.sqrt(phase_fraction))
    return np.asarray(real + 1j * imaginary, np.complex64)


def drifting_screens(
    static: Complex,
    time_s: NDArray[np.float64],
    drift_time_s: float,
    drift_fraction: float,
    rng: Generator,
    phase_fraction: float = 0.5,
) -> Complex:
    """Return the screens at a series of times: one part stays, one drifts.

    Parameters
    ----------
    static
        What stays, unit variance, shape (samples, samples).
    time_s
        Times in order; shape (times,).
    drift_time_s
        Of the Ornstein-Uhlenbeck process of the part that drifts.
    drift_fraction
        Its part of the variance.
    rng
        Of the drift.
    phase_fraction
        As in `random_screens`.
    """
    screens = np.empty((len(time_s), *static.shape), np.complex64)
    stays, drifts = np.float32(np.sqrt(1 - drift_fraction)), np.float32(np.sqrt(drift_fraction))
    (drift,) = random_screens(len(static), rng, 1, phase_fraction)
    memory = np.exp(-np.diff(time_s, prepend=time_s[:1]) / drift_time_s).astype(np.float32)
    for index, kept in enumerate(memory):
        (kick,) = random_screens(len(static), rng, 1, phase_fraction)
        drift = kept * drift + np.sqrt(1 - kept**2) * kick
        screens[index] = stays * static + drifts * drift
    return screens
