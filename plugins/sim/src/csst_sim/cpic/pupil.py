"""The apodised pupil and its Fourier transform on any pixels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Complex = NDArray[np.complex64]
Field = NDArray[np.float32]
Pixels = NDArray[np.floating[Any]]


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
        inside = np.where(square < 1, np.maximum(1 - square, 0) ** self.exponent, 0)
        return np.asarray(inside, np.float32)

    @cached_property
    def peak(self) -> float:
        """Part of a star's light in the brightest pixel of its image."""
        total, power = float(self.amplitude.sum()), float(np.square(self.amplitude).sum())
        return total**2 / power * (self.pixel_lambda_d / self.samples) ** 2

    @cached_property
    def fwhm_pixel(self) -> float:
        """Full width at half maximum of a star's image, pixels."""
        radius = np.arange(0, 3 / self.pixel_lambda_d, 0.005)
        profile = self.image(radius, np.zeros(1))[0]
        return float(2 * np.interp(-0.5, -profile / profile[0], radius))

    def tilt(self, x: Any, y: Any) -> Complex:
        """Return what moves an image by (x, y) pixels, shape (number, samples, samples).

        Parameters
        ----------
        x, y
            Pixels, one number or several.
        """
        wave = 2j * np.pi * self.pixel_lambda_d * self.coordinate
        along_x = np.exp(np.multiply.outer(np.atleast_1d(x), wave)).astype(np.complex64)
        along_y = np.exp(np.multiply.outer(np.atleast_1d(y), wave)).astype(np.complex64)
        return np.asarray(along_y[:, :, None] * along_x[:, None, :])

    def transform(self, planes: NDArray[Any], x: Pixels, y: Pixels) -> Complex:
        """Return the fields in the focal plane, by a matrix Fourier transform.

        Parameters
        ----------
        planes
            Fields in the pupil, shape (number, samples, samples).
        x, y
            Pixels from the optical axis, any numbers.

        Returns
        -------
        fields
            Shape (number, len(y), len(x)), in units of the field of an aberration-free pupil on
            axis.
        """
        wave = -2j * np.pi * self.pixel_lambda_d * self.coordinate
        along_x = np.exp(np.multiply.outer(wave, x)).astype(np.complex64)
        along_y = np.exp(np.multiply.outer(y, wave)).astype(np.complex64)
        along_y /= np.float32(self.amplitude.sum())
        number, n = len(planes), self.samples
        # Two large products instead of two for each plane
        half = planes.astype(np.complex64, copy=False).reshape(-1, n) @ along_x
        half = half.reshape(number, n, len(x)).transpose(1, 0, 2).reshape(n, -1)
        return np.asarray((along_y @ half).reshape(len(y), number, len(x)).transpose(1, 0, 2))

    def images(self, tilts: Complex, x: Pixels, y: Pixels) -> Field:
        """Return images of a star beside the mask; the sum of each over all pixels is 1.

        Parameters
        ----------
        tilts
            Of `tilt`: one for each image.
        x, y
            Pixels.
        """
        fields = self.transform(self.amplitude * tilts, x, y)
        return np.asarray(np.square(np.abs(fields)) * np.float32(self.peak), np.float32)

    def image(self, x: Pixels, y: Pixels) -> Field:
        """Return the image of a star at the origin, as `images`."""
        return np.asarray(self.images(self.tilt(0.0, 0.0), x, y)[0])
