"""Fields of simulated galaxies and stars with known truth, catalogued by the stages.

Galaxies and PSF are the simulator's; the models know neither: the PSF is that estimated from the
stars of the field.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import astropy.units as u
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from csst_imaging.stages.background import estimate_background
from csst_imaging.stages.detection import detect_sources
from csst_imaging.stages.galaxy_models import fit_galaxies
from csst_imaging.stages.photometry import measure_photometry
from csst_imaging.stages.psf import model_psf
from csst_sim.direct import shipped
from csst_sim.gaussians import add_gaussians
from csst_sim.psf import PsfField, draw_psf, shapes
from csst_sim.sersic import gaussian_mixture
from csst_sim.settings import Optics
from csstcore.api import Image, Psf, Table
from csstcore.notes import collecting

Floats = NDArray[np.float64]

SKY_ELECTRON, READ_NOISE_ELECTRON = 42.0, 5.0
FIELD_PIXEL = 9000.0
"""The PSF varies over the field as over so many pixels of a detector."""


@dataclass
class Galaxies:
    """True galaxies: FITS pixels, electrons, major axis in pixels, radians from +x to +y."""

    x: Floats
    y: Floats
    flux: Floats
    radius: Floats
    axis_ratio: Floats
    angle: Floats
    bulge: Floats
    """Part of the flux; bulge and disk have one shape."""

    def __len__(self) -> int:
        return len(self.x)


def hidden_psf() -> PsfField:
    """The PSF of the simulator."""
    return draw_psf(shipped("msc_optics.toml", Optics), 5, True)


def sampled_psf(psf: PsfField, x: float, y: float, step_pixel: float = 0.5) -> Psf:
    """The hidden PSF of one place as samples, for tests that are not about its estimate."""
    size = 81
    image = np.zeros((size, size), np.float32)
    seen = shapes(psf, np.array([x / FIELD_PIXEL]), np.array([y / FIELD_PIXEL]))
    center, area = (size - 1) / 2.0, step_pixel**2
    add_gaussians(
        image,
        center + seen.dx[0] / step_pixel,
        center + seen.dy[0] / step_pixel,
        seen.fraction[0] / area,
        seen.fraction[0],
        seen.xx[0] / area,
        seen.xy[0] / area,
        seen.yy[0] / area,
    )
    return Psf(image[None], step_pixel, 0, (1.0, 1.0), (1.0, 1.0))


def add_galaxies(image: NDArray[np.float32], psf: PsfField, galaxies: Galaxies) -> None:
    """Add the expected electrons of galaxies."""
    seen = shapes(psf, galaxies.x / FIELD_PIXEL, galaxies.y / FIELD_PIXEL)
    minor = galaxies.radius * galaxies.axis_ratio
    cos, sin = np.cos(galaxies.angle), np.sin(galaxies.angle)
    xx = (galaxies.radius * cos) ** 2 + (minor * sin) ** 2
    yy = (galaxies.radius * sin) ** 2 + (minor * cos) ** 2
    xy = (galaxies.radius**2 - minor**2) * cos * sin
    for index, part in ((1.0, 1.0 - galaxies.bulge), (4.0, galaxies.bulge)):
        fraction, sigma = gaussian_mixture(index)

        def both(of_psf: Floats, of_galaxy: Floats, sigma: Floats = sigma) -> Floats:
            return (of_psf[:, :, None] + of_galaxy[:, None, None] * sigma**2).ravel()

        parts = (seen.fraction[:, :, None] * fraction).ravel()
        components = len(parts) // len(galaxies)
        none = np.zeros(len(galaxies))
        add_gaussians(
            image,
            np.repeat(galaxies.x - 1.0, components) + both(seen.dx, none),
            np.repeat(galaxies.y - 1.0, components) + both(seen.dy, none),
            np.repeat(galaxies.flux * part, components) * parts,
            parts,
            both(seen.xx, xx),
            both(seen.xy, xy),
            both(seen.yy, yy),
        )


def add_stars(
    image: NDArray[np.float32], psf: PsfField, x: Floats, y: Floats, flux: Floats
) -> None:
    """Add the expected electrons of stars."""
    seen = shapes(psf, x / FIELD_PIXEL, y / FIELD_PIXEL)
    add_gaussians(
        image,
        (x[:, None] - 1.0 + seen.dx).ravel(),
        (y[:, None] - 1.0 + seen.dy).ravel(),
        (flux[:, None] * seen.fraction).ravel(),
        seen.fraction.ravel(),
        seen.xx.ravel(),
        seen.xy.ravel(),
        seen.yy.ravel(),
    )


def observe(expected: NDArray[np.float32], rng: np.random.Generator) -> Image:
    """Add sky and noise."""
    variance = expected + np.float32(SKY_ELECTRON + READ_NOISE_ELECTRON**2)
    noise = rng.standard_normal(expected.shape, np.float32) * np.sqrt(variance)
    return Image(
        expected + np.float32(SKY_ELECTRON) + noise,
        unit=u.electron,
        variance=variance,
        flags=np.zeros(expected.shape, np.uint16),
    )


def random_galaxies(
    x: Floats, y: Floats, flux: Floats, bulge: Floats, rng: np.random.Generator
) -> Galaxies:
    """Galaxies as large as real ones of their brightness, of any shape."""
    number = len(x)
    radius = 6.0 * (flux / 7600.0) ** 0.25 * 10.0 ** rng.normal(0.0, 0.15, number)
    return Galaxies(
        x,
        y,
        flux,
        np.clip(radius, 2.5, 16.0),
        rng.uniform(0.3, 1.0, number),
        rng.uniform(-np.pi / 2, np.pi / 2, number),
        bulge,
    )


@dataclass
class Measured:
    """A field with its truth, its catalogue and its models."""

    image: Image
    background: Image
    catalog: Table
    psf: Psf
    models: Table
    metrics: dict[str, object]

    def rows(self, x: Floats, y: Floats) -> NDArray[np.intp]:
        """The rows of the catalogue nearest to true positions."""
        table = self.catalog.table
        tree = cKDTree(np.column_stack([table["x"].value, table["y"].value]))
        distance, index = tree.query(np.column_stack([x, y]))
        assert (distance < 1.5).all()
        return np.asarray(index)

    def column(self, name: str, rows: NDArray[np.intp]) -> Floats:
        """A column of the models."""
        column = self.models.table[name]
        return np.asarray(getattr(column, "value", column), np.float64)[rows]


def measure(image: Image, psf: Psf | None = None) -> Measured:
    """Catalogue an image, model its PSF unless one is given, and fit its galaxies.

    The models get the true sky: what is wrong with an estimated one is not theirs.
    """
    background = estimate_background(image)
    sky = replace(background, data=np.full(image.shape, SKY_ELECTRON, np.float32))
    with collecting() as notes:
        sources = detect_sources(image, background)
        catalog = measure_photometry(image, sources, background)
        psf = psf or model_psf(image, sources, sky)
        models = fit_galaxies(image, sky, catalog, psf)
    return Measured(image, sky, catalog, psf, models, dict(notes.metrics))
