"""Contrast that a companion needs, by injection into the raw frames and recovery.

Mawet et al. 2014 (ApJ 792, 97): with the scatter s of the N - 1 other apertures of a ring and the
threshold tau of Student's t for the wanted false-positive fraction, a companion of contrast

    C = tau s sqrt(1 + 1 / (N - 1)) / A

reaches the threshold in half of all cases. A is the flux that an injected source of unit contrast
leaves in its aperture after the whole reduction; over the flux of the star in that aperture it is
the throughput of the reduction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates
from scipy.stats import t

from csst_cpic.planets.aperture_noise import LEAST_COVERAGE, aperture_sums, aperture_totals
from csst_cpic.planets.experiment import Experiment, Source
from csst_cpic.planets.frame_scatter import levels
from csst_cpic.planets.small_samples import LEAST_APERTURES, aperture_number, threshold
from csst_cpic.star.sky_frame import central_pixel, to_offsets

Float = NDArray[np.float64]

COMPLETENESS: Final = 0.95
_APART_FWHM: Final = 3.0
"""Sources injected together are at least so far apart from the star's view."""
_GOLDEN_DEG: Final = 137.508
_FIRST_THROUGHPUT: Final = 0.6
_NEIGHBOURS: Final = 2
"""Apertures next to the tested one, which `csst_cpic.planets.aperture_noise.ratios` leaves out."""


@dataclass(frozen=True, eq=False)
class ContrastLimits:
    """A contrast curve; every array has one value a separation."""

    separation_pixel: Float
    contrast: Float
    """Detected at the threshold in half of all cases; NaN where the ring is too small."""
    complete_contrast: Float
    """Detected in 95 % of all cases."""
    throughput: Float
    throughput_error: Float
    """Standard deviation of the mean over the azimuths of injection."""
    noise_contrast: Float
    """Standard deviation of an aperture over that of the star: one sigma without throughput."""
    apertures: NDArray[np.int64]
    """N, the tested one included, its two neighbours not."""
    threshold: Float
    """The signal over noise that is as rare as the wanted significance."""


def contrast_limits(
    experiment: Experiment,
    known: Sequence[Source],
    separations_pixel: Float,
    significance_sigma: float,
    azimuths: int,
) -> ContrastLimits:
    """Measure a contrast curve.

    Parameters
    ----------
    experiment
        The cube with its reduction, repeated for each set of injected sources.
    known
        Companions, taken out of the frames before anything else.
    separations_pixel
        Where; ascending.
    significance_sigma
        Rarity of a false positive as a deviation of a Gaussian.
    azimuths
        Position angles at which sources are injected, each in an image of its own.
    """
    fwhm = experiment.fwhm_pixel
    empty = experiment.image(take=known)
    level = levels(experiment.subtraction, experiment.signal(take=known))
    noise, apertures = _noise(aperture_sums(empty, fwhm) * level, separations_pixel, fwhm)
    tau = threshold(significance_sigma, apertures)
    star = _star_in_aperture(experiment)
    limit = tau * noise * np.sqrt(1 + 1 / np.maximum(apertures - 1, 1)) / star
    flux = limit / _FIRST_THROUGHPUT
    throughputs = np.full((azimuths, len(separations_pixel)), np.nan)
    for turn in range(azimuths):
        recovered = _recovered(
            experiment, known, empty, separations_pixel, flux, turn * 360.0 / azimuths
        )
        throughputs[turn] = recovered / (flux * star)
    count = np.isfinite(throughputs).sum(axis=0)
    throughput = _mean(throughputs)
    scatter = np.sqrt(_mean((throughputs - throughput) ** 2) * count / np.maximum(count - 1, 1))
    usable = np.where(throughput > 0, throughput, np.nan)
    error = tau + t.isf(1 - COMPLETENESS, np.where(apertures > 2, apertures - 2.0, np.nan))
    return ContrastLimits(
        separations_pixel,
        limit / usable,
        limit / usable * error / tau,
        throughput,
        scatter / np.sqrt(np.maximum(count, 1)),
        noise / star,
        apertures,
        tau,
    )


def _mean(values: Float) -> Float:
    """Return the mean over the first axis of what is finite, NaN where nothing is."""
    finite = np.isfinite(values)
    count = finite.sum(axis=0)
    total = np.where(finite, values, 0.0).sum(axis=0)
    return np.asarray(np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0))


def _noise(sums: Float, separations_pixel: Float, fwhm: float) -> tuple[Float, NDArray[np.int64]]:
    """Return the scatter of the apertures of each ring, and how many there are.

    The apertures are laid out from several starting angles, and variances averaged: that uses
    all of the ring, and changes neither the mean of the variance nor the degrees of freedom.
    """
    row, column = central_pixel(sums.shape)
    filled, valid = np.nan_to_num(sums), np.isfinite(sums).astype(np.float64)
    noise = np.full(len(separations_pixel), np.nan)
    apertures = np.zeros(len(separations_pixel), np.int64)
    for k, separation in enumerate(separations_pixel):
        number = int(aperture_number(separation, fwhm))
        variances, counts = [], []
        for start in np.arange(4) / 4:
            dx, dy = to_offsets(separation, 360.0 * (np.arange(number) + start) / max(number, 1))
            places = [row + dy, column + dx]
            values = map_coordinates(filled, places, order=3)
            values = values[map_coordinates(valid, places, order=1) > 1 - 1e-6]
            if len(values) - _NEIGHBOURS >= LEAST_APERTURES:
                variances.append(values.var(ddof=1))
                counts.append(len(values) - _NEIGHBOURS)
        if variances:
            noise[k], apertures[k] = np.sqrt(np.mean(variances)), round(np.mean(counts))
    return noise, apertures


def _star_in_aperture(experiment: Experiment) -> float:
    """Return the mean flux of the star in an aperture over the frames of the cube."""
    star = experiment.star
    sums = aperture_sums(star.image.astype(np.float32), experiment.fwhm_pixel)
    return float(sums[central_pixel(star.image.shape)] * np.mean(star.scales))


def _recovered(
    experiment: Experiment,
    known: Sequence[Source],
    empty: NDArray[np.float32],
    separations_pixel: Float,
    contrasts: Float,
    start_deg: float,
) -> Float:
    """Return the flux that injected sources leave in their apertures."""
    fwhm = experiment.fwhm_pixel
    row, column = central_pixel(empty.shape)
    angles = (start_deg + _GOLDEN_DEG * np.arange(len(separations_pixel))) % 360.0
    recovered = np.full(len(separations_pixel), np.nan)
    for group in _groups(separations_pixel, _APART_FWHM * fwhm):
        chosen = [k for k in group if np.isfinite(contrasts[k]) and contrasts[k] > 0]
        sources = [
            Source(float(contrasts[k]), float(separations_pixel[k]), float(angles[k]))
            for k in chosen
        ]
        if not sources:
            continue
        left = experiment.image(add=sources, take=known) - empty
        dx, dy = to_offsets(separations_pixel[chosen], angles[chosen])
        recovered[chosen] = _in_apertures(left, fwhm, row + dy, column + dx)
    return recovered


def _groups(separations_pixel: Float, apart_pixel: float) -> list[list[int]]:
    """Return sets of separations, each at least so far from the next of its set."""
    groups: list[list[int]] = []
    for k, separation in enumerate(separations_pixel):
        for group in groups:
            if separation - separations_pixel[group[-1]] >= apart_pixel - 1e-9:
                group.append(k)
                break
        else:
            groups.append([k])
    return groups


def _in_apertures(image: NDArray[np.float32], fwhm: float, rows: Float, columns: Float) -> Float:
    """Return sums over apertures centred anywhere, NaN where too little of one has values."""
    total, coverage = aperture_totals(image, fwhm)
    sums = map_coordinates(total, [rows, columns], order=5)
    part = map_coordinates(coverage, [rows, columns], order=1)
    enough = part >= LEAST_COVERAGE
    return np.asarray(np.divide(sums, part, out=np.full(len(rows), np.nan), where=enough))
