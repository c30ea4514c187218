"""Star fields with a hidden world-coordinate truth, for `position.py`: no pixels, only lists."""

from __future__ import annotations

from dataclasses import dataclass

import astropy.units as u
import numpy as np
from astropy.table import QTable
from astropy.time import Time
from astropy.wcs import WCS
from numpy.typing import NDArray

from csstcore.api import Image, Meta, Table

Floats = NDArray[np.float64]

SHAPE = (9232, 9216)
TIME = Time("2028-06-01T00:00:00")
ANGLE = np.radians(113.4333)
SCALE_DEG = 0.074 / 3600.0
CRPIX_RANGE = 15000.0
"""The optical axis is within this many pixels of the detector along each axis."""

CENTROID_PIXEL, CENTROID_G_MAG = 0.012, 18.5


@dataclass(frozen=True)
class Case:
    """What a field is made of."""

    stars: int
    """Reference stars on the detector."""
    spurious: float = 0.8
    """Part of the sources that are not in the reference: fainter stars, galaxies, cosmic rays."""
    missing: float = 0.1
    """Part of the reference stars that are not detected."""
    colour_scatter_mag: float = 0.5
    """How far magnitudes in the filter are from those of the reference."""
    shift_arcsec: float = 30.0
    rotation_degree: float = 1.0
    radial_pixel: float = 200.0
    """Cubic distortion at 33,000 pixels from the axis; a tenth of it of order 5."""
    local_pixel: float = 0.5
    """Distortion of orders 2 to 4 at the edge of the detector, each of seven terms."""
    noise: bool = True


@dataclass
class Field:
    """A field as `solve_position` gets it, beside its truth."""

    image: Image
    sources: Table
    stars: Table
    pixel: Floats
    """True pixels of the reference stars on the detector, shape (n, 2)."""
    ra: Floats
    dec: Floats

    def errors_mas(self, wcs: WCS) -> Floats:
        """Return the errors of a solution at the true stars, shape (2, n)."""
        ra, dec = wcs.all_pix2world(self.pixel, 1).T
        return np.stack([(ra - self.ra) * np.cos(np.radians(self.dec)), dec - self.dec]) * 3.6e6


def tangent(crpix: Floats, ra: float, dec: float, turn_degree: float) -> WCS:
    """Return the gnomonic coordinates of a detector."""
    angle = ANGLE + np.radians(turn_degree)
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.cunit = ["deg", "deg"]
    wcs.wcs.radesys = "ICRS"
    wcs.wcs.crpix, wcs.wcs.crval = crpix, [ra, dec]
    cos, sin = np.cos(angle), np.sin(angle)
    wcs.wcs.cd = SCALE_DEG * np.array([[cos, -sin], [sin, cos]])
    wcs.wcs.set()
    return wcs


def distort(ideal: Floats, crpix: Floats, case: Case, shape: Floats) -> Floats:
    """Return where ideal pixels (n, 2) are seen."""
    offset = (ideal - crpix) / 33000.0
    square = np.sum(offset**2, axis=1, keepdims=True)
    radial = case.radial_pixel * offset * (square + 0.1 * square**2)
    x, y = (ideal[:, 0] - 4608.5) / 4608.0, (ideal[:, 1] - 4616.5) / 4616.0
    terms = np.stack([x * x, x * y, y * y, x**3, x * y * y, x**2 * y**2, y**4], axis=-1)
    return ideal + radial + case.local_pixel * terms @ shape


def make_field(case: Case, seed: int) -> Field:
    """Draw a field: uniform stars, G magnitudes to 20.5 with counts growing as 10^(0.25 G)."""
    rng = np.random.default_rng([seed, case.stars])
    rows, columns = SHAPE
    crpix = rng.uniform(-1, 1, 2) * CRPIX_RANGE + [4608.5, 4616.5]
    toward = rng.uniform(0, 2 * np.pi)
    shift = case.shift_arcsec / 3600.0 * np.array([np.cos(toward), np.sin(toward)])
    ra0, dec0 = rng.uniform(0, 360), rng.uniform(-75, 75)
    turn = case.rotation_degree * rng.choice([-1.0, 1.0])
    truth = tangent(crpix, ra0 + shift[0] / np.cos(np.radians(dec0)), dec0 + shift[1], turn)
    margin = 1500
    number = int(case.stars * (1 + 2 * margin / rows) * (1 + 2 * margin / columns))
    ideal = rng.uniform(-margin, [columns + margin, rows + margin], (number, 2))
    ra, dec = truth.wcs_pix2world(ideal, 1).T
    pixel = distort(ideal, crpix, case, rng.uniform(-1, 1, (7, 2)))
    g = 20.5 + np.log10(rng.uniform(10**-1.5, 1, number)) / 0.25
    stars = observed(ra, dec, g, case, rng)
    inside = np.all((pixel > 20) & (pixel < [columns - 20, rows - 20]), axis=1)
    seen = np.flatnonzero(inside & (rng.random(number) >= case.missing))
    sources = detected(pixel[seen], g[seen], case, rng)
    image = Image(
        np.broadcast_to(np.float32(0), SHAPE),
        wcs=tangent(crpix, ra0, dec0, 0.0),
        meta=Meta(time=TIME, detector=1),
    )
    return Field(image, Table(sources), Table(stars), pixel[inside], ra[inside], dec[inside])


def observed(ra: Floats, dec: Floats, g: Floats, case: Case, rng: np.random.Generator) -> QTable:
    """Return stars as a catalogue of epoch 2016 has them, with proper motions and errors."""
    n = len(ra)
    error = 0.05 * 10 ** (0.2 * np.maximum(g - 15, 0))
    motion = rng.normal(0, 8, (2, n))
    years = TIME.jyear - 2016.0
    wrong = rng.normal(0, 1, (4, n)) * error * float(case.noise)
    old_ra = ra - (motion[0] * years + wrong[0]) / 3.6e6 / np.cos(np.radians(dec))
    old_dec = dec - (motion[1] * years + wrong[1]) / 3.6e6
    rate = u.mas / u.yr
    return QTable(
        {
            "ra": old_ra * u.deg,
            "dec": old_dec * u.deg,
            "ra_error": error * u.mas,
            "dec_error": error * u.mas,
            "pmra": (motion[0] + 0.5 * wrong[2]) * rate,
            "pmdec": (motion[1] + 0.5 * wrong[3]) * rate,
            "pmra_error": 0.5 * error * rate,
            "pmdec_error": 0.5 * error * rate,
            "parallax": np.zeros(n) * u.mas,
            "g_mag": g * u.mag,
            "epoch": np.full(n, 2016.0) * u.yr,
        }
    )


def detected(at: Floats, g: Floats, case: Case, rng: np.random.Generator) -> QTable:
    """Return stars at pixels (n, 2) as sources, with others that the reference does not have."""
    rows, columns = SHAPE
    error = CENTROID_PIXEL * 10 ** (0.2 * np.maximum(g - CENTROID_G_MAG, 0))
    at = at + rng.normal(0, 1, at.shape) * error[:, None] * float(case.noise)
    others = int(len(at) * case.spurious / (1 - case.spurious))
    faint = 25 + np.log10(rng.uniform(10**-2.5, 1, others)) / 0.35
    magnitude = np.append(g + rng.normal(0, case.colour_scatter_mag, len(at)), faint)
    at = np.vstack([at, rng.uniform(0, [columns, rows], (others, 2))])
    error = np.append(error, np.full(others, 0.05))
    return QTable(
        {
            "x": at[:, 0] * u.pixel,
            "y": at[:, 1] * u.pixel,
            "x_error": error * u.pixel,
            "y_error": error * u.pixel,
            "flux_isophotal": 10 ** (-0.4 * (magnitude - 25)) * u.electron,
            "flags": np.where(magnitude < 17.0, 4, 0),
            "converged": np.ones(len(at), bool),
        }
    )
