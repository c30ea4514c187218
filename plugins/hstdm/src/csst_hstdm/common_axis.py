"""Dumps of several files on one frequency axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import astropy.units as u
import numpy as np
from numpy.typing import NDArray

from csst_hstdm.dump_rows import numbers, row_flags, rows_of, states
from csstcore.api import Spectra, UnprocessableData, caveat

_SAMPLES = 256
"""Channels from which the variance of a dump is taken."""
TOLERANCE_CHANNEL = 0.02
"""How far channels of two files may lie from each other."""


@dataclass(frozen=True, slots=True)
class CommonAxis:
    """The axis that holds the channels of all files, and where each file's begin."""

    frequency_hz: NDArray[np.float64]
    first_channels: tuple[int, ...]
    rest_frequency_hz: float
    frame: str
    """``LSRK``, or what the rows name; empty if nothing."""


def common_axis(series: Sequence[Spectra]) -> CommonAxis:
    """Return the axis of several files, whose channels must be those of one grid.

    Raises
    ------
    UnprocessableData
        If the axes are not parts of one grid, or the rest frequencies or frames differ.
    """
    if not series:
        raise UnprocessableData("there are no dumps")
    axes = [_axis_hz(dumps) for dumps in series]
    step_hz = float(axes[0][-1] - axes[0][0]) / (len(axes[0]) - 1)
    starts = []
    for axis in axes:
        start = (axis[0] - axes[0][0]) / step_hz
        end = (axis[-1] - axes[0][0]) / step_hz - (len(axis) - 1)
        if max(abs(start - round(start)), abs(end - round(start))) > TOLERANCE_CHANNEL:
            raise UnprocessableData(
                f"channels of two files lie {start:.3f} and {end:.3f} channels apart at both "
                "ends; expected one grid of frequencies"
            )
        starts.append(round(start))
    low = min(starts)
    channels = max(start + len(axis) for start, axis in zip(starts, axes, strict=True)) - low
    frame = _one([_text(dumps, "frame") for dumps in series], "frame")
    if frame != "LSRK":
        caveat(f"frequencies are in the frame {frame or 'unknown'}; expected LSRK")
    return CommonAxis(
        axes[0][0] + step_hz * (low + np.arange(channels)),
        tuple(start - low for start in starts),
        float(_one([_rest_hz(dumps) for dumps in series], "rest_frequency")),
        str(frame),
    )


def good_rows(dumps: Spectra) -> NDArray[np.intp]:
    """Return the calibrated dumps of the source that carry no flag as a whole."""
    rows = rows_of(dumps)
    return np.flatnonzero((states(rows) == "ON") & (row_flags(rows) == 0))


def variances(dumps: Spectra) -> NDArray[np.float32]:
    """Return the variance of each sample, shape as `flux`.

    Where the dumps carry none, it is proportional to ``T_sys^2 / t``, one value per dump.

    Raises
    ------
    UnprocessableData
        With neither variances nor T_sys.
    """
    if dumps.variance is not None:
        return dumps.variance
    rows = rows_of(dumps)
    width_hz = abs(float((dumps.axis[1] - dumps.axis[0]).to_value(u.Hz)))
    with np.errstate(divide="ignore", invalid="ignore"):
        time_s = numbers(rows, "exposure_time", u.s)
        each = np.asarray(numbers(rows, "t_sys", u.K) ** 2 / (time_s * width_hz), np.float32)
    return np.broadcast_to(each[:, None], dumps.flux.shape)


def dump_weights(dumps: Spectra, rows: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return 1 / variance of dumps, of the median channel; 0 where it is not known.

    One weight per dump: those of single channels would be less where a line is bright, and so
    bias means of dumps that see different parts of the line.
    """
    step = max(dumps.flux.shape[1] // _SAMPLES, 1)
    sample = variances(dumps)[:, ::step][rows].astype(float)
    sample[~(sample > 0)] = np.nan
    known = np.isfinite(sample).any(axis=1)
    out = np.zeros(len(rows))
    out[known] = 1 / np.nanmedian(sample[known], axis=1)
    return np.nan_to_num(out, posinf=0.0)


def radiometer_weights(
    series: Sequence[Spectra], good: Sequence[NDArray[np.intp]]
) -> list[NDArray[np.float64]]:
    """Return ``t width / T_sys^2`` of the dumps of each file, for averages and maps.

    Not 1 / variance: variances also hold the brightness of the dump itself, and how far gains and
    OFFs are uncertain, which comes and goes along the scan. As weights they would draw a mean to
    the fainter and better dumps, and a source would lose flux; the radiometer's noise changes
    slowly. Dumps without T_sys get `dump_weights`, scaled as the median of those with it.

    Parameters
    ----------
    series
        Files of dumps.
    good
        Rows of each.
    """
    inverse = [dump_weights(dumps, rows) for dumps, rows in zip(series, good, strict=True)]
    weights = [
        np.where(known > 0, _radiometer(dumps)[rows], 0.0)
        for dumps, rows, known in zip(series, good, inverse, strict=True)
    ]
    one, other = np.concatenate(weights), np.concatenate(inverse)
    both = (one > 0) & (other > 0)
    told = one[both] / other[both]
    scale = float(np.median(told)) if len(told) else 1.0
    return [
        np.where(np.isfinite(weight), weight, scale * known)
        for weight, known in zip(weights, inverse, strict=True)
    ]


def _radiometer(dumps: Spectra) -> NDArray[np.float64]:
    """Return ``t width / T_sys^2`` of all rows; NaN where it is not known."""
    table = rows_of(dumps)
    if any(name not in table.colnames for name in ("t_sys", "exposure_time")):
        return np.full(len(table), np.nan)
    t_sys, time_s = numbers(table, "t_sys", u.K), numbers(table, "exposure_time", u.s)
    width_hz = abs(float((dumps.axis[1] - dumps.axis[0]).to_value(u.Hz)))
    known = (t_sys > 0) & (time_s > 0)
    return np.where(known, time_s * width_hz / np.where(known, t_sys, 1.0) ** 2, np.nan)


def resampled_variance(series: Sequence[Spectra]) -> float:
    """Return by how much resampling shrank variances, mean of the usable dumps; 1 if unknown."""
    found = [
        numbers(rows_of(dumps), "resampled_variance", u.dimensionless_unscaled)[good_rows(dumps)]
        for dumps in series
        if "resampled_variance" in rows_of(dumps).colnames
    ]
    values = np.concatenate(found) if found else np.ones(1)
    values = values[np.isfinite(values) & (values > 0)]
    return min(float(np.mean(values)), 1.0) if len(values) else 1.0


def velocity_km_s(frequency_hz: NDArray[np.float64], rest_hz: float) -> NDArray[np.float64]:
    """Return velocities by the radio convention, ``c (1 - nu / nu_0)``."""
    return np.asarray(299792.458 * (1 - np.asarray(frequency_hz, float) / rest_hz))


def _axis_hz(dumps: Spectra) -> NDArray[np.float64]:
    if dumps.axis.ndim != 1 or len(dumps.axis) < 2:
        raise UnprocessableData(
            f"the frequency axis has shape {dumps.axis.shape}; expected one of two or more "
            "channels for all dumps"
        )
    axis = np.asarray(dumps.axis.to_value(u.Hz), float)
    step = np.diff(axis)
    if not np.all(np.abs(step - step.mean()) < TOLERANCE_CHANNEL * abs(step.mean())):
        raise UnprocessableData("the channels are not equidistant in frequency")
    return axis


def _rest_hz(dumps: Spectra) -> float:
    rest = np.unique(numbers(rows_of(dumps), "rest_frequency", u.Hz))
    return float(_one(list(rest), "rest_frequency"))


def _text(dumps: Spectra, name: str) -> str:
    rows = rows_of(dumps)
    if name not in rows.colnames:
        return ""
    return str(_one(list(np.unique(np.char.strip(np.asarray(rows[name]).astype(str)))), name))


def _one(values: Sequence[float | str], name: str) -> float | str:
    different = sorted(set(values), key=str)
    if len(different) != 1:
        raise UnprocessableData(f"{name} has {len(different)} values: {different[:3]}; expected 1")
    return different[0]
