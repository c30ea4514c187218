"""The apodised pupil and its Fourier transform on any pixels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Complex = NDArray[np.complex64]
Field = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Pupil:
    """A round pupil with the amplitude ``(1 - r^2)^exponent``."""

    samples: int
    """Across the pupil."""
    exponent: float
    pixel_lambda_d: float
    """Width of a pixel in wavelengths over aperture."""

    @cached_property
    def coordinate(self) -> NDArray[np.float64]:
        """Of the samples, in apertures: from -0.5 to 0.5."""
        return np.asarray((np.arange(self.samples) - (self.samples - 1) / 2) / self.samples)

    @cached_property
    def amplitude(self) -> Field:
        """Amplitude of the light, shape (samples, samples)."""
        square = 4 * (self.coordinate[:, None] ** 2 + self.coordinate**2)
        return np.asarray(np.maximum(1 - square, 0) ** self.exponent, np.float32)

    @cached_property
    def peak(self) -> float:
        """Part of a star's light in the brightest pixel of its image."""
        total, power = float(self.amplitude.sum()), float(np.square(self.amplitude).sum())
        return total**2 / power * (self.pixel_lambda_d / self.samples) ** 2

    @cached_property
    def fwhm_pixel(self) -> float:
        """Full width at half maximum of a star's image, pixels."""
        radius = np.arange(0, 3 / self.pixel_lambda_d, 0.005)
        profile = np.abs(self.transform(self.amplitude, radius, np.zeros(1))[0]) ** 2
        return float(2 * np.interp(-0.5, -profile / profile[0], radius))

    def transform(
        self, plane: NDArray[np.number], x: NDArray[np.float64], y: NDArray[np.float64]
    ) -> Complex:
        """Return the field in the focal plane, by a matrix Fourier transform.

        Parameters
        ----------
        plane
            Field in the pupil, shape (samples, samples).
        x, y
            Pixels from the optical axis, any numbers.

        Returns
        -------
        field
            Shape (len(y), len(x)), in units of the field of an aberration-free pupil on axis.
        """
        wave = -2j * np.pi * self.pixel_lambda_d * self.coordinate
        along_x = np.exp(np.multiply.outer(wave, x)).astype(np.complex64)
        along_y = np.exp(np.multiply.outer(y, wave)).astype(np.complex64)
        field = along_y @ (plane.astype(np.complex64) @ along_x)
        return np.asarray(field / np.float32(self.amplitude.sum()))

    def image(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> Field:
        """Return the image of a star beside the mask; its sum over all pixels is 1.

        Parameters
        ----------
        x, y
            Pixels from the star.
        """
        field = self.transform(self.amplitude, x, y)
        return np.asarray(np.square(np.abs(field)) * np.float32(self.peak), np.float32)
