"""A small renderer of star fields with known truth, sharing no code with the stages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import astropy.units as u
import numpy as np
import pytest
from astropy.time import Time
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.special import erf

from csst_imaging.stages.background import estimate_background
from csst_imaging.stages.detection import detect_sources
from csst_imaging.stages.photometry import measure_photometry
from csstcore.api import Image, Meta, Table
from csstcore.notes import collecting

Floats = NDArray[np.float64]
HALF = 48
"""Half width of a stamp; less than 1e-5 of the flux lies outside."""


def profile(center: float, start: int, size: int, sigma: float) -> Floats:
    edges = np.arange(start, start + size + 1) - 0.5 - center
    return np.diff(0.5 * erf(edges / (np.sqrt(2.0) * sigma)))


@dataclass
class Renderer:
    """Stars of three pixel-integrated Gaussians: core, shoulder displaced by coma, wings."""

    fwhm: float = 2.2
    gradient: float = 0.0
    """Relative growth of the width from the left to the right edge."""
    coma: float = 0.4
    """Displacement of the shoulder along +y, pixel."""
    sky: float = 45.0
    read_noise: float = 5.0

    def signal(self, shape: tuple[int, int], x: Floats, y: Floats, flux: Floats) -> Floats:
        """Expected electrons of stars at 1-based pixel positions."""
        rows, columns = shape
        data = np.zeros(shape)
        for px, py, f in zip(x - 1.0, y - 1.0, flux, strict=True):
            x0, x1 = max(int(px) - HALF, 0), min(int(px) + HALF + 1, columns)
            y0, y1 = max(int(py) - HALF, 0), min(int(py) + HALF + 1, rows)
            width = self.fwhm / 2.3548 * (1.0 + self.gradient * (px / columns - 0.5))
            for part, sigma, shift in (
                (0.80, width, 0.0),
                (0.17, 1.9 * width, self.coma),
                (0.03, 7.0, 0.0),
            ):
                gx = profile(px, x0, x1 - x0, sigma)
                gy = profile(py + shift, y0, y1 - y0, sigma)
                data[y0:y1, x0:x1] += np.outer(f * part * gy, gx)
        return data

    def observe(self, signal: Floats, rng: np.random.Generator) -> Image:
        """Add sky and noise; the variance is the true one."""
        expected = signal + self.sky
        variance = expected + self.read_noise**2
        data = rng.normal(expected, np.sqrt(variance))
        return Image(
            data.astype(np.float32),
            unit=u.electron,
            variance=variance.astype(np.float32),
            flags=np.zeros(data.shape, np.uint16),
            meta=Meta(time=Time("2028-06-01T00:00:00"), exposure_time=150.0 * u.s),
        )


def grid(rng: np.random.Generator, shape: tuple[int, int], spacing: float) -> tuple[Floats, Floats]:
    """1-based positions on a jittered grid, so that no two are close."""
    rows, columns = shape
    ys, xs = np.mgrid[50 : rows - 50 : spacing, 50 : columns - 50 : spacing]
    jitter = rng.uniform(-0.5, 0.5, (2, ys.size)) * min(0.4 * spacing, 8.0)
    return xs.ravel() + jitter[0] + 1.0, ys.ravel() + jitter[1] + 1.0


@dataclass(frozen=True)
class Field:
    """A rendered field, measured, beside its truth."""

    image: Image
    background: Image
    sources: Table
    catalog: Table
    metrics: Mapping[str, object]
    x: Floats
    y: Floats
    flux: Floats
    nearest: NDArray[np.intp]
    """Row of the catalogue of each true star."""
    distance: Floats

    def column(self, name: str) -> Floats:
        """A column of the catalogue in the order of the true stars."""
        column = self.catalog.table[name]
        return np.asarray(getattr(column, "value", column))[self.nearest]


def measure(image: Image, x: Floats, y: Floats, flux: Floats) -> Field:
    """Run the stages and look up every true star."""
    with collecting() as notes:
        background = estimate_background(image)
        sources = detect_sources(image, background)
        catalog = measure_photometry(image, sources, background)
    table = catalog.table
    tree = cKDTree(np.stack([table["x"].value, table["y"].value], axis=-1))
    distance, nearest = tree.query(np.stack([x, y], axis=-1))
    return Field(image, background, sources, catalog, notes.metrics, x, y, flux, nearest, distance)


@pytest.fixture(scope="session")
def field() -> Field:
    """About 1,400 stars whose width grows by 15 % across the field; more than one band."""
    rng = np.random.default_rng(1)
    shape = (2400, 1900)
    x, y = grid(rng, shape, 55.0)
    flux = 10 ** rng.uniform(2.8, 5.3, x.size)
    renderer = Renderer(gradient=0.15)
    return measure(renderer.observe(renderer.signal(shape, x, y, flux), rng), x, y, flux)


@pytest.fixture(scope="session")
def renderer() -> Renderer:
    """The default renderer."""
    return Renderer()


@pytest.fixture(scope="session")
def small(renderer: Renderer) -> Callable[..., Field]:
    """Render and measure a small field of given stars."""

    def render(x: list[float], y: list[float], flux: list[float], size: int = 200) -> Field:
        rng = np.random.default_rng(5)
        at = np.array(x, float), np.array(y, float), np.array(flux, float)
        return measure(renderer.observe(renderer.signal((size, size), *at), rng), *at)

    return render
