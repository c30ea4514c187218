"""Counts to antenna temperature: ON minus OFF over gain, in the signal sideband."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import astropy.units as u
import numpy as np
from astropy.table import QTable
from astropy.time import Time
from numpy.typing import NDArray
from pydantic import Field

from csst_hstdm.averages import Average, average_blocks
from csst_hstdm.calibrate_kernel import calibrate_dump
from csst_hstdm.dump_rows import (
    J2000_DAY,
    Tuning,
    numbers,
    row_flags,
    rows_of,
    seconds,
    states,
    tuning,
)
from csst_hstdm.flags import FLAG_BITS
from csst_hstdm.gain_curve import GainCurve, bracket, gain_curve
from csst_hstdm.medians import finite_median
from csst_hstdm.off_lines import lines_of_offs
from csst_hstdm.radiation import HERTZ_TO_KELVIN
from csst_hstdm.receiver import Receiver
from csst_hstdm.sideband import signal_gain
from csstcore.api import (
    Reference,
    Spectra,
    Table,
    UnprocessableData,
    caveat,
    each,
    metric,
    pieces,
    replace,
)

Positive = Annotated[float, Field(gt=0)]
Plane = NDArray[np.float64]

ANTENNA = "T_A*"
T_REC_ERROR = 0.05
"""Relative error of T_rec by which an OFF may be colder than the zero point, half a photon."""


def calibrate(
    dumps: Sequence[Spectra],
    load_gain: Table,
    receiver: Reference[Receiver],
    sideband_gain: Reference[Spectra],
    *,
    off_gap_s: Positive = 30.0,
    longest_load_gap_s: Positive = 900.0,
    longest_off_gap_s: Positive = 300.0,
    off_line_threshold: Positive = 6.0,
) -> tuple[Annotated[Sequence[Spectra | None], "dumps"], Annotated[Table, "system_temperature"]]:
    """Calibrate ON minus OFF to the antenna temperature of the signal sideband.

    ``T_A* = (c_on - c_off) / (gamma eta_l G_s)`` with gains linear in time between the loads and
    OFFs linear in time between the one before and the one after, of any file. The variance is
    that of the radiometer equation for ON and OFF, with the errors of gain and sideband gain. ONs
    between the same OFFs share their noise: ``off_fraction`` is its part of the variance,
    ``off_before`` and ``off_after`` tell the OFFs (by their time in ms) and ``off_weight`` the
    weight of the latter.

    Parameters
    ----------
    dumps
        Flagged counts of all files. Files without an ON give nothing.
    load_gain
        Of `solve_loads`.
    receiver
        Efficiencies and noise bandwidth.
    sideband_gain
        Gain of the signal sideband.
    off_gap_s
        A longer gap in time ends an OFF.
    longest_load_gap_s
        Dumps further from any load are flagged ``no_load``.
    longest_off_gap_s
        Dumps further from any OFF are flagged ``unstable_gain``.
    off_line_threshold
        Of lines in an OFF, in units of the scatter; their channels are flagged ``off_line``.

    Returns
    -------
    dumps
        ONs in kelvin; rows also have t_sys, t_rec (DSB, K, medians of the band), off_before,
        off_after, off_weight, off_fraction, temperature_scale.
    system_temperature
        A row per OFF: time, lo_frequency, t_sys by channel (DSB, K) and its error.

    Raises
    ------
    UnprocessableData
        If not one file can be calibrated.
    """
    offs = average_blocks(dumps, ("OFF",), gap_s=off_gap_s)
    curves: dict[Tuning, _Calibration] = {}
    refusals: list[str] = []
    for part in dumps:
        setting = tuning(part).among([*curves, *(off.tuning for off in offs)])
        if setting not in curves and (states(rows_of(part)) == "ON").any():
            curve = gain_curve(load_gain.table, setting)
            same = [off for off in offs if off.tuning == setting]
            if curve is None or not same:
                lacking = "OFF" if curve is not None else "loads"
                refusals.append(f"no {lacking} for the tuning of {setting.lo_hz / 1e9:.6f} GHz")
                continue
            curves[setting] = _Calibration.of(
                part, setting, curve, same, receiver, sideband_gain, off_line_threshold
            )
    for why in sorted(set(refusals)):
        caveat(why)
    limits = longest_load_gap_s, longest_off_gap_s
    calibrated = [
        _calibrated(part, curves.get(tuning(part).among(curves)), limits) for part in dumps
    ]
    if not any(part is not None for part in calibrated):
        raise UnprocessableData("; ".join(sorted(set(refusals))) or "no file has a dump of ON")
    table = _temperature_table(list(curves.values()))
    metric("t_sys_kelvin", finite_median(table["t_sys"].value))
    return calibrated, Table(table, meta=dumps[0].meta)


@dataclass(frozen=True, slots=True)
class _Calibration:
    """What is needed to calibrate the dumps of one tuning."""

    setting: Tuning
    curve: GainCurve
    offs: list[Average]
    off_times: Plane
    off_flags: list[NDArray[np.uint16]]
    t_sys: list[Plane]
    """DSB system temperature of each OFF, by channel."""
    t_sys_error: list[Plane]
    coupling: Plane
    gain_variance: Plane
    """Relative variance of the gain of the signal sideband."""
    samples_per_second: float

    @classmethod
    def of(
        cls,
        part: Spectra,
        setting: Tuning,
        curve: GainCurve,
        offs: list[Average],
        receiver: Receiver,
        sideband_gain: Spectra,
        threshold: float,
    ) -> _Calibration:
        axis_hz = part.axis.to_value(u.Hz)
        gain, error = signal_gain(sideband_gain, axis_hz, setting.lo_hz, setting.sideband)
        spacing_hz = float(np.median(np.abs(np.diff(axis_hz))))
        samples = receiver.noise_bandwidth_hz(spacing_hz) * receiver.spectrometer_efficiency**2
        zero_point = HERTZ_TO_KELVIN * float(np.median(axis_hz)) / 2
        flags, t_sys, errors, skies = [], [], [], []
        for off in offs:
            gamma, t_rec, place = curve.at(off.time_s)
            with np.errstate(invalid="ignore", divide="ignore"):
                temperature = off.rate / gamma
                relative = _gamma_variance(curve, off.time_s) + 1 / (samples * off.exposure_s)
            skies.append(temperature - t_rec)
            sky = finite_median(skies[-1])
            impossible = not sky > zero_point - T_REC_ERROR * finite_median(t_rec)
            if impossible:
                caveat(f"an OFF is at {sky:.1f} K: the gain of the loads is not that of the sky")
            bits = off.flags | np.uint16(FLAG_BITS["unstable_gain"] if impossible else 0)
            flags.append(bits | curve.flags[place.before] | curve.flags[place.after])
            t_sys.append(temperature)
            errors.append(temperature * np.sqrt(relative))
        off_times = np.array([off.time_s for off in offs])
        for bits, line in zip(flags, lines_of_offs(skies, off_times, threshold), strict=True):
            bits[line] |= FLAG_BITS["off_line"]
            if line.any():
                caveat(f"an OFF has lines in {np.count_nonzero(line)} channels")
        return cls(
            setting,
            curve,
            offs,
            off_times,
            flags,
            t_sys,
            errors,
            receiver.eta_l * gain,
            (error / gain) ** 2,
            samples,
        )


def _gamma_variance(curve: GainCurve, time_s: float) -> Plane:
    """Return the relative variance of the interpolated gain: noise of the loads and drift."""
    place = bracket(curve.time_s, time_s)
    w = place.weight
    noise = (1 - w) ** 2 * curve.relative_variance[place.before]
    noise += w**2 * curve.relative_variance[place.after]
    return np.asarray(noise + curve.drift_variance(place))


def _calibrated(
    part: Spectra, calibration: _Calibration | None, limits: tuple[float, float]
) -> Spectra | None:
    """Return the ONs of one file; None without any, or without what calibrates them."""
    rows = rows_of(part)
    on = np.flatnonzero(states(rows) == "ON")
    if calibration is None or not len(on):
        return None
    flux = np.empty((len(on), part.flux.shape[1]), np.float32)
    variance = np.empty_like(flux)
    flags = np.zeros(flux.shape, np.uint16)
    kept = rows[on]
    time_s, exposure_s = seconds(kept), numbers(kept, "exposure_time", u.s)
    bits = row_flags(kept)
    share, t_sys, t_rec = (np.full(len(on), np.nan) for _ in range(3))
    brackets = [bracket(calibration.off_times, t if np.isfinite(t) else 0.0) for t in time_s]
    off_level = np.array([finite_median(temperature) for temperature in calibration.t_sys])
    load_level = np.array([finite_median(line) for line in calibration.curve.t_rec_kelvin])

    def calibrate_rows(piece: slice) -> None:
        for k in range(piece.start, piece.stop):
            curve, off = calibration.curve, brackets[k]
            known = bool(np.isfinite(time_s[k]))
            moment = time_s[k] if known else float(curve.time_s[0])
            gamma, _, place = curve.at(moment)
            if known and place.distance_s > limits[0]:
                bits[k] |= FLAG_BITS["no_load"]
            if known and off.distance_s > limits[1]:
                bits[k] |= FLAG_BITS["unstable_gain"]
            if part.flags is not None:
                flags[k] = part.flags[on[k]]
            extra = calibration.off_flags[off.before] | calibration.off_flags[off.after]
            extra |= curve.flags[place.before] | curve.flags[place.after] | np.uint16(bits[k])
            before, after = calibration.offs[off.before], calibration.offs[off.after]
            share[k] = calibrate_dump(
                part.flux[on[k]],
                exposure_s[k],
                before.rate,
                after.rate,
                before.exposure_s,
                after.exposure_s,
                off.weight,
                gamma,
                calibration.coupling,
                _gamma_variance(curve, moment) + calibration.gain_variance,
                calibration.samples_per_second,
                flux[k],
                variance[k],
                flags[k],
                extra,
                np.uint16(FLAG_BITS["bad_channel"]),
            )
            t_sys[k] = (1 - off.weight) * off_level[off.before] + off.weight * off_level[off.after]
            t_rec[k] = np.interp(moment, curve.time_s, load_level)

    each(calibrate_rows, pieces(len(on)))
    names = np.round(calibration.off_times * 1000).astype(np.int64)
    kept["flag"] = bits.astype(np.int32)
    kept["t_sys"], kept["t_rec"] = t_sys * u.K, t_rec * u.K
    kept["off_before"] = names[[off.before for off in brackets]]
    kept["off_after"] = names[[off.after for off in brackets]]
    kept["off_weight"] = [off.weight for off in brackets]
    kept["off_fraction"] = share
    kept["temperature_scale"] = np.full(len(on), ANTENNA)
    return replace(part, flux=flux, variance=variance, flags=flags, rows=kept, unit=u.K)


def _temperature_table(calibrations: list[_Calibration]) -> QTable:
    """Return a row per OFF."""
    lo_hz = [c.setting.lo_hz for c in calibrations for _ in c.offs]
    days = np.concatenate([c.off_times for c in calibrations]) / 86400
    return QTable(
        {
            "time": Time(J2000_DAY, days, format="jd", scale="utc"),
            "lo_frequency": lo_hz * u.Hz,
            "t_sys": np.stack([plane for c in calibrations for plane in c.t_sys]) * u.K,
            "t_sys_error": np.stack([plane for c in calibrations for plane in c.t_sys_error]) * u.K,
        }
    )
