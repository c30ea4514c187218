"""Baselines of dumps, outside their lines."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from csst_hstdm.baseline_fit import Polynomial, fit, polynomials, sinusoids, standing_wave, subtract
from csst_hstdm.common_axis import good_rows
from csst_hstdm.dump_rows import row_flags, rows_of
from csst_hstdm.flags import FLAG_BITS
from csst_hstdm.line_windows import find_lines_in_dumps
from csstcore.api import InPlace, Spectra, UnprocessableData, caveat, metric

Width = Annotated[int, Field(ge=1)]


def subtract_baseline(
    dumps: InPlace[Spectra],
    *,
    degree: Annotated[int, Field(ge=0, le=15)] = 3,
    polynomial: Polynomial = "legendre",
    standing_waves: Annotated[int, Field(ge=0, le=4)] = 2,
    iterations: Annotated[int, Field(ge=1, le=20)] = 2,
    smooth_channels: list[Width] = [8, 64],  # noqa: B006 - never changed
    threshold: Annotated[float, Field(gt=0)] = 3.0,
    dilate: Annotated[float, Field(ge=0)] = 1.5,
) -> Spectra:
    """Subtract a polynomial with standing waves from each dump, outside of lines.

    Each dump has a fit of its own, never the time average; only the windows of lines are found
    in averages of dumps too, as a faint line in the fit would lose flux. Windows and fit
    iterate. Standing waves are sinusoids whose periods all dumps share, with an amplitude and a
    phase for each dump; one is fitted only if it stands out of the noise.

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
        Of windows and fit.
    smooth_channels
        Widths of the running means in which lines are searched.
    threshold
        Lines stand out by this many times the noise.
    dilate
        Windows grow to either side by this many widths.

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
    basis = polynomials(channels, degree, polynomial)
    cycles: list[float] = []
    used = good
    for _ in range(iterations):
        residual = subtract(flux, fit(flux, used, basis), basis)
        used = good & ~find_lines_in_dumps(
            residual,
            good,
            smooth_channels=smooth_channels,
            threshold=threshold,
            dilate=dilate,
        )
        while len(cycles) < standing_waves:
            residual = subtract(flux, fit(flux, used, basis), basis)
            wave = standing_wave(residual, used, cycles, least_cycles=max(degree / 2, 1.0))
            if wave is None:
                break
            cycles.append(wave)
            basis = np.concatenate([basis, sinusoids(channels, [wave])], axis=1)
    coefficients = fit(flux, used, basis)
    residual = subtract(flux, coefficients, basis)
    failed = ~np.isfinite(coefficients[:, 0])
    if failed.all():
        raise UnprocessableData("lines or flags leave too few channels for a baseline in any dump")
    dumps.flux[usable[~failed]] = residual[~failed]
    if failed.any():
        flag = row_flags(rows)
        flag[usable[failed]] |= FLAG_BITS["bad_channel"]
        rows["flag"] = flag.astype(np.int32)
        caveat(f"{np.sum(failed)} of {len(usable)} dumps have too few channels for a baseline")
    _report(residual[~failed], used[~failed], good[~failed], cycles)
    return dumps


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
