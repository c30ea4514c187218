"""A small renderer of star fields with known truth, sharing no code with the stages."""

from __future__ import annotations

from dataclasses import dataclass

import astropy.units as u
import numpy as np
from astropy.time import Time
from astropy.wcs import WCS
from numpy.typing import NDArray
from scipy.special import erf

from csstcore.api import Image, Meta

HALF = 48
"""Half width of a stamp; less than 1e-5 of the flux lies outside."""


@dataclass(frozen=True)
class Psf:
    """Three Gaussians: a core, a shoulder displaced by coma, and wings."""

    fwhm: float = 2.2
    gradient: float = 0.0
    """Relative growth of the width from the left to the right edge."""
    coma: float = 0.4
    """Displacement of the shoulder along +y, pixel."""

    def components(self, x: float) -> list[tuple[float, float, float]]:
        """Flux, sigma and displacement along y at `x`, which runs from 0 to 1."""
        sigma = self.fwhm / 2.3548 * (1.0 + self.gradient * (x - 0.5))
        return [(0.80, sigma, 0.0), (0.17, 1.9 * sigma, self.coma), (0.03, 7.0, 0.0)]


def profile(center: float, start: int, size: int, sigma: float) -> NDArray[np.float64]:
    edges = np.arange(start, start + size + 1) - 0.5 - center
    return np.diff(0.5 * erf(edges / (np.sqrt(2.0) * sigma)))


def add_stars(
    data: NDArray[np.float32],
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    flux: NDArray[np.float64],
    psf: Psf,
) -> None:
    """Add stars at 1-based pixel positions, in place."""
    rows, columns = data.shape
    for px, py, f in zip(x - 1.0, y - 1.0, flux, strict=True):
        x0, x1 = max(int(px) - HALF, 0), min(int(px) + HALF + 1, columns)
        y0, y1 = max(int(py) - HALF, 0), min(int(py) + HALF + 1, rows)
        for part, sigma, shift in psf.components(px / columns):
            gx = profile(px, x0, x1 - x0, sigma)
            gy = profile(py + shift, y0, y1 - y0, sigma)
            data[y0:y1, x0:x1] += np.outer(f * part * gy, gx).astype(np.float32)


def observe(
    signal: NDArray[np.float32],
    rng: np.random.Generator,
    *,
    sky: float = 45.0,
    read_noise: float = 5.0,
    wcs: WCS | None = None,
) -> Image:
    """Return an image in electrons with noise and the true variance."""
    expected = signal + np.float32(sky)
    variance = (expected + read_noise**2).astype(np.float32)
    data = rng.normal(expected, np.sqrt(variance)).astype(np.float32)
    meta = Meta(time=Time("2028-06-01T00:00:00"), exposure_time=150.0 * u.s)
    flags = np.zeros(data.shape, np.uint16)
    return Image(data, unit=u.electron, variance=variance, flags=flags, wcs=wcs, meta=meta)


def grid_positions(
    rng: np.random.Generator, shape: tuple[int, int], spacing: float, margin: float = 50.0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return 1-based positions on a jittered grid, so that no two are close."""
    rows, columns = shape
    ys, xs = np.mgrid[margin : rows - margin : spacing, margin : columns - margin : spacing]
    jitter = rng.uniform(-0.5, 0.5, (2, ys.size)) * min(0.4 * spacing, 8.0)
    return xs.ravel() + jitter[0] + 1.0, ys.ravel() + jitter[1] + 1.0
