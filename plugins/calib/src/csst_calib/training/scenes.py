"""The sky of a training patch: stars, galaxies, charge that bleeds from full pixels."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray

MARGIN_PIXEL = 24
"""Sources are also placed this far outside the patch."""
OVERSAMPLING = 3
NARROW_PIXEL = 2.8
"""Stamps of stars of a larger full width at half maximum are larger."""
FAINTEST_STAR_ELECTRON = 100.0
BRIGHTEST_STAR_ELECTRON = 2e7
STAR_COUNT_SLOPE = 0.5
"""The number of stars above a flux falls with this power of the flux."""
BULGE = 0.3
"""Largest share of light in a galaxy's bulge, of a fifth of the disk's size."""
DISK = ((0.35, 0.25), (0.4, 0.8), (0.25, 1.7))
"""Share of light and sigma over half-light radius: an exponential disk in three Gaussians
(Hogg & Lang 2013, PASP 125, 719, with fewer terms)."""


@dataclass(frozen=True, slots=True)
class Psf:
    """An elliptical Moffat point-spread function."""

    fwhm_pixel: float
    ellipticity: float
    angle: float
    beta: float

    def stamp(self, x: float, y: float, half: int) -> NDArray[np.float64]:
        """Return the light per pixel of a star of flux 1, at (`x`, `y`) from the centre pixel."""
        radius = self.fwhm_pixel / (2 * np.sqrt(2 ** (1 / self.beta) - 1))
        squared = _elliptical(x, y, half, self.ellipticity, self.angle) / radius**2
        return _binned((self.beta - 1) / (np.pi * radius**2) * (1 + squared) ** -self.beta)


def draw_stars(
    plane: NDArray[np.float64],
    psf: Psf,
    density: float,
    rng: np.random.Generator,
) -> None:
    """Add stars to `plane`, in place.

    Parameters
    ----------
    plane
        Expected electrons per pixel, shape (rows, columns).
    psf
        Point-spread function.
    density
        Stars per pixel above `FAINTEST_STAR_ELECTRON`.
    rng
        Source of randomness.
    """
    shares = np.array((FAINTEST_STAR_ELECTRON, BRIGHTEST_STAR_ELECTRON)) ** -STAR_COUNT_SLOPE
    for x, y in _draw_places(plane.shape, density, rng):
        flux = float(rng.uniform(shares[1], shares[0])) ** (-1 / STAR_COUNT_SLOPE)
        half = 8 if flux < 2e4 else 16 if flux < 1e6 else 40
        half = ceil(half * max(1.0, psf.fwhm_pixel / NARROW_PIXEL))
        _add(plane, round(x), round(y), flux * psf.stamp(x - round(x), y - round(y), half))


def draw_galaxies(
    plane: NDArray[np.float64], psf: Psf, density: float, rng: np.random.Generator
) -> None:
    """Add disk galaxies to `plane`, in place; `density` is their number per pixel."""
    for x, y in _draw_places(plane.shape, density, rng):
        flux = float(np.exp(rng.uniform(np.log(200), np.log(2e5))))
        radius = float(np.exp(rng.normal(np.log(2.0), 0.5)))
        half = min(40, int(5 * radius + 6))
        squared = _elliptical(
            x - round(x), y - round(y), half, float(rng.uniform(0, 0.5)), rng.uniform(0, np.pi)
        )
        light = np.zeros_like(squared)
        bulge = float(rng.uniform(0, BULGE))
        parts = [(share * (1 - bulge), width) for share, width in DISK]
        for share, width in (*parts, (bulge, 0.2)):
            variance = (psf.fwhm_pixel / 2.355) ** 2 + (width * radius) ** 2
            light += share / (2 * np.pi * variance) * np.exp(-squared / (2 * variance))
        _add(plane, round(x), round(y), flux * _binned(light))


def draw_streak(plane: NDArray[np.float64], psf: Psf, rng: np.random.Generator) -> None:
    """Add the straight trail of a satellite, in place: wider than the point-spread function."""
    rows, columns = np.indices(plane.shape)
    angle = rng.uniform(0, np.pi)
    x, y = (rng.uniform(0, size) for size in plane.shape[::-1])
    across = (columns - x) * np.sin(angle) - (rows - y) * np.cos(angle)
    sigma = psf.fwhm_pixel / 2.355 * rng.uniform(1, 3)
    plane += np.exp(rng.uniform(0, np.log(1000)) - across**2 / (2 * sigma**2))


def draw_ghost(plane: NDArray[np.float64], psf: Psf, rng: np.random.Generator) -> None:
    """Add the ghost of a bright star, in place: an even disk with an edge."""
    rows, columns = np.indices(plane.shape)
    x, y = (rng.uniform(0, size) for size in plane.shape[::-1])
    inside = rng.uniform(20, 300) - np.hypot(columns - x, rows - y)
    level = np.exp(rng.uniform(0, np.log(200)))
    plane += level / (1 + np.exp(-np.clip(inside / psf.fwhm_pixel * 2, -50, 50)))


def bleed(plane: NDArray[np.float32], full_well_electron: float) -> None:
    """Move charge above the full well along columns, half each way, in place."""
    for column in np.flatnonzero((plane > full_well_electron).any(axis=0)):
        values = plane[:, column].astype(np.float64)
        excess = np.maximum(values - full_well_electron, 0)
        values -= excess
        for order in (range(len(values)), range(len(values) - 1, -1, -1)):
            carried = 0.0
            for row in order:
                carried += excess[row] / 2
                taken = min(carried, full_well_electron - values[row])
                values[row] += taken
                carried -= taken
        plane[:, column] = values


def _draw_places(
    shape: tuple[int, ...], density: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    rows, columns = (size + 2 * MARGIN_PIXEL for size in shape)
    number = rng.poisson(density * rows * columns)
    return rng.uniform(0, (columns, rows), (number, 2)) - MARGIN_PIXEL


def _elliptical(
    x: float, y: float, half: int, ellipticity: float, angle: float
) -> NDArray[np.float64]:
    """Return squared elliptical radii on an oversampled stamp, area-preserving."""
    fine = (np.arange((2 * half + 1) * OVERSAMPLING) + 0.5) / OVERSAMPLING - half - 0.5
    dx = (fine - x)[None, :]
    dy = (fine - y)[:, None]
    along = dx * np.cos(angle) + dy * np.sin(angle)
    across = dy * np.cos(angle) - dx * np.sin(angle)
    ratio = (1 - ellipticity) / (1 + ellipticity)
    return np.asarray(along**2 * ratio + across**2 / ratio)


def _binned(fine: NDArray[np.float64]) -> NDArray[np.float64]:
    size = len(fine) // OVERSAMPLING
    return np.asarray(fine.reshape(size, OVERSAMPLING, size, OVERSAMPLING).mean(axis=(1, 3)))


def _add(plane: NDArray[np.float64], x: int, y: int, stamp: NDArray[np.float64]) -> None:
    half = len(stamp) // 2
    rows = slice(max(0, y - half), max(0, min(plane.shape[0], y + half + 1)))
    columns = slice(max(0, x - half), max(0, min(plane.shape[1], x + half + 1)))
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return
    plane[rows, columns] += stamp[
        rows.start - y + half : rows.stop - y + half,
        columns.start - x + half : columns.stop - x + half,
    ]
