"""The average spectrum of a target."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import astropy.units as u
import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from csst_hstdm.common_axis import (
    common_axis,
    good_rows,
    radiometer_weights,
    resampled_variance,
    velocity_km_s,
)
from csst_hstdm.dump_rows import numbers, rows_of
from csst_hstdm.flags import FLAG_BITS
from csst_hstdm.line_windows import find_lines_in_dumps, widest_channel
from csst_hstdm.shared_offs import shared_off_factor
from csst_hstdm.summed_meta import summed_meta
from csst_hstdm.weighted_sums import Contributions, weighted_sums
from csstcore.api import Spectra, UnprocessableData, metric


def average_spectra(dumps: Sequence[Spectra]) -> Annotated[Spectra, "spectrum"]:
    """Average dumps of one target, weighted with t / T_sys^2.

    Those without T_sys are weighted with 1 / variance, on the same scale. Flagged samples do not
    count; the error is propagated, with the noise of OFFs that dumps share. The rms outside of
    lines over that error is the metric ``rms_over_prediction``: noise that does not average down
    makes it larger than 1.

    Parameters
    ----------
    dumps
        Calibrated dumps on one grid of frequencies; those of state ON without a flag count.

    Returns
    -------
    Spectra
        One spectrum; channels without a good sample are NaN and flagged ``bad_channel``.

    Raises
    ------
    UnprocessableData
        If no dump is usable, or the dumps do not lie on one grid of frequencies.
    """
    axis = common_axis(dumps)
    good = [good_rows(each) for each in dumps]
    if not sum(map(len, good)):
        raise UnprocessableData("no dump of state ON is without flag")
    parts = [Contributions.to_one(rows) for rows in good]
    data = np.empty((len(axis.frequency_hz), 1), np.float32)
    variance = np.empty_like(data)
    weights = radiometer_weights(dumps, good)
    weighted_sums(dumps, parts, weights, axis.first_channels, 1, data, variance)
    variance *= np.float32(shared_off_factor(dumps, parts, weights, 1)[0])
    flux, variance = data.T.copy(), variance.T.copy()
    empty = np.isnan(flux)
    if empty.all():
        raise UnprocessableData("every sample of the dumps is flagged or has no variance")
    rows = _row(dumps, good)
    rows["rest_frequency"] = [axis.rest_frequency_hz] * u.Hz
    rows["frame"] = [axis.frame]
    rows["state"] = ["ON"]
    rows["resampled_variance"] = [resampled_variance(dumps)]
    _copy_baseline(dumps, rows)
    velocity = velocity_km_s(axis.frequency_hz, axis.rest_frequency_hz)
    rms, predicted = noise(flux, variance, widest_channel(velocity))
    rows["rms"], rows["rms_predicted"] = [rms] * u.K, [predicted] * u.K
    metric("rms_kelvin", rms)
    metric("rms_predicted_kelvin", predicted)
    metric("rms_over_prediction", rms / predicted)
    metric("averaged_dumps", sum(map(len, good)))
    return Spectra(
        flux,
        axis.frequency_hz * u.Hz,
        dumps[0].unit,
        variance,
        empty.astype(np.uint16) * np.uint16(FLAG_BITS["bad_channel"]),
        rows,
        summed_meta(dumps),
        dict(FLAG_BITS),
    )


def noise(
    flux: NDArray[np.float32], variance: NDArray[np.float32], widest: float
) -> tuple[float, float]:
    """Return the rms of a spectrum outside of its lines, and the one its variances predict.

    Parameters
    ----------
    flux, variance
        Shape (1, channels); NaN does not count.
    widest
        Width of the widest line in channels.
    """
    valid = np.isfinite(flux)
    lines = find_lines_in_dumps(np.nan_to_num(flux), valid, widest_channel=widest)
    free = valid & ~lines if (valid & ~lines).any() else valid
    rms = float(np.sqrt(np.mean(flux[free].astype(float) ** 2)))
    return rms, float(np.sqrt(np.mean(variance[free].astype(float))))


def _row(series: Sequence[Spectra], good: list[NDArray[np.intp]]) -> QTable:
    """Return the row of the average: exposure, direction and system temperature."""
    used = [(rows_of(dumps), rows) for dumps, rows in zip(series, good, strict=True)]
    time_s = np.concatenate([numbers(rows, "exposure_time", u.s)[g] for rows, g in used])
    out = QTable()
    out["exposure_time"] = [time_s.sum()] * u.s
    out["dumps"] = [len(time_s)]
    for name, unit in (("ra", u.deg), ("dec", u.deg), ("t_sys", u.K)):
        known = [name in rows.colnames for rows, _ in used]
        values = (
            np.concatenate([numbers(rows, name, unit)[g] for rows, g in used])
            if all(known)
            else np.full(1, np.nan)
        )
        finite = values[np.isfinite(values)]
        out[name] = [np.median(finite) if len(finite) else np.nan] * unit
    return out


def _copy_baseline(series: Sequence[Spectra], out: QTable) -> None:
    """Say with what baselines were fitted: of the file with the most terms."""
    names = ("baseline_degree", "baseline_periods")
    fitted = [rows_of(dumps) for dumps in series]
    known = [rows[:1] for rows in fitted if all(name in rows.colnames for name in names)]
    if known:
        first = max(known, key=lambda row: np.isfinite(row["baseline_periods"]).sum())
        for name in names:
            out[name] = first[name]
