"""Fits of all groups of an image, in threads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from csst_imaging.galaxies.fit import fit_group
from csst_imaging.galaxies.groups import Group
from csst_imaging.galaxies.model import MOST_PARAMETERS, add_source
from csst_imaging.galaxies.sersic import sersic_table
from csst_imaging.galaxies.sources import Sources
from csst_imaging.planes import Planes
from csst_imaging.psf.noise import SkyVariance
from csstcore.api import each, pieces

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

SINGLE_PIECE = 8
"""Groups that a thread takes at once, at least."""


@dataclass(frozen=True)
class Pixels:
    """What is fitted, and its noise."""

    planes: Planes
    forbidden: np.uint16
    """Flags of pixels that have no value."""
    sky: SkyVariance
    photons: float
    """Variance per unit of light."""
    sky_error: float
    """Standard deviation of the sky about the background, in standard deviations of a pixel."""

    def cut(self, y0: int, y1: int, x0: int, x1: int) -> tuple[Floats, Floats]:
        """Return pixels without background and the sky's variance; 0 where there is no value."""
        box = slice(y0, y1), slice(x0, x1)
        planes = self.planes
        variance = planes.variance[box]
        pixels = planes.data[box].astype(np.float64) - planes.background[box]
        y, x = np.mgrid[box]
        sky = self.sky.at(x, y)
        valid = np.isfinite(pixels) & np.isfinite(variance) & (variance > 0) & np.isfinite(sky)
        if len(planes.flags) > 1:
            valid &= (planes.flags[box] & self.forbidden) == 0
        return np.where(valid, pixels, 0.0), np.where(valid, sky, 0.0)


@dataclass(frozen=True)
class Fit:
    """The state of all sources; one row per source of the catalogue."""

    kinds: Integers
    parameters: Floats
    """Shape (sources, `MOST_PARAMETERS`)."""
    covariance: Floats
    """Shape (sources, `MOST_PARAMETERS`, `MOST_PARAMETERS`); NaN where nothing was fitted."""
    chi2: Floats
    """Per degree of freedom."""
    pixels: Integers
    """Used in the window; 0 where nothing was fitted."""
    at_bound: Integers
    """Parameters at a bound."""
    converged: NDArray[np.bool_]


def unfitted(kinds: Integers, parameters: Floats) -> Fit:
    """Return the state before any fit."""
    number = len(kinds)
    return Fit(
        kinds,
        parameters,
        np.full((number, MOST_PARAMETERS, MOST_PARAMETERS), np.nan),
        np.full(number, np.nan),
        np.zeros(number, np.int64),
        np.zeros(number, np.int64),
        np.zeros(number, np.bool_),
    )


def fit_groups(
    pixels: Pixels,
    groups: list[Group],
    start: Fit,
    around: Fit,
    sources: Sources,
) -> Fit:
    """Fit groups, each from its first guess, with the light of outsiders as it is `around`.

    Parameters
    ----------
    pixels
        The image.
    groups
        What to fit; others stay as in `start`.
    start
        First guesses.
    around
        What the outsiders are taken to be.
    sources
        Windows, PSFs, and the positions of the catalogue, about which those of the models are
        bounded.

    Returns
    -------
    Fit
        New arrays; the result does not depend on the number of threads.
    """
    fit = Fit(
        start.kinds,
        start.parameters.copy(),
        start.covariance.copy(),
        start.chi2.copy(),
        start.pixels.copy(),
        start.at_bound.copy(),
        start.converged.copy(),
    )
    table = sersic_table()

    def run(piece: slice) -> None:
        for group in groups[piece]:
            _fit_one(pixels, group, fit, around, sources, table)

    each(run, pieces(len(groups), SINGLE_PIECE))
    return fit


def _fit_one(
    pixels: Pixels,
    group: Group,
    fit: Fit,
    around: Fit,
    sources: Sources,
    table: Floats,
) -> None:
    """Fit one group; write its rows of `fit`."""
    members = group.members
    windows, psf = sources.windows, sources.psf
    mine = windows[members]
    origin = mine[:, ::2].min(axis=0)
    end = mine[:, 1::2].max(axis=0)
    data, sky = pixels.cut(origin[0], end[0], origin[1], end[1])
    valid = sky > 0.0
    if not valid.any():
        return
    outside = np.zeros(data.shape)
    for k in group.outsiders:
        _add_outsider(outside, origin, around, windows[k], psf[k], int(k), table)
    parameters = fit.parameters[members]
    parameters[:, :2] -= origin[::-1]
    covariance, chi2, count = fit_group(
        fit.kinds[members],
        parameters,
        sources.parameters[members, :2] - origin[::-1],
        psf[members],
        mine - np.repeat(origin, 2),
        table,
        data - outside,
        sky,
        pixels.photons,
        outside,
        pixels.sky_error * float(np.sqrt(np.median(sky[valid]))),
    )
    parameters[:, :2] += origin[::-1]
    used = (covariance != 0.0).any(axis=2).sum(axis=1)
    fit.parameters[members] = parameters
    fit.covariance[members] = covariance
    fit.chi2[members] = chi2 / np.maximum(count[:, 0] - used, 1)
    fit.pixels[members], fit.at_bound[members] = count[:, 0], count[:, 1]
    fit.converged[members] = count[:, 2] > 0


def _add_outsider(
    image: Floats,
    origin: Integers,
    around: Fit,
    window: Integers,
    psf: Floats,
    k: int,
    table: Floats,
) -> None:
    """Add the light of a source in its window to the image of a group's box."""
    y0, y1 = (int(np.clip(window[i] - origin[0], 0, image.shape[0])) for i in (0, 1))
    x0, x1 = (int(np.clip(window[i] - origin[1], 0, image.shape[1])) for i in (2, 3))
    if y0 >= y1 or x0 >= x1:
        return
    part = np.zeros((y1 - y0, x1 - x0))
    place = origin + np.array([y0, x0])
    add_source(part, int(around.kinds[k]), around.parameters[k], table, psf, place)
    image[y0:y1, x0:x1] += part
