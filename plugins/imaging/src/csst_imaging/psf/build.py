"""From stars to a PSF: rounds of fitting the PSF to the stars and the stars to the PSF."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from csst_imaging.psf.clean import centroids, normalised, recentred, shrink
from csst_imaging.psf.degree import choose_degree
from csst_imaging.psf.point_fit import CHI2, FLUX, FLUX_ERROR, USED, X, Y, fit_point
from csst_imaging.psf.render import blend, polynomial
from csst_imaging.psf.shape import FWHM_OVER_SIGMA, offsets
from csst_imaging.psf.solve import Grid, Sample, place, render_sample, solve
from csst_imaging.psf.spline import coefficients, node_values
from csstcore.api import Psf, UnprocessableData, compiled

Floats = NDArray[np.float64]
Stamps = NDArray[np.float32]

FEWEST_STARS = 5


@dataclass(frozen=True)
class Round:
    """One round: the PSF fitted to the stars, and then the stars to the PSF."""

    steps: int
    """Iterations of the solver."""
    model_error: float
    """Relative error granted to the PSF, so that bright stars do not rule alone."""
    tolerance: float
    """Part of its flux by which a star may differ from the PSF and still count."""
    clips: bool
    """Whether single pixels far off the PSF of the round before are left out."""


ROUNDS = (Round(8, 0.03, 0.3, False), Round(10, 0.01, 0.03, False), Round(8, 0.005, 0.02, True))
"""The first round ignores that the PSF varies."""

FIT_FWHM = 2.5
"""Half side of the stamps in which stars are fitted to the PSF."""

PEAK = 0.08
"""Typical part of the flux in a central pixel, for the relative weights of stars."""

WORST_CHI2 = 1.5
CLIP_SIGMA = 4.0
PIXEL_SIGMA, PIXEL_MISFIT = 6.0, 0.05
"""Pixels farther off than so many sigma, with so much relative error of the PSF, are left out."""


@dataclass
class Stars:
    """Stamps of stars, transposed (star, column, row), and what is known of each."""

    data: Stamps
    used: NDArray[np.bool_]
    """Pixels that count."""
    left: Floats
    """FITS pixel coordinate x of the first column."""
    top: Floats
    x: Floats
    y: Floats
    flux: Floats
    sky: Floats
    """Variance without the star, per pixel."""
    photons: float
    """Variance per unit of flux."""
    chi2: Floats = field(default_factory=lambda: np.empty(0))
    signal_to_noise: Floats = field(default_factory=lambda: np.empty(0))

    def __len__(self) -> int:
        return len(self.data)

    def subset(self, keep: NDArray[np.bool_]) -> Stars:
        """Return some of the stars."""
        arrays = ("data", "used", "left", "top", "x", "y", "flux", "sky", "chi2", "signal_to_noise")
        return replace(self, **{name: getattr(self, name)[keep] for name in arrays})


@dataclass(frozen=True)
class Field:
    """How positions become arguments of the polynomial."""

    zero: tuple[float, float]
    scale: tuple[float, float]

    def terms(self, x: Floats, y: Floats, degree: int) -> Floats:
        """Return the terms of the polynomial at FITS positions, shape (n, terms)."""
        return polynomial(
            (x - self.zero[0]) / self.scale[0], (y - self.zero[1]) / self.scale[1], degree
        )


def build_psf(
    stars: Stars, where: Field, grid: Grid, fwhm: float, degrees: tuple[int, int], workers: int
) -> tuple[Psf, Stars]:
    """Build the PSF that fits stars best.

    Parameters
    ----------
    stars
        Stamps of candidates.
    where
        The frame.
    grid
        Samples of the PSF.
    fwhm
        Rough width of the PSF, pixel.
    degrees
        Of the polynomial: the lowest (with few stars still lower), and the highest that the
        shapes of the stars may ask for.
    workers
        Threads.

    Returns
    -------
    tuple
        The PSF; and the stars that were accepted, with positions and fluxes by it.

    Raises
    ------
    UnprocessableData
        Fewer than five stars are left.
    """
    sigma = fwhm / FWHM_OVER_SIGMA
    planes = first_guess(grid, sigma)
    degree, mixing = 0, np.ones((1, 1))
    size = 2 * int(np.ceil(FIT_FWHM * fwhm)) + 1
    with ThreadPoolExecutor(workers) as threads:
        for number, this in enumerate(ROUNDS):
            if number == 1:
                every = where.terms(stars.x, stars.y, degrees[1])
                degree = choose_degree(
                    stars.data, stars.used, stars.signal_to_noise, every, degrees, sigma
                )
            plain = where.terms(stars.x, stars.y, degree)
            before, mixing = mixing, orthonormal_terms(plain, stars, this.model_error)
            if number:
                same = grown(np.tensordot(before, planes, 1), degree)
                planes = np.tensordot(np.linalg.inv(mixing), same, 1)
            terms = (plain @ mixing).astype(np.float32)
            places = place(stars.left - stars.x, stars.top - stars.y, grid)
            model = render_sample(planes.astype(np.float32), terms, places)
            if this.clips:
                clip_pixels(stars, model)
            weight = weights(stars, model, this.model_error)
            sample = Sample(stars.data, weight, stars.flux.astype(np.float32), terms, places)
            planes = solve(sample, planes, threads, workers, this.steps)
            samples = normalised(shrink(node_values(planes)), grid.step)
            centre = centroids(samples, grid.step, fwhm)
            if this is ROUNDS[-1]:
                samples, centre = recentred(samples, grid.step, centre), 0.0 * centre
            planes = coefficients(samples).astype(np.float64)
            stars = refit(stars, planes, terms, terms @ centre, grid.step, size, this)
    made = np.tensordot(mixing, samples, 1).astype(np.float32)
    return Psf(made, grid.step, degree, where.zero, where.scale), stars


def first_guess(grid: Grid, sigma: float) -> Floats:
    """Return the coefficients of a round Gaussian, shape (1, rows, columns)."""
    x, y = offsets(grid.count, grid.step)
    gaussian = np.exp(-0.5 * (x**2 + y**2) / sigma**2) / (2 * np.pi * sigma**2)
    return coefficients(gaussian[None]).astype(np.float64)


def refit(
    stars: Stars, planes: Floats, terms: Stamps, centre: Floats, step: float, size: int, this: Round
) -> Stars:
    """Return the stars that agree with the PSF, with positions and fluxes by it.

    `centre` is where the PSF has its centroid at each star: positions become centroids.
    """
    measured = fit_stars(stars, planes.astype(np.float32), terms, step, size, this.model_error)
    stars = replace(
        stars,
        x=measured[:, X] + centre[:, 0],
        y=measured[:, Y] + centre[:, 1],
        flux=measured[:, FLUX],
        chi2=measured[:, CHI2] / np.maximum(measured[:, USED] - 3, 1),
        signal_to_noise=measured[:, FLUX] / measured[:, FLUX_ERROR],
    )
    stars = stars.subset(accepted(measured, this.tolerance))
    if len(stars) < FEWEST_STARS:
        raise UnprocessableData(
            f"only {len(stars)} stars agree with a common PSF; expected at least {FEWEST_STARS}"
        )
    return stars


def clip_pixels(stars: Stars, model: Stamps) -> None:
    """Leave out pixels far off the PSF, in place: leftover cosmic rays, unseen neighbours."""
    expected = model * stars.flux.astype(np.float32)[:, None, None]
    error = 1 / np.sqrt(np.maximum(weights(stars, model, PIXEL_MISFIT), 1e-30))
    stars.used[np.abs(stars.data - expected) > np.float32(PIXEL_SIGMA) * error] = False


def grown(planes: Floats, degree: int) -> Floats:
    """Return planes of the terms of a polynomial as those of a higher degree."""
    old = next(d for d in range(20) if (d + 1) * (d + 2) // 2 == len(planes))
    powers = [(i, j) for j in range(degree + 1) for i in range(degree + 1 - j)]
    known = [(i, j) for j in range(old + 1) for i in range(old + 1 - j)]
    result = np.zeros((len(powers), *planes.shape[1:]))
    for plane, power in zip(planes, known, strict=True):
        result[powers.index(power)] = plane
    return result


def orthonormal_terms(terms: Floats, stars: Stars, model_error: float) -> Floats:
    """Return the matrix that makes the terms orthonormal under the weights of the stars."""
    peak = PEAK * stars.flux
    noise = stars.sky + stars.photons * peak + (model_error * peak) ** 2
    weight = stars.flux**2 / noise
    weight = np.maximum(weight / weight.sum(), 1e-12)
    _, upper = np.linalg.qr(np.sqrt(weight)[:, None] * terms)
    return np.asarray(np.linalg.inv(upper) * np.sign(np.diag(upper)))


def weights(stars: Stars, model: Stamps, model_error: float) -> Stamps:
    """Return inverse variances from the model: sky, photons, and the error of the PSF."""
    expected = np.maximum(model, 0) * stars.flux.astype(np.float32)[:, None, None]
    variance = np.float32(model_error**2) * expected**2
    variance += np.float32(stars.photons) * expected
    variance += stars.sky.astype(np.float32)[:, None, None]
    return np.asarray(np.where(stars.used, 1 / variance, np.float32(0)))


def fit_stars(
    stars: Stars, planes: Stamps, terms: Stamps, step: float, size: int, model_error: float
) -> Floats:
    """Fit every star to the PSF; one row each, see `point_fit`, positions in FITS pixels."""
    stamp = stars.data.shape[1]
    size = min(size, stamp)
    edge = (stamp - size) // 2
    inner = np.s_[:, edge : edge + size, edge : edge + size]
    data = np.ascontiguousarray(stars.data[inner])
    sky = stars.sky.astype(np.float32)[:, None, None]
    variance = np.where(stars.used[inner], sky, np.float32(np.inf))
    left, top = stars.left + edge, stars.top + edge
    result = np.empty((len(stars), 9))
    _fit_stars(
        *(data, variance, planes, terms, step, stars.x - left, stars.y - top),
        *(float(stars.photons), model_error, result),
    )
    result[:, X] += left
    result[:, Y] += top
    return result


@compiled
def _fit_stars(
    data: Stamps,
    variance: Stamps,
    planes: Stamps,
    terms: Stamps,
    step: float,
    x: Floats,
    y: Floats,
    photons: float,
    model_error: float,
    result: Floats,
) -> None:
    local = np.empty(planes.shape[1:], np.float32)
    model = np.empty((3, data.shape[1], data.shape[1]), np.float32)
    for i in range(len(data)):
        blend(planes, terms[i], 0, planes.shape[1], local)
        fit_point(
            data[i], variance[i], local, step, x[i], y[i], 2.0, photons, model_error,
            result[i], model,
        )  # fmt: skip


def accepted(measured: Floats, tolerance: float) -> NDArray[np.bool_]:
    """Return which fits look like stars: converged, and chi2 not far above the others'.

    Parameters
    ----------
    measured
        Fits, see `point_fit`.
    tolerance
        Part of its flux by which a star may differ from the PSF.
    """
    reduced = measured[:, CHI2] / np.maximum(measured[:, USED] - 3, 1)
    good = np.isfinite(reduced)
    if not good.any():
        return good
    middle = float(np.median(reduced[good]))
    spread = 1.4826 * float(np.median(np.abs(reduced[good] - middle)))
    limit = max(middle + CLIP_SIGMA * spread, WORST_CHI2 * middle)
    misfit = (tolerance * measured[:, FLUX] / measured[:, FLUX_ERROR]) ** 2 / measured[:, USED]
    with np.errstate(invalid="ignore"):
        return np.asarray(good & (reduced < limit + misfit))
