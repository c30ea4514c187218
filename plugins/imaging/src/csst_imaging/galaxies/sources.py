"""What the catalogue says of the sources, as first guesses of their models."""

from __future__ import annotations

from dataclasses import dataclass

import astropy.units as u
import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from csst_imaging.columns import values
from csst_imaging.galaxies.model import (
    BULGE,
    DISK,
    G1,
    G2,
    LN_INDEX,
    MOST_PARAMETERS,
    POINT,
    RADIUS,
    SERSIC,
)
from csst_imaging.galaxies.psf_mixture import PsfMixture
from csst_imaging.galaxies.sersic import HIGHEST_INDEX, LOWEST_INDEX

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

WIDER_THAN_PSF = 1.12
"""A source is extended if it is wider than the PSF by this factor."""

SMALLEST_RADIUS_PIXEL, LARGEST_RADIUS_PIXEL = 0.5, 60.0
FIRST_INDEX = 1.5
LARGEST_FIRST_G = 1.4

LEAST_HALF_PIXEL, MOST_HALF_PIXEL = 9, 110
RADII_OF_WINDOW, RADII_OF_LINK = 4.0, 2.5
"""A galaxy's window, and the reach of its light into neighbours, in half-light radii."""

POINT_REACH_PIXEL, POINT_REACH_GROWTH = 2.0, 0.35
"""A point source reaches to 2 + 0.35 sqrt(S/N) pixels: there its wings sink into the noise."""


@dataclass(frozen=True)
class Sources:
    """First guesses, one element or row per source of the catalogue."""

    usable: NDArray[np.bool_]
    """Position and flux are known; others are left out."""
    extended: NDArray[np.bool_]
    parameters: Floats
    """Shape (sources, `MOST_PARAMETERS`), of a point or a Sersic profile."""
    windows: Integers
    """First row, end row, first column, end column on the detector."""
    reach: Floats
    """Distance to which it disturbs others, pixel."""
    psf: Floats
    """Shape (sources, components, 6)."""

    @property
    def kinds(self) -> Integers:
        """`SERSIC` or `POINT`."""
        return np.where(self.extended, SERSIC, POINT).astype(np.int64)


def first_guesses(
    table: QTable, mixture: PsfMixture, shape: tuple[int, int], unit: u.UnitBase
) -> Sources:
    """Return first guesses from the columns of a catalogue.

    Parameters
    ----------
    table
        Columns ``x, y, fwhm, a, b, theta, flux_kron, flux_kron_error``, and ``light_radius`` or,
        as a file has it, ``R50``.
    mixture
        The PSF.
    shape
        Rows and columns of the image.
    unit
        Of the image.
    """
    x, y = values(table, "x", u.pixel) - 1.0, values(table, "y", u.pixel) - 1.0
    flux = values(table, "flux_kron", unit)
    error = values(table, "flux_kron_error", unit)
    on_image = (x > -0.5) & (x < shape[1] - 0.5) & (y > -0.5) & (y < shape[0] - 0.5)
    usable = on_image & np.isfinite(flux) & (error > 0.0)
    x, y = np.where(usable, x, 0.0), np.where(usable, y, 0.0)
    psf = mixture.at(x + 1.0, y + 1.0)
    fwhm = values(table, "fwhm", u.pixel)
    extended = usable & (fwhm > WIDER_THAN_PSF * windowed_fwhm(psf))
    signal = np.where(usable, np.maximum(flux / error, 1.0), 1.0)
    flux = np.where(usable, np.maximum(flux, error), 1.0)
    half_light = _half_light(table)
    half_light = np.where(np.isfinite(half_light), half_light, 0.0)
    half_light = np.clip(half_light, SMALLEST_RADIUS_PIXEL, LARGEST_RADIUS_PIXEL)
    of_psf = 1.1774 * np.sqrt(_mean_variance(psf))
    radius = np.sqrt(np.maximum(half_light**2 - of_psf**2, SMALLEST_RADIUS_PIXEL**2))
    parameters = np.zeros((len(x), MOST_PARAMETERS))
    parameters[:, :3] = np.column_stack([x, y, flux])
    parameters[:, DISK + RADIUS] = np.log(radius)
    parameters[:, DISK + G1], parameters[:, DISK + G2] = _shapes(table, psf)
    parameters[:, DISK + LN_INDEX] = np.log(FIRST_INDEX)
    reach = np.where(
        extended,
        RADII_OF_LINK * half_light,
        POINT_REACH_PIXEL + POINT_REACH_GROWTH * np.sqrt(signal),
    )
    half = np.where(extended, RADII_OF_WINDOW * half_light + 4.0, reach + 4.0)
    windows = windows_around(x, y, half, shape)
    return Sources(usable, extended, parameters, windows, reach, psf)


def windows_around(x: Floats, y: Floats, half: Floats, shape: tuple[int, int]) -> Integers:
    """Return windows of given half width, cut at the edges of the image."""
    half = np.clip(np.ceil(half), LEAST_HALF_PIXEL, MOST_HALF_PIXEL)
    row, column = np.rint(y), np.rint(x)
    edges = [
        np.clip(row - half, 0, shape[0]),
        np.clip(row + half + 1, 0, shape[0]),
        np.clip(column - half, 0, shape[1]),
        np.clip(column + half + 1, 0, shape[1]),
    ]
    return np.stack(edges, axis=-1).astype(np.int64)


def windowed_fwhm(psf: Floats) -> Floats:
    """Return the FWHM of the PSF as the detection measures it: in a matched Gaussian window.

    Parameters
    ----------
    psf
        Shape (sources, components, 6).
    """
    fraction = psf[:, :, 0]
    variance = 0.5 * (psf[:, :, 3] + psf[:, :, 5])
    window = _mean_variance(psf)
    for _ in range(20):
        seen = 1.0 / (1.0 / variance + 1.0 / window[:, None])
        light = fraction * seen / variance
        moment = np.sum(light * seen, axis=1) / np.sum(light, axis=1)
        window = 1.0 / np.maximum(1.0 / moment - 1.0 / window, 1e-3)
    return np.asarray(2.3548 * np.sqrt(window))


def _mean_variance(psf: Floats) -> Floats:
    """Return the variance of the two narrowest components together."""
    core = psf[:, :2]
    variance = 0.5 * (core[:, :, 3] + core[:, :, 5])
    return np.asarray(np.sum(core[:, :, 0] * variance, axis=1) / np.sum(core[:, :, 0], axis=1))


def _half_light(table: QTable) -> Floats:
    """Return the radius of half the light; a catalogue read from a file has it as ``R50``."""
    if "light_radius" in table.colnames:
        return np.ascontiguousarray(values(table, "light_radius", u.pixel)[:, 1])
    return values(table, "R50", u.pixel)


def _shapes(table: QTable, psf: Floats) -> tuple[Floats, Floats]:
    """Return g1 and g2 from second moments without the PSF's."""
    floor = _mean_variance(psf)
    a = np.maximum(values(table, "a", u.pixel) ** 2 - floor, 0.2)
    b = np.maximum(values(table, "b", u.pixel) ** 2 - floor, 0.1)
    g = np.clip(0.5 * np.log(np.maximum(a, b) / b), 0.0, LARGEST_FIRST_G)
    angle = 2.0 * np.radians(values(table, "theta", u.deg))
    g, angle = (np.where(np.isfinite(g + angle), column, 0.0) for column in (g, angle))
    return g * np.cos(angle), g * np.sin(angle)


def bulge_and_disk(parameters: Floats) -> Floats:
    """Return first guesses of bulge and disk from fitted Sersic profiles.

    Parameters
    ----------
    parameters
        Rows of Sersic parameters; the result has rows of kind `BULGE_DISK`.
    """
    result = parameters.copy()
    index = np.exp(parameters[:, DISK + LN_INDEX])
    index = np.clip(index, LOWEST_INDEX, HIGHEST_INDEX)
    bulge = np.clip(0.25 * (index - 1.0), 0.05, 0.9)
    result[:, DISK] = (1.0 - bulge) * parameters[:, DISK]
    result[:, BULGE] = bulge * parameters[:, DISK]
    for k in (RADIUS, G1, G2):
        result[:, BULGE + k] = parameters[:, DISK + k]
    result[:, BULGE + RADIUS] -= 0.3
    return result
