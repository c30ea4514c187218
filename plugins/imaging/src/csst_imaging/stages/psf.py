"""The point-spread function of an image."""

from __future__ import annotations

from typing import Annotated

import astropy.units as u
import numpy as np
from pydantic import Field as Limits

from csst_imaging.columns import values
from csst_imaging.planes import Planes, planes_of
from csst_imaging.psf.build import FEWEST_STARS, Field, Stars, build_psf
from csst_imaging.psf.candidates import Candidates, choose
from csst_imaging.psf.cutouts import cut, mask_neighbours, unusable_bits
from csst_imaging.psf.noise import photon_variance, sky_variance
from csst_imaging.psf.render import psf_at
from csst_imaging.psf.shape import adaptive_moments, half_maximum_width
from csst_imaging.psf.solve import Grid
from csstcore.api import Image, Psf, Table, UnprocessableData, allowed_threads, metric, replace

SAMPLES_PER_FWHM = 4.7
"""As PSFEx chooses them: steps of 0.49 pixel for a FWHM of 2.3."""

STEP_LIMITS_PIXEL = (0.2, 0.75)
BRIGHT_STARS = 200
"""So many stars measure the fit; more would not change the mean."""
CORE_PIXEL = 6
"""Half-width of the part of a stamp in which they do."""
MASK_AREAS, MASK_EXTRA_PIXEL = 1.5, 1.0
"""A neighbour's pixels: so many radii of its isophote, and so much more."""


def model_psf(
    image: Image,
    sources: Table,
    background: Image,
    *,
    degree: Annotated[int, Limits(ge=0, le=4)] = 2,
    largest_degree: Annotated[int, Limits(ge=0, le=4)] = 3,
    size_samples: Annotated[int, Limits(ge=21, le=151, multiple_of=2)] = 70,
    signal_to_noise: Annotated[float, Limits(gt=0)] = 20.0,
) -> Annotated[Psf, "psf"]:
    """Model the point-spread function and how it varies over the image.

    The idea is PSFEx's (Bertin 2011, ASPC 442, 435): samples of the PSF finer than pixels,
    each a polynomial of position, by weighted least squares on all good stars at once. Stars
    are chosen by size and brightness, and left out where they or their pixels do not agree
    with the others; fluxes and positions are refined against the PSF. Positions are centroids:
    the first moment of the PSF within 2.5 FWHM is at its middle everywhere. The flux within
    the samples is 1. Metrics: ``psf_stars_loaded``, ``psf_stars_accepted``, ``psf_chi2``
    (reduced, median), ``psf_fwhm_pixel`` and ``psf_ellipticity`` (medians at the stars),
    ``psf_degree``.

    Parameters
    ----------
    image
        Calibrated image; pixels flagged as bad, hot, saturated, cosmic_ray or trail do not
        count.
    sources
        Its sources, see `detect_sources`.
    background
        Its background.
    degree
        Of the polynomial; lower with fewer than eight stars for each of its terms.
    largest_degree
        A higher degree, taken if the shapes of the stars ask for it (Bayesian information
        criterion).
    size_samples
        Samples on a side, less one.
    signal_to_noise
        Least signal-to-noise ratio of stars.

    Returns
    -------
    Psf
        The model, with samples every 1/4.7 of the FWHM, at least 0.2, at most 0.75 pixel.

    Raises
    ------
    UnprocessableData
        Fewer than five stars can be used, the background does not fit, or there is no variance.
    """
    planes = planes_of(image, background)
    candidates = choose(sources.table, signal_to_noise)
    if len(candidates.row) < FEWEST_STARS:
        raise UnprocessableData(
            f"found {len(candidates.row)} clean stars above signal-to-noise {signal_to_noise:g} "
            f"among {len(sources)} sources; expected at least {FEWEST_STARS}"
        )
    # four decimals, so that a header holds it exactly
    step = round(float(np.clip(candidates.fwhm / SAMPLES_PER_FWHM, *STEP_LIMITS_PIXEL)), 4)
    count = size_samples + 1
    grid = Grid(count, step, 2 * int(np.floor(count // 2 * step)) + 1)
    stars = load_stars(planes, unusable_bits(image), sources, candidates, grid.stamp)
    rows, columns = image.shape
    where = Field(((columns + 1) / 2, (rows + 1) / 2), (float(columns), float(rows)))
    degrees = (degree, max(degree, largest_degree))
    psf, used = build_psf(stars, where, grid, candidates.fwhm, degrees, allowed_threads())
    metric("psf_stars_loaded", len(candidates.row))
    metric("psf_stars_accepted", len(used))
    metric("psf_chi2", float(np.median(used.chi2)))
    metric("psf_degree", psf.degree)
    measure_shapes(psf, used)
    return replace(psf, meta=image.meta)


def load_stars(
    planes: Planes, forbidden: np.uint16, sources: Table, candidates: Candidates, size: int
) -> Stars:
    """Cut the stamps of stars out of an image; pixels of neighbours do not count."""
    every = [values(sources.table, name, u.pixel) for name in "xy"]
    x, y = (axis[candidates.row] for axis in every)
    column, row = (np.floor(axis + 0.5).astype(np.int64) for axis in (x, y))
    data, variance = cut(planes, forbidden, column - 1, row - 1, size)
    sky = sky_variance(planes.variance).at(x - 1, y - 1)
    core = slice(max(0, size // 2 - CORE_PIXEL), size // 2 + CORE_PIXEL + 1)
    bright = np.s_[:BRIGHT_STARS, core, core]
    photons = photon_variance(data[bright], variance[bright], sky[:BRIGHT_STARS])
    radius = MASK_AREAS * np.sqrt(values(sources.table, "area") / np.pi) + MASK_EXTRA_PIXEL
    placed = np.nan_to_num(np.stack(every, axis=-1), nan=-1e6) - 1
    mask_neighbours(variance, x - 1, y - 1, placed, np.nan_to_num(radius))
    used = np.isfinite(variance)
    inner = np.where(used, data, np.float32(0))[:, core, core]
    flux = inner.reshape(len(x), -1).sum(axis=1, dtype=np.float64)
    good = np.isfinite(sky) & (flux > 0) & (np.count_nonzero(used, axis=(1, 2)) > used[0].size / 2)
    stars = Stars(
        data=np.ascontiguousarray(data.swapaxes(1, 2)),
        used=np.ascontiguousarray(used.swapaxes(1, 2)),
        left=(column - size // 2).astype(np.float64),
        top=(row - size // 2).astype(np.float64),
        x=x,
        y=y,
        flux=flux,
        sky=sky,
        photons=photons,
        chi2=np.ones(len(x)),
        signal_to_noise=np.ones(len(x)),
    )
    if np.count_nonzero(good) < FEWEST_STARS:
        raise UnprocessableData(
            f"{np.count_nonzero(good)} of {len(good)} stars have half of their pixels and a "
            f"positive flux; expected at least {FEWEST_STARS}"
        )
    return stars.subset(good)


def measure_shapes(psf: Psf, stars: Stars) -> None:
    """Give width and ellipticity of the PSF at the brightest stars as metrics."""
    samples = psf_at(psf, stars.x[:BRIGHT_STARS], stars.y[:BRIGHT_STARS])
    widths = [half_maximum_width(plane, psf.step_pixel) for plane in samples[::10]]
    metric("psf_fwhm_pixel", float(np.median(widths)))
    moments = adaptive_moments(samples[::5], widths[0] / 2.35 / psf.step_pixel)
    metric("psf_ellipticity", float(np.nanmedian(np.hypot(moments[:, 3], moments[:, 4]))))
