"""`Gridding`: kernels that lay dumps on a map (reference type ``hstdm.gridding``)."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from scipy.optimize import brentq
from scipy.signal import fftconvolve
from scipy.special import j1, jn_zeros

Positive = Annotated[float, Field(gt=0)]
KernelName = Literal["gaussian", "bessel_gaussian"]

_SAMPLES = 24
"""Samples per beam for the effective beam."""


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Gaussian:
    """``exp(-4 ln2 (r / w)^2)``; lengths in beams (full width at half maximum)."""

    fwhm_beam: Positive
    cutoff_beam: Positive

    def __call__(self, radius_beam: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the kernel, 1 at the centre and 0 beyond the cutoff."""
        value = np.exp(-4 * np.log(2) * (radius_beam / self.fwhm_beam) ** 2)
        return np.where(radius_beam <= self.cutoff_beam, value, 0.0)

    @property
    def width_beam(self) -> float:
        """Full width at half maximum."""
        return self.fwhm_beam


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class BesselGaussian:
    """``2 J1(pi r / a) / (pi r / a) exp(-(r / b)^2)``; lengths in beams."""

    a_beam: Positive
    b_beam: Positive
    cutoff_beam: Positive

    def __call__(self, radius_beam: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the kernel, 1 at the centre and 0 beyond the cutoff."""
        phase = np.maximum(np.pi * radius_beam / self.a_beam, 1e-9)
        value = 2 * j1(phase) / phase * np.exp(-((radius_beam / self.b_beam) ** 2))
        return np.where(radius_beam <= self.cutoff_beam, value, 0.0)

    @property
    def width_beam(self) -> float:
        """Full width at half maximum."""
        zero = float(jn_zeros(1, 1)[0]) / np.pi * self.a_beam
        return 2 * float(brentq(lambda radius: float(self(np.array(radius))) - 0.5, 0.0, zero))


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Gridding:
    """Kernels and sampling of maps."""

    pixels_per_beam: Positive
    border_fraction: Annotated[float, Field(ge=0, lt=1)]
    """Pixels with less than this fraction of the median weight are border."""
    gaussian: Gaussian
    bessel_gaussian: BesselGaussian

    def kernel(self, name: KernelName) -> Gaussian | BesselGaussian:
        """Return a kernel by its name."""
        return self.gaussian if name == "gaussian" else self.bessel_gaussian


def effective_beam(kernel: Gaussian | BesselGaussian) -> tuple[float, float]:
    """Return width and peak of a point source of peak 1 in a map, for a Gaussian beam of width 1.

    The beam convolved with the kernel, which is cut off; for a Gaussian kernel nearly
    ``sqrt(beam^2 + kernel^2)`` and ``beam^2 / (beam^2 + kernel^2)``.
    """
    half = int(np.ceil((kernel.cutoff_beam + 1.5) * _SAMPLES))
    line = np.arange(-half, half + 1) / _SAMPLES
    radius = np.hypot(line, line[:, None])
    weights = kernel(radius)
    response = fftconvolve(np.exp(-4 * np.log(2) * radius**2), weights, mode="same")
    profile = response[half, half:] / weights.sum()
    below = int(np.argmax(profile < profile[0] / 2))
    fraction = (profile[below - 1] - profile[0] / 2) / (profile[below - 1] - profile[below])
    return float(2 * (below - 1 + fraction) / _SAMPLES), float(profile[0])
