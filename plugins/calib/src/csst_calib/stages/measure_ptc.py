"""Photon transfer curve: gain, read noise, full well and brighter-fatter coefficients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import astropy.units as u
import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray
from pydantic import Field

from csst_calib.agreement import require_readout, require_unit
from csst_calib.pair_statistics import PairStatistics, pair_statistics, pairs_by_exposure
from csst_calib.ptc import Ptc
from csst_calib.ptc_fit import (
    LEVEL_RATIO,
    LEVELS_FOR_SLOPE,
    SATURATED,
    Curve,
    area_changes,
    can_slope,
    fit_curve,
    turn_off,
)
from csst_calib.readout import Readout
from csst_calib.stages.gain import GAIN_UNIT
from csstcore.api import (
    Image,
    Reference,
    Table,
    UnprocessableData,
    caveat,
    common_meta,
    metric,
    note_frames,
)

Values = NDArray[np.float64]


def measure_ptc(
    flats: Sequence[Image],
    biases: Sequence[Image],
    readout: Reference[Readout],
    *,
    max_lag: Annotated[int, Field(ge=0, le=20)] = 8,
) -> tuple[Annotated[Ptc, "ptc"], Annotated[Table, "gain"]]:
    """Measure the photon transfer curve of every channel, its gain and its read noise.

    Half the variance of the difference of two flats of one exposure time is free of fixed
    pattern (Janesick 2001, Scientific Charge-Coupled Devices, chapter 2). Its growth with
    the mean is fitted by Astier et al. (2019, A&A 629, A36) eq. 16, which takes up the
    brighter-fatter effect, and by a parabola for comparison; covariances give the relative
    changes a_ij of a pixel's area per electron in a pixel i rows and j columns away.

    The read noise is that of pairs of bias frames about the mean of each row: a slow drift
    of the level, which the overscan follows only in part, is no noise of a pixel. It
    contains the noise of the converter's steps, sqrt(1/12) adu.

    Memory: two frames and about four copies of a channel.

    Parameters
    ----------
    flats
        Overscan-corrected flat frames in adu; frames of a pair have the same exposure time
        and follow each other.
    biases
        Overscan-corrected bias frames in adu, at least two.
    readout
        Geometry of the channels.
    max_lag
        Largest lag of the covariances.

    Returns
    -------
    ptc
        ``levels`` as in `csst_calib.ptc.Ptc`; ``fit`` with one row per channel: ``channel``
        (from 1), ``gain``, ``quadratic_gain`` and their errors (electron / adu), ``a00`` and
        its error (1 / electron), ``noise`` (electron, at level 0 of the fit),
        ``chi_square`` (reduced), ``turn_off`` and its error (adu), ``full_well`` (electron),
        ``a`` and ``a_error`` (1 / electron, shape (channels, lags, lags)).
    gain
        One row per channel: ``channel``, ``gain`` and ``gain_error`` (electron / adu),
        ``read_noise`` and ``read_noise_error`` (electron). Metrics: ``median_gain``,
        ``median_read_noise``, ``median_full_well``.

    Raises
    ------
    UnprocessableData
        If there are no pairs, or a channel's flats show no photon noise.
    """
    for image in (*flats, *biases):
        require_unit(image, u.adu)
        require_readout(image, readout)
    flat_pairs, bias_pairs = pairs_by_exposure(flats), pairs_by_exposure(biases)
    if not flat_pairs or not bias_pairs:
        raise UnprocessableData(
            f"there are {len(flats)} flat and {len(biases)} bias frames; expected at least two "
            "of one exposure time of each"
        )
    # Pairs outside, channels inside: every frame is read from disk once.
    lit = [
        (seconds, [pair_statistics(pair, channel, max_lag=max_lag) for channel in readout])
        for seconds, pairs in flat_pairs.items()
        for pair in pairs
    ]
    dark = [
        [pair_statistics(pair, channel, lit=False) for channel in readout]
        for pairs in bias_pairs.values()
        for pair in pairs
    ]
    measured = [
        _measure(
            index + 1,
            [(seconds, channels[index]) for seconds, channels in lit],
            [channels[index] for channels in dark],
            max_lag,
        )
        for index in range(readout.channels)
    ]
    levels = QTable(
        {name: np.concatenate([m[0][name] for m in measured]) for name in measured[0][0]}
    )
    fit = QTable({name: np.stack([m[1][name] for m in measured]) for name in measured[0][1]})
    gain = QTable({name: np.stack([m[2][name] for m in measured]) for name in measured[0][2]})
    for table, units in ((levels, LEVEL_UNITS), (fit, FIT_UNITS), (gain, GAIN_UNITS)):
        for name, unit in units.items():
            table[name] = table[name] * unit
    _tell(levels, fit, gain)
    note_frames(flats, biases)
    meta = common_meta([image.meta for image in (*flats, *biases)])
    return Ptc(levels, fit, meta), Table(gain, meta)


LEVEL_UNITS = {
    "exposure_time": u.s,
    "mean": u.adu,
    "variance": u.adu**2,
    "variance_error": u.adu**2,
    "covariance": u.adu**2,
}
FIT_UNITS = {
    **dict.fromkeys(("gain", "gain_error", "quadratic_gain", "quadratic_gain_error"), GAIN_UNIT),
    **dict.fromkeys(("a00", "a00_error", "a", "a_error"), u.electron**-1),
    **dict.fromkeys(("noise", "full_well", "full_well_error"), u.electron),
    **dict.fromkeys(("turn_off", "turn_off_error"), u.adu),
}
GAIN_UNITS = {
    **dict.fromkeys(("gain", "gain_error"), GAIN_UNIT),
    **dict.fromkeys(("read_noise", "read_noise_error"), u.electron),
}
Columns = dict[str, NDArray[Any]]


def _measure(
    number: int,
    lit: Sequence[tuple[float, PairStatistics]],
    dark: Sequence[PairStatistics],
    max_lag: int,
) -> tuple[Columns, Columns, Columns]:
    """Return the columns of the levels, of the fit and of the gain of one channel."""
    pixels_dark = sum(each.pixels for each in dark)
    zero, noise, row_noise = (
        float(np.mean([getattr(each, name) for each in dark]))
        for name in ("mean", "variance", "row_variance")
    )
    level = _levels(lit, zero)
    mean, variance, pixels = (level[name] for name in ("mean", "variance", "pixels"))
    _require_light(number, level, noise)
    error = variance * np.sqrt(2 / np.maximum(pixels, 1))
    last, last_error, seen = turn_off(mean, variance, error, level["saturated"])
    curve = fit_curve(
        mean,
        variance,
        pixels,
        (noise, noise * np.sqrt(2 / pixels_dark)),
        np.arange(len(mean)) <= last,
    )
    levels: Columns = {
        **level,
        "channel": np.full(len(mean), number, np.int32),
        "variance_error": error,
        "pixels": pixels.astype(np.int64),
        "used": curve.used.astype(np.int16),
        "residual": variance / curve.model - 1,
    }
    fit = {
        "channel": np.int32(number),
        **_model(curve, level, max_lag),
        **_full_well(curve.gain, curve.gain_error, mean[last], last_error),
        "turn_off_seen": np.int16(seen),
    }
    read_noise = curve.gain * np.sqrt(row_noise)
    relative = np.hypot(curve.gain_error / curve.gain, np.sqrt(0.5 / pixels_dark))
    gain = {
        "channel": np.int32(number),
        "gain": curve.gain,
        "gain_error": curve.gain_error,
        "read_noise": read_noise,
        "read_noise_error": read_noise * relative,
    }
    as_columns = [{name: np.asarray(value) for name, value in row.items()} for row in (fit, gain)]
    return levels, as_columns[0], as_columns[1]


def _require_light(number: int, level: dict[str, Values], noise: float) -> None:
    """Raise `UnprocessableData` unless there is photon noise, and a level below saturation."""
    mean, variance, saturated = (level[name] for name in ("mean", "variance", "saturated"))
    if saturated[0] > SATURATED:
        raise UnprocessableData(f"channel {number}: every flat frame is saturated")
    if not (np.all(mean > 0) and np.all((variance > noise) | (saturated > 0))):
        raise UnprocessableData(
            f"channel {number}: the flat frames have levels {mean.round(1).tolist()} adu and "
            f"variances {variance.round(1).tolist()} adu^2, the bias frames {noise:.1f} adu^2; "
            "expected photon noise above the bias"
        )


def _model(curve: Curve, level: dict[str, Values], max_lag: int) -> dict[str, Any]:
    """Return what the models say of one channel, in the columns of the fit."""
    used = curve.used
    a, a_error = area_changes(
        level["mean"][used],
        level["covariance"][used],
        _covariance_errors(curve, level["pixels"], max_lag),
    )
    a[0, 0], a_error[0, 0] = curve.a00, curve.a00_error
    return {
        "gain": curve.gain,
        "gain_error": curve.gain_error,
        "quadratic_gain": curve.quadratic_gain,
        "quadratic_gain_error": curve.quadratic_gain_error,
        "a00": curve.a00,
        "a00_error": curve.a00_error,
        "noise": curve.gain * np.sqrt(max(curve.noise, 0.0)),
        "chi_square": curve.chi_square,
        "levels": np.int32(np.count_nonzero(used)),
        "sloped": np.int16(can_slope(level["mean"][used])),
        "a": a,
        "a_error": a_error,
    }


def _full_well(
    gain: float, gain_error: float, turn_off_adu: float, error_adu: float
) -> dict[str, float]:
    """Return turn-off and full well, in the columns of the fit."""
    return {
        "turn_off": turn_off_adu,
        "turn_off_error": error_adu,
        "full_well": gain * turn_off_adu,
        "full_well_error": float(np.hypot(gain * error_adu, turn_off_adu * gain_error)),
    }


def _levels(lit: Sequence[tuple[float, PairStatistics]], zero: float) -> dict[str, Values]:
    """Return what was measured at every exposure time, in order of the mean."""
    times = sorted({seconds for seconds, _ in lit})
    rows = [_merged(time, [each for t, each in lit if t == time], zero) for time in times]
    rows.sort(key=lambda row: float(row["mean"]))
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def _merged(seconds: float, found: Sequence[PairStatistics], zero: float) -> dict[str, Values]:
    """Return the mean of several pairs of one exposure time."""
    pixels = sum(each.pixels for each in found)
    return {
        "exposure_time": np.asarray(seconds),
        "mean": np.mean([each.mean for each in found]) - np.asarray(zero),
        "variance": np.mean([each.variance for each in found], keepdims=True)[0],
        "covariance": np.mean([each.covariance for each in found], axis=0),
        "pixels": np.asarray(float(pixels)),
        "saturated": np.mean([each.saturated for each in found], keepdims=True)[0],
    }


def _covariance_errors(curve: Curve, pixels: Values, max_lag: int) -> Values:
    """Return errors of shape (levels used, lags, lags): V / sqrt(n), and both signs of a lag."""
    signs = np.ones((max_lag + 1, max_lag + 1))
    signs[1:, 1:] = 2
    variance = curve.model[curve.used][:, None, None]
    return np.asarray(variance / np.sqrt(pixels[curve.used][:, None, None] * signs))


def _tell(levels: QTable, fit: QTable, gain: QTable) -> None:
    """Keep metrics, and caveats about what the frames cannot tell."""
    metric("median_gain", float(np.median(gain["gain"].value)))
    metric("median_read_noise", float(np.median(gain["read_noise"].value)))
    metric("median_full_well", float(np.median(fit["full_well"].value)))
    if not np.all(fit["sloped"]):
        caveat(
            f"the flats have fewer than {LEVELS_FOR_SLOPE} levels over a factor of "
            f"{LEVEL_RATIO:g}: the brighter-fatter slope is taken as 0"
        )
    if not np.all(fit["turn_off_seen"]):
        caveat("the flats do not reach the turn-off: the full well is a lower limit")
