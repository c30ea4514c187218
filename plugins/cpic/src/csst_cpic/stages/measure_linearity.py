"""Relative gain of the amplifier from ramps of flat exposures at several EM gains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import astropy.units as u
import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray
from pydantic import Field

from csst_cpic.camera.agreement import (
    em_gain_of,
    exposure_time_second,
    require_shape,
    require_unit,
)
from csst_cpic.camera.calibration_sets import by
from csst_cpic.camera.lit_level import bias_level_error, lit_level
from csst_cpic.detector import Detector
from csstcore.api import (
    Image,
    Reference,
    Table,
    UnprocessableData,
    common_meta,
    metric,
    note_frames,
)

Values = NDArray[np.float64]

LEAST_LEVELS = 4
SHARE = 2 / 3
"""Of the variance of a deviation, what is the level's own and not its neighbours'."""
NEAR = 3.0
"""Levels from a third to three times the reference counts give the factor there."""
COLUMNS = ("counts", "relative_gain", "relative_gain_error", "residual")


@dataclass(frozen=True, eq=False)
class _Ramp:
    """Levels of one EM gain, by rising exposure time."""

    em_gain: float
    seconds: Values
    counts: Values
    error: Values


def measure_linearity(
    flats: Sequence[Image],
    detector: Reference[Detector],
    *,
    reference_adu: Annotated[float, Field(gt=0)] = 3000.0,
) -> Annotated[Table, "nonlinearity"]:
    """Measure the relative gain of counts at every EM gain from flats of a constant lamp.

    At each EM gain the mean counts m of the frames go with the exposure time t as
    ``f(m) m = k t``. The factor f is tabulated at the levels measured, between which
    `correct_nonlinearity` interpolates; k is chosen so that f is 1 at `reference_adu` (by a
    straight line through the levels from a third to three times of it), to which the gain of
    the amplifier belongs. No form of the curve is assumed: factors measured on real EMCCDs rise
    steeply at few counts. What each level deviates from the line between its neighbours is given
    as ``residual``; where that is more than noise, the errors are raised by the rest.

    Parameters
    ----------
    flats
        Bias-subtracted frames in adu, at each EM gain of at least four exposure times, whose
        levels reach below and above `reference_adu`. Levels of which more than a thousandth of
        the pixels is saturated take no part. Frames of exposure time 0, if there are any, show
        what does not go with the exposure time, clock-induced charge: it is subtracted.
    detector
        Gain, read noise and geometry.
    reference_adu
        Counts at which the relative gain is 1.

    Returns
    -------
    nonlinearity
        One row per EM gain and level: ``em_gain``, ``counts`` (adu), ``relative_gain`` (the
        factor that makes counts linear) and ``relative_gain_error`` (noise of the level and
        of the reference), ``residual``. Metric: ``largest_residual``.

    Raises
    ------
    UnprocessableData
        If an EM gain has too few levels or none around `reference_adu`, the counts do not
        rise with the exposure time, or units or shapes do not fit.
    """
    if not any(exposure_time_second(image) for image in flats):
        raise UnprocessableData(f"none of {len(flats)} frames was exposed; expected flats")
    for image in flats:
        require_unit(image, u.adu)
        require_shape(image, detector.shape, "the active area of the detector")
    rows: dict[str, list[Values]] = {name: [] for name in ("em_gain", *COLUMNS)}
    for em_gain, members in by(em_gain_of, flats).items():
        if not any(exposure_time_second(image) for image in members):
            continue
        ramp = _ramp(members, em_gain, detector)
        columns = _relative_gain(ramp, reference_adu)
        rows["em_gain"].append(np.full(len(ramp.counts), em_gain))
        for name, values in zip(COLUMNS, columns, strict=True):
            rows[name].append(values)
    table = QTable({name: np.concatenate(parts) for name, parts in rows.items()})
    table["counts"] *= u.adu
    metric("largest_residual", float(np.abs(table["residual"]).max()))
    note_frames(flats)
    return Table(table, common_meta([image.meta for image in flats]))


def _ramp(flats: Sequence[Image], em_gain: float, detector: Detector) -> _Ramp:
    """Return the mean counts of every exposure time, above those of none."""
    common = bias_level_error(flats[0], detector)
    found, unlit = [], (0.0, common)
    for seconds, members in by(exposure_time_second, flats).items():
        levels = [lit_level(image, detector) for image in members]
        usable = [level for level in levels if level is not None]
        if len(usable) < len(levels):
            continue
        counts, noise = np.array(usable).T
        level = float(counts.mean()), float(np.sqrt((noise**2).sum())) / len(noise)
        if seconds > 0:
            found.append((seconds, *level))
        else:
            unlit = level
    if len(found) < LEAST_LEVELS:
        raise UnprocessableData(
            f"EM gain {em_gain:g}: the unsaturated flat frames have {len(found)} exposure times; "
            f"expected at least {LEAST_LEVELS}"
        )
    times, counts, errors = np.array(found).T
    counts, errors = counts - unlit[0], np.hypot(errors, unlit[1])
    if not (counts[0] > 0 and np.all(np.diff(counts) > 0)):
        raise UnprocessableData(
            f"EM gain {em_gain:g}: at {times.tolist()} s the flat frames have "
            f"{counts.round(1).tolist()} adu; expected counts that rise, of a constant lamp"
        )
    return _Ramp(em_gain, times, counts, errors)


def _relative_gain(ramp: _Ramp, reference_adu: float) -> tuple[Values, Values, Values, Values]:
    """Return counts, relative gain, its error, and deviations from the neighbours' line."""
    low, high = float(ramp.counts[0]), float(ramp.counts[-1])
    if not low <= reference_adu <= high:
        raise UnprocessableData(
            f"EM gain {ramp.em_gain:g}: the flat frames reach from {low:.0f} to {high:.0f} adu; "
            f"expected levels on both sides of {reference_adu:g} adu, where the relative gain is 1"
        )
    factor, noise = ramp.seconds / ramp.counts, ramp.error / ramp.counts
    residual, expected = _leave_one_out(ramp.counts, factor, factor * noise)
    excess = np.mean((residual**2 - expected) / factor[1:-1] ** 2)
    noise = np.sqrt(noise**2 + max(float(excess), 0.0) * SHARE)
    scale, scale_noise = _at_reference(ramp.counts / reference_adu, factor, noise)
    relative = factor / scale
    error = relative * np.hypot(noise, scale_noise)
    return ramp.counts, relative, error, np.pad(residual / scale, 1)


def _leave_one_out(counts: Values, factor: Values, error: Values) -> tuple[Values, Values]:
    """Return deviations from the line between the neighbours and their variance by noise."""
    weight = (counts[1:-1] - counts[:-2]) / (counts[2:] - counts[:-2])
    line = (1 - weight) * factor[:-2] + weight * factor[2:]
    variance = error[1:-1] ** 2 + ((1 - weight) * error[:-2]) ** 2 + (weight * error[2:]) ** 2
    return factor[1:-1] - line, variance


def _at_reference(distance: Values, factor: Values, noise: Values) -> tuple[float, float]:
    """Return the factor at distance 1 and its relative noise, by a line through levels near it."""
    near = (distance >= 1 / NEAR) & (distance <= NEAR)
    around = np.searchsorted(distance, 1.0)
    near[max(around - 1, 0) : around + 1] = True
    design = np.vander(distance[near] - 1, 2) / (factor * noise)[near, None]
    normal = np.linalg.inv(design.T @ design)
    value = float((normal @ (design.T @ (1 / noise[near])))[1])
    return value, float(np.sqrt(normal[1, 1])) / value
