"""EM gain from faint and bright flats."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, NamedTuple

import astropy.units as u
import numpy as np
from astropy.stats import mad_std
from astropy.table import QTable
from numpy.typing import NDArray

from csst_cpic.camera.agreement import (
    em_gain_of,
    exposure_time_second,
    gain_electron_per_adu,
    read_noise_electron,
    require_shape,
    require_unit,
)
from csst_cpic.camera.calibration_sets import by, clean_stack
from csst_cpic.detector import Detector
from csst_cpic.register.em_gain_fit import EmGainFit, fit_em_gain
from csst_cpic.register.em_gain_moments import MeasuredGain, em_gain_from_moments, level_moments
from csstcore.api import (
    Image,
    Reference,
    Table,
    UnprocessableData,
    caveat,
    common_meta,
    metric,
    note_frames,
    replace,
)

BRIGHTEST_RATE = 1.0
"""Electrons per frame up to which the histogram of a level is fitted: beyond, single electrons
no longer show the gain."""
GOOD_CHI_SQUARE = 2.0
"""Per degree of freedom, up to which the law of the histogram describes it."""
ALLOWED = 0.01
"""Relative error of an EM gain that is required. A histogram with a larger one does not decide, and
methods that differ by more, beside twice their errors, get a caveat."""
SURE_SIGMA = 2.0
"""Errors beyond which the methods disagree."""
UNPHYSICAL_SIGMA = 3.0
HOT_SIGMA = 6.0
OF_THE_FIT = (
    "likelihood_em_gain",
    "likelihood_em_gain_error",
    "rate",
    "serial_rate",
    "serial_rate_error",
    "chi_square",
)
PARTS = 8
"""Of the frame along each axis, by whose light the unevenness of the lamp is known."""


class _Measured(NamedTuple):
    """Everything about one commanded gain."""

    likelihood: EmGainFit | None
    moments: MeasuredGain
    frames: int


def measure_em_gain(
    flats: Sequence[Image], detector: Reference[Detector]
) -> Annotated[Table, "em_gain"]:
    """Measure the EM gain of every commanded one from flats of two levels or more.

    By maximum likelihood of the histogram of the faint levels, with the exact law of multiplied
    electrons, read noise and charge that arises in the register
    (`csst_cpic.register.em_gain_fit`), and by the growth of variance with the mean from the
    faintest to the brightest level (`csst_cpic.register.em_gain_moments`). The likelihood is taken
    where its law describes the histogram and its error is below 1 %, because tails that the
    register leaves behind large charges correlate pixels and make the moments too low; else the
    moments are. Where the two differ by more than twice their errors, the difference is in the
    error. Both follow the gain of the amplifier: what is known is the ratio of the two, by which
    counts become electrons.

    Parameters
    ----------
    flats
        Bias-subtracted and linear frames in adu: at each commanded EM gain two or more
        exposure times with two or more frames, one of them of less than an electron per
        pixel. Frames without multiplication take no part.
    detector
        Stages of the register; gain and read noise where a frame has none.

    Returns
    -------
    em_gain
        One row for each commanded gain: ``commanded_em_gain``, ``em_gain``,
        ``likelihood_em_gain`` (NaN where the gain is too low for single electrons to stand out
        of the noise) and ``moments_em_gain``, each with ``_error``, ``rate`` and ``serial_rate``
        (electron; of the level that was fitted best), ``serial_rate_error``, ``chi_square`` and
        ``frames``. A serial rate that came out negative is 0, with the error as large as it was
        negative. Metric: ``largest_em_gain_error``, relative.

    Raises
    ------
    UnprocessableData
        If no frame has an EM gain above 1, a gain has one level only, or units or shapes do not
        fit.
    """
    for image in flats:
        require_unit(image, u.adu)
        require_shape(image, detector.shape, "the active area of the detector")
    multiplied = [image for image in flats if em_gain_of(image) > 1]
    if not multiplied:
        raise UnprocessableData(f"none of {len(flats)} frames has an EM gain above 1")
    found = {
        commanded: _measure(frames, commanded, detector)
        for commanded, frames in by(em_gain_of, multiplied).items()
    }
    table = QTable(rows=[_row(commanded, each) for commanded, each in found.items()])
    table["rate"] *= u.electron
    for name in ("serial_rate", "serial_rate_error"):
        table[name] *= u.electron
    metric("largest_em_gain_error", float(np.max(table["em_gain_error"] / table["em_gain"])))
    note_frames(multiplied)
    return Table(table, common_meta([image.meta for image in multiplied]))


def _measure(flats: Sequence[Image], commanded: float, detector: Detector) -> _Measured:
    levels = by(exposure_time_second, flats)
    if len(levels) < 2:
        raise UnprocessableData(
            f"EM gain {commanded:g}: the frames have one level, of {next(iter(levels))} s; "
            "expected two, one of them of less than an electron per pixel"
        )
    # Output electrons: what the register makes of one electron is the gain that is sought.
    stacks = [
        clean_stack([_electrons(f, detector) for f in own], detector) for own in levels.values()
    ]
    for stack in stacks:
        stack *= np.float32(commanded)
    faintest, brightest = level_moments(stacks[0]), level_moments(stacks[-1])
    moments = em_gain_from_moments(faintest, brightest, detector.register_stages)
    fits = []
    for stack in stacks:
        if np.nanmean(stack) > BRIGHTEST_RATE * commanded:
            break
        fits.append(_fit(stack, flats[0], detector))
    fitted = [fit for fit in fits if fit is not None]
    if not fitted:
        caveat(f"EM gain {commanded:g}: single electrons do not stand out; moments alone are used")
    for fit in fitted:
        if fit.serial_rate < -UNPHYSICAL_SIGMA * fit.serial_error:
            caveat(
                f"EM gain {commanded:g}: the charge born in the register comes out at "
                f"{fit.serial_rate:.2g} +- {fit.serial_error:.2g} electron, below 0"
            )
    best = min(fitted, key=lambda fit: fit.em_gain_error, default=None)
    return _Measured(best, moments, len(flats))


def _electrons(image: Image, detector: Detector) -> Image:
    factor = np.float32(gain_electron_per_adu(image, detector) / em_gain_of(image))
    return replace(image, data=image.data * factor, variance=None, unit=u.electron)


def _fit(stack: NDArray[np.float32], image: Image, detector: Detector) -> EmGainFit | None:
    mean = np.nanmean(stack, axis=0)
    usual, spread = np.nanmedian(mean), mad_std(mean, ignore_nan=True)
    stack[:, np.abs(mean - usual) > HOT_SIGMA * spread] = np.nan
    try:
        return fit_em_gain(
            list(stack),
            read_noise_electron(image, detector),
            detector.register_stages,
            relative_rate=_light(mean),
        )
    except UnprocessableData:
        return None


def _light(mean: NDArray[np.float32]) -> list[float]:
    """Return the light of parts of the frame, which are equal in size."""
    rows, columns = (size // PARTS for size in mean.shape)
    parts = mean[: rows * PARTS, : columns * PARTS].reshape(PARTS, rows, PARTS, columns)
    light = np.nanmean(parts, axis=(1, 3)).ravel()
    known = np.sort(light[np.isfinite(light) & (light > 0)])
    return [float(group.mean()) for group in np.array_split(known, min(PARTS, len(known)))]


def _row(commanded: float, measured: _Measured) -> dict[str, float | int]:
    fit, moments = measured.likelihood, measured.moments
    taken = _taken(commanded, fit, moments)
    row = {
        "commanded_em_gain": commanded,
        "em_gain": taken.em_gain,
        "em_gain_error": taken.error,
        **dict.fromkeys(OF_THE_FIT, float("nan")),
        "moments_em_gain": moments.em_gain,
        "moments_em_gain_error": moments.error,
        "frames": measured.frames,
    }
    if fit is not None:
        row |= {
            "likelihood_em_gain": fit.em_gain,
            "likelihood_em_gain_error": fit.em_gain_error,
            "rate": fit.rate_electron,
            "serial_rate": max(fit.serial_rate, 0.0),
            "serial_rate_error": max(fit.serial_error, -fit.serial_rate),
            "chi_square": _reduced(fit),
        }
    return row


def _taken(commanded: float, fit: EmGainFit | None, moments: MeasuredGain) -> MeasuredGain:
    """Return the gain of the better method, with their disagreement in its error."""
    if fit is None:
        return moments
    good = _reduced(fit) <= GOOD_CHI_SQUARE and fit.em_gain_error <= ALLOWED * fit.em_gain
    best = MeasuredGain(fit.em_gain, fit.em_gain_error) if good else moments
    difference = abs(fit.em_gain - moments.em_gain)
    by_chance = SURE_SIGMA * float(np.hypot(fit.em_gain_error, moments.error))
    if difference <= by_chance:
        return best
    if difference > by_chance + ALLOWED * best.em_gain:
        caveat(
            f"EM gain {commanded:g}: {fit.em_gain:.5g} +- {fit.em_gain_error:.2g} by the histogram,"
            f" {moments.em_gain:.5g} +- {moments.error:.2g} by moments; "
            f"taken: {'the histogram' if good else 'moments'}"
        )
    return MeasuredGain(best.em_gain, float(np.hypot(best.error, difference)))


def _reduced(fit: EmGainFit) -> float:
    return fit.chi_square / fit.degrees_of_freedom
