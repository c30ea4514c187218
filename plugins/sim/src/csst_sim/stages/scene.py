"""Draws stars and galaxies on the detector."""

from __future__ import annotations

from typing import Annotated

import astropy.units as u
import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from csst_sim.focal_plane import footprint
from csst_sim.gaussians import add_gaussians
from csst_sim.psf import Shapes, shapes
from csst_sim.sersic import gaussian_mixture
from csst_sim.settings import Filter
from csst_sim.shot import Shot
from csst_sim.sky import draw_galaxies, draw_stars, magnitudes, move_to_epoch
from csstcore.api import Image, NotApplicable, Table

_MARGIN_PIXEL = 60.0
_SATURATED_FRACTION = 0.9
_CONVERTER_LIMIT_ADU = 65535
_Floats = NDArray[np.float64]


def draw_scene(shot: Shot) -> tuple[Annotated[Image, "image"], Annotated[Table, "truth"]]:
    """Draw stars and galaxies as electrons per second of an ideal detector.

    A source of AB magnitude m gives ``10^(0.4 (zero_point - m))`` electrons per second, times
    the throughput of the exposure. Its light is spread by the effective PSF at its place,
    galaxies as Sersic profiles (n = 1 and 4) made of Gaussians (Hogg & Lang 2013). The flux is
    the integral to infinity; what is left out beyond the drawn edge is below 1e-4 of it, for
    stars below 1e-5.

    Parameters
    ----------
    shot
        The exposure; its sky settings give the catalogue.

    Returns
    -------
    image
        Shape (rows, columns) of the active area, float32, electron/s.
    truth
        One row per source whose centre is on the detector: ``id``; ``x, y`` (1-based FITS
        pixels, first moment of the drawn light); ``ra, dec`` (ICRS, at the epoch of the
        exposure); ``mag`` (AB, in the filter); ``type`` (star or galaxy); ``flux`` (electron/s,
        total); ``saturated``; ``signal_to_noise`` (of a point source of this flux, with sky,
        dark and read noise).

    Raises
    ------
    NotApplicable
        For a slitless detector.
    """
    if shot.filter is None:
        raise NotApplicable(f"detector {shot.meta.detector} is slitless ({shot.meta.filter})")
    image = np.zeros((shot.readout.rows, shot.readout.columns), np.float32)
    ra, dec, radius = footprint(
        shot.exposure, int(shot.meta.detector or 0), shot.optics, shot.readout
    )
    parts = []
    if shot.effects.stars:
        parts.append(_stars(draw_stars(ra, dec, radius, shot.sky), shot, shot.filter, image))
    if shot.effects.galaxies:
        parts.append(_galaxies(draw_galaxies(ra, dec, radius, shot.sky), shot, shot.filter, image))
    truth = _truth(parts, shot, shot.filter, image)
    product = Image(image, unit=u.electron / u.s, wcs=shot.placement.nominal, meta=shot.meta)
    return product, Table(truth, meta=shot.meta)


def _near(x: _Floats, y: _Floats, shot: Shot) -> NDArray[np.bool_]:
    """Return which positions may leave light on the detector."""
    within_x = (x > -_MARGIN_PIXEL) & (x < shot.readout.columns + _MARGIN_PIXEL)
    return within_x & (y > -_MARGIN_PIXEL) & (y < shot.readout.rows + _MARGIN_PIXEL)


def _draw(image: NDArray[np.float32], x: _Floats, y: _Floats, flux: _Floats, parts: Shapes) -> None:
    """Add sources; positions are 1-based."""
    add_gaussians(
        image,
        (x[:, None] - 1.0 + parts.dx).ravel(),
        (y[:, None] - 1.0 + parts.dy).ravel(),
        (flux[:, None] * parts.fraction).ravel(),
        parts.fraction.ravel(),
        parts.xx.ravel(),
        parts.xy.ravel(),
        parts.yy.ravel(),
    )


def _stars(stars: QTable, shot: Shot, band: Filter, image: NDArray[np.float32]) -> QTable:
    ra, dec = move_to_epoch(stars, shot.epoch_year)
    x, y = shot.placement.pixels(ra, dec)
    mag = magnitudes(stars, shot.epoch_year, band)
    near = _near(x, y, shot)
    x, y, flux = x[near], y[near], _flux(mag[near], band, shot)
    _draw(image, x, y, flux, shapes(shot.psf, *shot.placement.field_position(x, y)))
    return _rows(stars["id"][near], x, y, ra[near], dec[near], mag[near], flux, "star")


def _flux(mag: _Floats, band: Filter, shot: Shot) -> _Floats:
    """Return the electrons per second of AB magnitudes through the optics as they are now."""
    return np.asarray(shot.exposure.throughput * 10.0 ** (0.4 * (band.zero_point - mag)))


def _galaxies(galaxies: QTable, shot: Shot, band: Filter, image: NDArray[np.float32]) -> QTable:
    ra, dec = galaxies["ra"].value, galaxies["dec"].value
    x, y = shot.placement.pixels(ra, dec)
    near = _near(x, y, shot)
    kept = galaxies[near]
    x, y, ra, dec = x[near], y[near], ra[near], dec[near]
    mag = kept["i_mag"].value + band.galaxy_colour * kept["colour"]
    flux = _flux(mag, band, shot)
    psf = shapes(shot.psf, *shot.placement.field_position(x, y))
    bulge = kept["bulge_fraction"]
    for index, part in ((1.0, 1.0 - bulge), (4.0, bulge)):
        _draw(image, x, y, flux * part, _convolved(psf, kept, index, shot))
    return _rows(kept["id"], x, y, ra, dec, mag, flux, "galaxy")


def _convolved(psf: Shapes, galaxies: QTable, index: float, shot: Shot) -> Shapes:
    """Return the components of Sersic profiles seen through the PSF: covariances add."""
    fraction, sigma = gaussian_mixture(index)
    major = galaxies["half_light_radius"].value / shot.optics.pixel_scale_arcsec
    minor = major * galaxies["axis_ratio"]
    east_of_north = np.deg2rad(galaxies["position_angle"].value)
    turned = np.deg2rad(shot.placement.angle_deg)
    # direction of the major axis in field pixels: the field is the sky turned by the angle
    east, north = np.sin(east_of_north), np.cos(east_of_north)
    cos = np.cos(turned) * east + np.sin(turned) * north
    sin = -np.sin(turned) * east + np.cos(turned) * north
    xx = (major * cos) ** 2 + (minor * sin) ** 2
    yy = (major * sin) ** 2 + (minor * cos) ** 2
    xy = (major**2 - minor**2) * cos * sin

    components = (len(major), psf.fraction.shape[1] * len(sigma))

    def combine(of_psf: _Floats, of_galaxy: _Floats) -> _Floats:
        grown = of_psf[:, :, None] + of_galaxy[:, None, None] * sigma**2
        return grown.reshape(components)

    nothing = np.zeros_like(major)
    return Shapes(
        fraction=(psf.fraction[:, :, None] * fraction).reshape(components),
        dx=combine(psf.dx, nothing),
        dy=combine(psf.dy, nothing),
        xx=combine(psf.xx, xx),
        xy=combine(psf.xy, xy),
        yy=combine(psf.yy, yy),
    )


def _rows(
    ids: NDArray[np.int64],
    x: _Floats,
    y: _Floats,
    ra: _Floats,
    dec: _Floats,
    mag: _Floats,
    flux: _Floats,
    kind: str,
) -> QTable:
    names = np.full(len(x), kind, dtype="U6")
    return QTable(
        {
            "id": ids, "x": x * u.pixel, "y": y * u.pixel, "ra": ra * u.deg, "dec": dec * u.deg,
            "mag": mag * u.mag, "type": names, "flux": flux * u.electron / u.s,
        }
    )  # fmt: skip


def _truth(parts: list[QTable], shot: Shot, band: Filter, image: NDArray[np.float32]) -> QTable:
    """Join the sources on the detector, with saturation and signal to noise."""
    empty = np.empty(0)
    parts = parts or [_rows(empty.astype(np.int64), *(empty,) * 6, "star")]
    table = QTable(
        {name: np.concatenate([part[name] for part in parts]) for name in parts[0].colnames}
    )
    x, y = table["x"].value, table["y"].value
    columns, rows = shot.readout.columns, shot.readout.rows
    table = table[(x >= 0.5) & (x < columns + 0.5) & (y >= 0.5) & (y < rows + 0.5)]
    column = np.clip(np.rint(table["x"].value).astype(int) - 1, 0, columns - 1)
    row = np.clip(np.rint(table["y"].value).astype(int) - 1, 0, rows - 1)
    time = shot.exposure.exposure_time_s
    background = (band.sky_electron_per_s * shot.effects.sky + shot.device.dark) * time
    limit = min(shot.device.full_well, _CONVERTER_LIMIT_ADU * float(shot.device.gain.min()))
    peak = image[row, column] * time + background
    table["saturated"] = peak > _SATURATED_FRACTION * limit
    # noise-equivalent area of the core, 4 pi sigma^2, for a width of 2.2 pixel
    area = 4.0 * np.pi * (2.2 / 2.355) ** 2
    signal = table["flux"].value * time
    variance = signal + area * (background + float(np.mean(shot.device.read_noise)) ** 2)
    table["signal_to_noise"] = signal / np.sqrt(np.maximum(variance, 1e-9))
    return table
