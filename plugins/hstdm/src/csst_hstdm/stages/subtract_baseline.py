"""Baselines of dumps, outside their lines."""

from __future__ import annotations

from typing import Annotated

import astropy.units as u
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from csst_hstdm.baseline_error import determination, window_doubts
from csst_hstdm.baseline_fit import Polynomial, fit, polynomials, sinusoids, subtract
from csst_hstdm.common_axis import good_rows, velocity_km_s
from csst_hstdm.dump_rows import numbers, row_flags, rows_of
from csst_hstdm.feature_separation import LEAST_DETERMINED, Features, separate_features
from csst_hstdm.flags import FLAG_BITS
from csst_hstdm.line_windows import THRESHOLD, WIDEST_KM_S, find_lines_in_dumps, widest_channel
from csstcore.api import InPlace, Spectra, UnprocessableData, caveat, metric

MOST_WAVES = 4
_DOUBT = 3.0
"""A baseline that is more uncertain beneath a line than this many times the noise is said."""
_GUESS = 0.01
"""A baseline that is determined less (`determination`) is a guess, and its dump is left out."""
_ABOVE = 2.0
"""By how many times the noise more a line stands out that is told from a standing wave."""


def subtract_baseline(
    dumps: InPlace[Spectra],
    *,
    degree: Annotated[int, Field(ge=0, le=15)] = 3,
    polynomial: Polynomial = "legendre",
    standing_waves: Annotated[int, Field(ge=0, le=MOST_WAVES)] = 2,
    iterations: Annotated[int, Field(ge=1, le=20)] = 3,
    widest_km_s: Annotated[float, Field(gt=0)] = WIDEST_KM_S,
    threshold: Annotated[float, Field(gt=0)] = THRESHOLD,
    windows_km_s: list[tuple[float, float]] = [],  # noqa: B006 - never changed
) -> Spectra:
    """Subtract a polynomial with standing waves from each dump, outside of lines.

    Each dump has a fit of its own, never the time average; only the windows of lines are found
    in averages of dumps too, as a faint line in the fit would lose flux. Standing waves are
    sinusoids whose periods all dumps share, with an amplitude and a phase for each dump; one is
    fitted only if it stands out of the noise, and explains more than any line of up to
    `widest_km_s`. Then windows and fit iterate until the windows stay.

    The rows get what the fit was made of, from which `find_lines` predicts how far the baseline
    beneath a line is uncertain: ``baseline_degree`` and ``baseline_periods`` (channels).

    Parameters
    ----------
    dumps
        Calibrated dumps; those of state ON without a flag are fitted.
    degree
        Of the polynomial.
    polynomial
        Basis; the fit is the same.
    standing_waves
        Largest number of sinusoids.
    iterations
        Largest number of fits with new windows.
    widest_km_s
        Full width at half maximum of the widest line, at most a fifth of the band.
    threshold
        Lines stand out by this many times the noise.
    windows_km_s
        Ranges of radio velocity with lines, in the frame of the dumps, besides those that are
        found.

    Raises
    ------
    UnprocessableData
        If no dump can be fitted.
    """
    rows = rows_of(dumps)
    usable = good_rows(dumps)
    channels = dumps.flux.shape[1]
    flux = dumps.flux if len(usable) == len(dumps) else dumps.flux[usable]
    good = np.isfinite(flux)
    if dumps.flags is not None:
        good &= (dumps.flags if len(usable) == len(dumps) else dumps.flags[usable]) == 0
    terms = degree + 1
    if not np.any(good.sum(axis=1) >= 4 * terms):
        raise UnprocessableData(
            f"no dump of state ON has {4 * terms} good channels, as a baseline of degree {degree} "
            "needs"
        )
    velocity = _velocities(dumps, usable)
    widest = widest_channel(velocity, widest_km_s)
    known = _windows(dumps, velocity, windows_km_s)
    features = separate_features(
        flux,
        good,
        known,
        degree=degree,
        polynomial=polynomial,
        standing_waves=standing_waves,
        widest_channel=widest,
        threshold=threshold + _ABOVE,
    )
    basis = np.concatenate(
        [polynomials(channels, degree, polynomial), sinusoids(channels, features.cycles)], axis=1
    )
    used, countable = good & ~features.windows, good & ~known
    for _ in range(iterations):
        residual = subtract(flux, fit(flux, used, basis), basis)
        lines = find_lines_in_dumps(
            residual, good, widest_channel=widest, threshold=threshold, known=features.windows
        )
        guess = determination(basis, good & ~lines, countable) < LEAST_DETERMINED
        lines[guess] = features.windows[guess]
        before, used = used, good & ~lines
        if np.array_equal(before, used):
            break
    coefficients = fit(flux, used, basis)
    residual = subtract(flux, coefficients, basis)
    failed = ~np.isfinite(coefficients[:, 0])
    failed |= determination(basis, used, countable) < _GUESS
    if failed.all():
        raise UnprocessableData("lines or flags leave too few channels for a baseline in any dump")
    dumps.flux[usable[~failed]] = residual[~failed]
    if failed.any():
        flag = row_flags(rows)
        flag[usable[failed]] |= FLAG_BITS["bad_channel"]
        rows["flag"] = flag.astype(np.int32)
        caveat(
            f"{np.sum(failed)} of {len(usable)} dumps have too few channels free of lines for a "
            "baseline, and are left out"
        )
    step_km_s = abs(float(velocity[1] - velocity[0]))
    _say_doubts(features, used, good, basis, velocity, widest * step_km_s)
    rows["baseline_degree"] = np.full(len(rows), degree, np.int32)
    periods = np.full((len(rows), MOST_WAVES), np.nan)
    periods[:, : len(features.cycles)] = channels / np.array(features.cycles)
    rows["baseline_periods"] = periods
    _report(residual[~failed], used[~failed], good[~failed], features.cycles)
    return dumps


def _velocities(dumps: Spectra, usable: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return the radio velocities of the channels, those of the first dump if axes differ."""
    axis = dumps.axis if dumps.axis.ndim == 1 else dumps.axis[usable[0]]
    rest_hz = numbers(rows_of(dumps), "rest_frequency", u.Hz)[usable[0]]
    return velocity_km_s(axis.to_value(u.Hz), float(rest_hz))


def _windows(
    dumps: Spectra, velocity: NDArray[np.float64], windows_km_s: list[tuple[float, float]]
) -> NDArray[np.bool_]:
    """Return the channels in the ranges that are given."""
    if windows_km_s and dumps.axis.ndim != 1:
        raise UnprocessableData("windows_km_s needs one axis for all dumps; shift them first")
    inside = np.zeros(len(velocity), bool)
    for low, high in windows_km_s:
        if not low < high:
            raise UnprocessableData(
                f"windows_km_s has the range {low} to {high}; expected the lower end first"
            )
        inside |= (velocity >= low) & (velocity <= high)
    return inside


def _say_doubts(
    features: Features,
    used: NDArray[np.bool_],
    good: NDArray[np.bool_],
    basis: NDArray[np.float64],
    velocity: NDArray[np.float64],
    widest_km_s: float,
) -> None:
    """Say where lines and baseline cannot be told apart."""
    free = used.sum(axis=0) / np.maximum(good.sum(axis=0), 1)
    for low, high, doubt in window_doubts(basis, np.where(good.any(axis=0), free, 1.0)):
        if doubt > _DOUBT:
            ends = sorted((velocity[low], velocity[high - 1]))
            caveat(
                f"the baseline beneath the lines from {ends[0]:.0f} to {ends[1]:.0f} km/s is "
                f"uncertain by {doubt:.1f} times the noise of their sum: hardly any channel "
                "is free of lines there"
            )
    band_km_s = abs(float(velocity[-1] - velocity[0]))
    for cycles in features.doubtful_cycles:
        caveat(
            f"a line of {band_km_s / cycles / 2:.0f} km/s explains nearly as much as the standing "
            f"wave of {band_km_s / cycles:.0f} km/s that was fitted; give windows_km_s if it is one"
        )
    if features.too_wide:
        caveat(
            f"lines are as wide as is searched, {widest_km_s:.0f} km/s, or wider: the baseline may "
            "hold part of their flux; give widest_km_s or windows_km_s"
        )


def _report(
    residual: NDArray[np.float32],
    free: NDArray[np.bool_],
    good: NDArray[np.bool_],
    cycles: list[float],
) -> None:
    metric("standing_waves", len(cycles))
    metric("line_fraction", float(1 - free.sum() / max(good.sum(), 1)))
    step = max(len(residual) // 64, 1)
    metric("dump_rms_kelvin", float(np.sqrt(np.mean(residual[::step][free[::step]] ** 2))))
