"""Stars and galaxies of the simulated sky, the same for every exposure that sees them.

The sky is cut into cells of 0.05 degree in bands of declination. What a cell holds depends
only on the seed, the densities and the cell's number, so that any cone can be drawn alone.
Positions are at epoch 2016.0.
"""

from __future__ import annotations

import astropy.units as u
import numpy as np
from astropy.coordinates import get_body_barycentric
from astropy.table import QTable
from astropy.time import Time
from numpy.typing import NDArray

from csst_sim.plan import SkySettings
from csst_sim.settings import Filter

EPOCH_YEAR = 2016.0
CELL_DEG = 0.05
_BANDS = round(180.0 / CELL_DEG)
_STAR_STREAM, _GALAXY_STREAM = 1, 2
_MAXIMUM_PER_CELL = 1_000_000
_VARIABLE_FRACTION, _VARIABLE_MAG = 0.03, 0.5
_DEGREE = np.pi / 180.0

Columns = dict[str, NDArray[np.float64]]


def cells_in_cone(ra_deg: float, dec_deg: float, radius_deg: float) -> list[tuple[int, int]]:
    """Return (band, number in band) of all cells that a cone may touch."""
    reach = radius_deg + CELL_DEG
    low = max(0, int((dec_deg - reach + 90.0) / CELL_DEG))
    high = min(_BANDS - 1, int((dec_deg + reach + 90.0) / CELL_DEG))
    found = []
    for band in range(low, high + 1):
        count = _cells_in_band(band)
        narrowest = np.cos(min(abs(dec_deg) + reach, 90.0) * _DEGREE)
        half = 180.0 if narrowest < reach / 120.0 else min(180.0, reach / narrowest)
        first = int(np.floor((ra_deg - half) / 360.0 * count))
        last = int(np.floor((ra_deg + half) / 360.0 * count))
        found += [
            (band, number % count) for number in range(first, min(last, first + count - 1) + 1)
        ]
    return found


def _cells_in_band(band: int) -> int:
    middle = (band + 0.5) * CELL_DEG - 90.0
    return max(1, int(np.ceil(360.0 * np.cos(middle * _DEGREE) / CELL_DEG)))


def _positions(
    band: int, number: int, density: float, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draw positions in a cell, uniform on the sphere."""
    count = _cells_in_band(band)
    low, high = (np.sin(((band + side) * CELL_DEG - 90.0) * _DEGREE) for side in (0, 1))
    area = (high - low) * 360.0 / count * 3600.0 / _DEGREE
    total = int(rng.poisson(density * area))
    dec = np.arcsin(rng.uniform(low, high, total)) / _DEGREE
    return (number + rng.random(total)) * 360.0 / count, dec


def _magnitudes(
    limits: tuple[float, float], slope: float, count: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Draw magnitudes whose counts grow as 10^(slope m)."""
    low, high = (10.0 ** (slope * (limit - limits[1])) for limit in limits)
    return limits[1] + np.log10(rng.uniform(low, high, count)) / slope


def _star_cell(band: int, number: int, sky: SkySettings) -> Columns:
    rng = np.random.default_rng([sky.seed, _STAR_STREAM, band, number])
    ra, dec = _positions(band, number, sky.stars_per_arcmin2, rng)
    count = len(ra)
    g_mag = _magnitudes(sky.star_g_mag, sky.star_slope, count, rng)
    distance_kpc = 10.0 ** rng.normal(0.3 + 0.04 * (g_mag - 18.0), 0.25)
    return {
        "ra": ra,
        "dec": dec,
        "pmra": rng.normal(-1.0, 60.0 / 4.74, count) / distance_kpc,
        "pmdec": rng.normal(-2.0, 60.0 / 4.74, count) / distance_kpc,
        "parallax": 1.0 / distance_kpc,
        "g_mag": g_mag,
        "bp_rp": np.clip(rng.normal(0.9, 0.35, count) + 0.5 * (rng.random(count) < 0.4), -0.2, 3.5),
        "reddening": 0.5 * sky.star_reddening * rng.gamma(2.0, 1.0, count),
        "peculiarity": rng.standard_normal(count),
        "amplitude": _VARIABLE_MAG * rng.random(count) * (rng.random(count) < _VARIABLE_FRACTION),
    }


def _galaxy_cell(band: int, number: int, sky: SkySettings) -> Columns:
    rng = np.random.default_rng([sky.seed, _GALAXY_STREAM, band, number])
    ra, dec = _positions(band, number, sky.galaxies_per_arcmin2, rng)
    count = len(ra)
    mag = _magnitudes(sky.galaxy_i_mag, sky.galaxy_slope, count, rng)
    radius = 0.45 * 10.0 ** (-0.1 * (mag - 22.0) + rng.normal(0.0, 0.2, count))
    return {
        "ra": ra,
        "dec": dec,
        "i_mag": mag,
        "colour": rng.normal(1.0, 0.3, count),
        "half_light_radius": np.clip(radius, 0.05, 6.0),
        "bulge_fraction": np.clip(rng.normal(0.2, 0.3, count), 0.0, 1.0),
        "axis_ratio": rng.uniform(0.25, 1.0, count),
        "position_angle": rng.uniform(0.0, 180.0, count),
    }


_UNITS = {
    "ra": u.deg, "dec": u.deg, "pmra": u.mas / u.yr, "pmdec": u.mas / u.yr, "parallax": u.mas,
    "g_mag": u.mag, "bp_rp": u.mag, "reddening": u.mag, "amplitude": u.mag, "i_mag": u.mag,
    "half_light_radius": u.arcsec, "position_angle": u.deg,
}  # fmt: skip


def _cone(kind: str, ra_deg: float, dec_deg: float, radius_deg: float, sky: SkySettings) -> QTable:
    make = _star_cell if kind == "star" else _galaxy_cell
    parts, ids = [], []
    for band, number in cells_in_cone(ra_deg, dec_deg, radius_deg):
        part = make(band, number, sky)
        near = separation_deg(part["ra"], part["dec"], ra_deg, dec_deg) <= radius_deg
        first = (band * 7200 + number) * _MAXIMUM_PER_CELL
        ids.append(first + np.flatnonzero(near))
        parts.append({name: column[near] for name, column in part.items()})
    table = QTable({"id": np.concatenate(ids).astype(np.int64)})
    for name in parts[0]:
        column = np.concatenate([part[name] for part in parts])
        table[name] = column * _UNITS[name] if name in _UNITS else column
    return table


def separation_deg(
    ra: NDArray[np.float64], dec: NDArray[np.float64], ra0: float, dec0: float
) -> NDArray[np.float64]:
    """Return angular distances from a direction (haversine formula), in degrees."""
    half_dec = np.sin((dec - dec0) / 2 * _DEGREE) ** 2
    half_ra = np.sin((ra - ra0) / 2 * _DEGREE) ** 2
    chord = half_dec + np.cos(dec * _DEGREE) * np.cos(dec0 * _DEGREE) * half_ra
    return np.asarray(2.0 * np.arcsin(np.sqrt(np.clip(chord, 0.0, 1.0))) / _DEGREE)


def draw_stars(ra_deg: float, dec_deg: float, radius_deg: float, sky: SkySettings) -> QTable:
    """Return the stars of a cone.

    Columns ``id, ra, dec, pmra`` (with cos dec)``, pmdec, parallax, g_mag, bp_rp`` (mean, as seen),
    ``reddening`` (E(B-V)), ``peculiarity`` (place in the scatter of colours, standard normal) and
    ``amplitude`` (of variable stars, else 0).
    """
    return _cone("star", ra_deg, dec_deg, radius_deg, sky)


def draw_galaxies(ra_deg: float, dec_deg: float, radius_deg: float, sky: SkySettings) -> QTable:
    """Return the galaxies of a cone.

    Columns ``id, ra, dec, i_mag, colour`` (factor to the filter's typical colour),
    ``half_light_radius`` (major axis), ``bulge_fraction, axis_ratio, position_angle`` (east of
    north).
    """
    return _cone("galaxy", ra_deg, dec_deg, radius_deg, sky)


def magnitudes(stars: QTable, epoch_year: float, band: Filter) -> NDArray[np.float64]:
    """Return the AB magnitudes of stars in a filter at an epoch.

    G plus the filter's relation to colour and reddening, the star's place in its scatter, and
    the phase of a variable star.
    """
    constant, slope, curve = band.star_colour
    colour = stars["bp_rp"].to_value(u.mag) - 0.8
    phase = np.asarray(stars["id"] % 1009) / 1009.0 + 97.0 * epoch_year
    return np.asarray(
        stars["g_mag"].to_value(u.mag)
        + constant
        + slope * colour
        + curve * colour**2
        + band.star_reddening * stars["reddening"].to_value(u.mag)
        + band.star_scatter * np.asarray(stars["peculiarity"])
        + stars["amplitude"].to_value(u.mag) * np.sin(2.0 * np.pi * phase)
    )


def move_to_epoch(
    stars: QTable, epoch_year: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return right ascension and declination in degrees at an epoch, as seen from the Earth.

    Proper motion along great circles, and parallax; aberration is left out.
    """
    ra, dec = (stars[name].to_value(u.rad) for name in ("ra", "dec"))
    years = epoch_year - EPOCH_YEAR
    east, north = (stars[name].to_value(u.rad / u.yr) * years for name in ("pmra", "pmdec"))
    position = np.array([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)])
    to_east = np.array([-np.sin(ra), np.cos(ra), np.zeros_like(ra)])
    to_north = np.array([-np.sin(dec) * np.cos(ra), -np.sin(dec) * np.sin(ra), np.cos(dec)])
    earth = get_body_barycentric("earth", Time(epoch_year, format="jyear")).xyz.to_value(u.au)
    shift = stars["parallax"].to_value(u.rad) * earth[:, None]
    x, y, z = position + east * to_east + north * to_north - shift
    return np.arctan2(y, x) / _DEGREE % 360.0, np.arctan2(z, np.hypot(x, y)) / _DEGREE
