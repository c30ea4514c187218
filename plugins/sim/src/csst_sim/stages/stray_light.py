"""Adds light that comes where it should not: satellites, ghosts, scattered light."""

from __future__ import annotations

from typing import Annotated

import astropy.units as u
import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from csst_sim.effects.satellite_trails import Trail, add_trail
from csst_sim.effects.stray_light import FAINTEST_ELECTRON_PER_S, add_disc, add_halo
from csst_sim.focal_plane import footprint
from csst_sim.settings import Filter, Ghost, StrayLight, Trails
from csst_sim.shot import Shot
from csst_sim.sky import draw_stars, magnitudes, move_to_epoch
from csstcore.api import Image, InPlace, NotApplicable, Reference, Table, metric

_STREAM = 0x57A4
_MARGIN_PIXEL = 1500.0
"""Stars so far off the detector still send light to it."""
_Floats = NDArray[np.float64]
Row = tuple[str, float, float, float, float, float, float, float, float, float]
_COLUMNS = {
    "kind": None, "star_x": u.pixel, "star_y": u.pixel, "flux": u.electron / u.s, "x": u.pixel,
    "y": u.pixel, "radius": u.pixel, "inner_radius": u.pixel, "exponent": None,
    "brightness": u.electron / u.s,
}  # fmt: skip


def add_satellite_trails(
    image: InPlace[Image],
    shot: Shot,
    stray_light: Reference[StrayLight],
    *,
    rng: np.random.Generator,
) -> tuple[Annotated[Image, "image"], Annotated[Table, "trails"]]:
    """Add the light of satellites that cross the field.

    Parameters
    ----------
    image
        Electrons per second.
    shot
        The exposure.
    stray_light
        How many and how bright they are.
    rng
        Trails.

    Returns
    -------
    image
        With the trails. Metric ``true_trails``: their number.
    trails
        One row per trail: ``x, y`` (1-based) of its middle, ``angle`` from the x axis, ``bend``
        (deviation at 1000 pixels), ``electron_per_pixel`` of length, ``sigma`` of the PSF,
        ``disc`` (defocused diameter), ``tumbling``, ``period``, ``phase``, ``start, end``.

    Raises
    ------
    NotApplicable
        Unless the plan switches trails on.
    """
    if not shot.effects.satellite_trails or shot.exposure.exposure_time_s <= 0:
        raise NotApplicable("the plan does not switch satellite trails on")
    numbers = stray_light.trails
    trails = [
        draw_trail(numbers, image.shape, rng) for _ in range(rng.poisson(numbers.mean_number))
    ]
    for trail in trails:
        add_trail(image.data, trail, 1.0 / shot.exposure.exposure_time_s)
    metric("true_trails", len(trails))
    return image, Table(_trail_table(trails), meta=shot.meta)


def draw_trail(numbers: Trails, shape: tuple[int, int], rng: np.random.Generator) -> Trail:
    """Draw a trail through a uniform point of a frame, in any direction."""
    y, x = rng.uniform(0, shape[0]), rng.uniform(0, shape[1])
    brightness, disc = (
        float(np.exp(rng.uniform(*np.log(limits))))
        for limits in (numbers.electron_per_pixel, numbers.disc_pixel)
    )
    tumbles = rng.random() < numbers.tumbling_fraction
    ends = rng.random() < numbers.ending_fraction
    return Trail(
        x=float(x),
        y=float(y),
        angle=float(rng.uniform(0.0, np.pi)),
        bend=float(rng.uniform(-numbers.bend_pixel, numbers.bend_pixel)),
        electron_per_pixel=brightness,
        sigma_pixel=0.95,
        disc_pixel=disc,
        tumbling=float(rng.uniform(*numbers.tumbling)) if tumbles else 0.0,
        period_pixel=float(rng.uniform(*numbers.period_pixel)),
        phase=float(rng.uniform(0.0, 2.0 * np.pi)),
        start=0.0 if ends else -1e5,
        end=1e5,
    )


def _trail_table(trails: list[Trail]) -> QTable:
    def column(name: str) -> _Floats:
        return np.array([getattr(trail, name) for trail in trails], np.float64)

    return QTable(
        {
            "x": (column("x") + 1.0) * u.pixel,
            "y": (column("y") + 1.0) * u.pixel,
            "angle": np.rad2deg(column("angle")) * u.deg,
            "bend": column("bend") * u.pixel,
            "electron_per_pixel": column("electron_per_pixel") * u.electron / u.pixel,
            "sigma": column("sigma_pixel") * u.pixel,
            "disc": column("disc_pixel") * u.pixel,
            "tumbling": column("tumbling"),
            "period": column("period_pixel") * u.pixel,
            "phase": column("phase") * u.rad,
            "start": column("start") * u.pixel,
            "end": column("end") * u.pixel,
        }
    )


def add_stray_light(
    image: InPlace[Image], shot: Shot, stray_light: Reference[StrayLight]
) -> tuple[Annotated[Image, "image"], Annotated[Table, "stray_light"]]:
    """Add ghosts and scattered light of bright stars.

    Every star sends a part of its light to discs beside it, whose places are linear in the
    star's distance from the optical axis, and scatters another part about itself. The parts
    and places are the detector's own, drawn about those of the reference.

    Parameters
    ----------
    image
        Electrons per second.
    shot
        The exposure; ghosts and scattered light are switched on by its effects.
    stray_light
        Ranges of the parts and places.

    Returns
    -------
    image
        With ghosts and haloes of stars on and about the detector.
    stray_light
        One row per ghost and halo: ``kind`` (ghost or halo), ``star_x, star_y, flux`` of the
        star, ``x, y`` (1-based), ``radius`` (of a halo: of its core), ``inner_radius,
        exponent, brightness`` (electron/s per pixel; of a halo: in the middle).

    Raises
    ------
    NotApplicable
        Unless the plan switches one of them on, or if the detector is slitless.
    """
    effects, band = shot.effects, shot.filter
    if not (effects.ghosts or effects.scattered_light) or band is None:
        raise NotApplicable("the plan switches neither ghosts nor scattered light on")
    x, y, flux = _stars(shot, band)
    rng = np.random.default_rng([shot.device.pattern_seed, _STREAM])
    rows: list[Row] = []
    for ghost in stray_light.ghost:
        drawn = _ghosts(ghost, x, y, flux, shot, rng)
        rows += drawn if effects.ghosts else []
    halo = stray_light.halo
    central = rng.uniform(*halo.fraction) * (halo.exponent - 2.0) / (2 * np.pi * halo.core_pixel**2)
    if effects.scattered_light:
        rows += [
            ("halo", *star, *star[:2], halo.core_pixel, 0.0, halo.exponent, star[2] * central)
            for star in zip(x, y, flux, strict=True)
        ]
    rows = [row for row in rows if row[-1] > 10 * FAINTEST_ELECTRON_PER_S]
    for kind, _, _, _, at_x, at_y, radius, inner, exponent, brightness in rows:
        if kind == "ghost":
            add_disc(image.data, at_x - 1, at_y - 1, radius, inner, brightness)
        else:
            add_halo(image.data, at_x - 1, at_y - 1, radius, exponent, brightness)
    return image, Table(_stray_light_table(rows), meta=shot.meta)


def _stars(shot: Shot, band: Filter) -> tuple[_Floats, _Floats, _Floats]:
    """Return positions (1-based) and fluxes of the stars on and about the detector."""
    detector = int(shot.meta.detector or 0)
    ra, dec, radius = footprint(shot.exposure, detector, shot.optics, shot.readout)
    margin = _MARGIN_PIXEL * shot.optics.pixel_scale_arcsec / 3600.0
    stars = draw_stars(ra, dec, radius + margin, shot.sky)
    x, y = shot.placement.pixels(*move_to_epoch(stars, shot.epoch_year))
    mag = magnitudes(stars, shot.epoch_year, band)
    near = (np.abs(x - shot.readout.columns / 2) < shot.readout.columns / 2 + _MARGIN_PIXEL) & (
        np.abs(y - shot.readout.rows / 2) < shot.readout.rows / 2 + _MARGIN_PIXEL
    )
    flux = 10.0 ** (0.4 * (band.zero_point - mag[near]))
    return x[near], y[near], flux * shot.exposure.throughput


def _ghosts(
    ghost: Ghost, x: _Floats, y: _Floats, flux: _Floats, shot: Shot, rng: np.random.Generator
) -> list[Row]:
    fraction, radius = rng.uniform(*ghost.fraction), rng.uniform(*ghost.radius_pixel)
    shift = np.array(ghost.shift_pixel) + rng.normal(0.0, ghost.error_pixel, 2)
    inner = ghost.hole * radius
    brightness = flux * fraction / (np.pi * (radius**2 - inner**2))
    axis = shot.placement.reference_pixel
    at_x = x + shift[0] + ghost.scale * (x - axis[0])
    at_y = y + shift[1] + ghost.scale * (y - axis[1])
    return [
        ("ghost", *star, radius, inner, 0.0, level)
        for *star, level in zip(x, y, flux, at_x, at_y, brightness, strict=True)
    ]


def _stray_light_table(rows: list[Row]) -> QTable:
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(_COLUMNS)
    table = QTable()
    for (name, unit), values in zip(_COLUMNS.items(), columns, strict=True):
        if name == "kind":
            table[name] = np.array(values, "U5")
        else:
            table[name] = np.array(values, np.float64) * (1.0 if unit is None else unit)
    return table
