"""Counts to antenna temperature: ON minus OFF over gain, in the signal sideband."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from dataclasses import replace as replace_fields
from itertools import pairwise
from typing import Annotated

import astropy.units as u
import numpy as np
from astropy.table import QTable
from astropy.time import Time
from numpy.typing import NDArray
from pydantic import Field

from csst_hstdm.averages import Average, average_blocks
from csst_hstdm.band_steps import band_step
from csst_hstdm.calibrate_kernel import calibrate_dump
from csst_hstdm.dump_rows import (
    J2000_DAY,
    Tuning,
    integers,
    numbers,
    row_flags,
    rows_of,
    seconds,
    states,
    tuning,
)
from csst_hstdm.flags import FLAG_BITS
from csst_hstdm.gain_curve import Bracket, GainCurve, bracket, gain_curve, uneven_gains
from csst_hstdm.gain_or_sky import TOGETHER, Ratios, Shape, Step, changed_runs, gain_steps
from csst_hstdm.line_places import directions
from csst_hstdm.medians import finite_median
from csst_hstdm.off_lines import lines_of_offs, off_shifts
from csst_hstdm.radiation import HERTZ_TO_KELVIN
from csst_hstdm.receiver import Receiver
from csst_hstdm.series import usable
from csst_hstdm.sideband import signal_gain
from csst_hstdm.unstable_dumps import STEPS_SIGMA, runs
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
    gain_jump: Positive = 0.01,
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
        Flagged counts of all files. Files without an ON give nothing, nor do those that do not
        belong to the others.
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
    gain_jump
        Relative change of the gain from OFF to ON, from one OFF to the next against the loads, or
        inside an interval between loads, of the band or a part of it, from which on it is
        unstable. ONs of one position are compared over all files. Continuum sources are told from
        it by the shape of the system temperature and by the way they pass the beam.

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
    range_hz = receiver.tuning_range_hz
    used = usable(dumps)
    series = [part for part, good in zip(dumps, used, strict=True) if good]
    offs = average_blocks(series, ("OFF",), gap_s=off_gap_s, tuning_range_hz=range_hz)
    curves: dict[Tuning, _Calibration] = {}
    refusals: list[str] = []
    for part in series:
        setting = tuning(part).among([*curves, *(off.tuning for off in offs)], range_hz)
        if setting not in curves and (states(rows_of(part)) == "ON").any():
            gain = gain_curve(load_gain.table, setting, receiver)
            same = [off for off in offs if off.tuning == setting]
            if gain is None or not same:
                lacking = "OFF" if gain is not None else "loads"
                refusals.append(f"no {lacking} for the tuning of {setting.lo_hz / 1e9:.6f} GHz")
                continue
            try:
                curves[setting] = _Calibration.of(
                    part,
                    setting,
                    gain,
                    same,
                    receiver,
                    sideband_gain,
                    off_shifts(series, same, receiver),
                    (off_line_threshold, gain_jump, longest_load_gap_s),
                )
            except UnprocessableData as error:
                refusals.append(str(error))
    for why in sorted(set(refusals)):
        caveat(why)
    limits = longest_load_gap_s, longest_off_gap_s
    found = [
        _calibrated(part, curves.get(tuning(part).among(curves, range_hz)), limits)
        if good
        else None
        for part, good in zip(dumps, used, strict=True)
    ]
    if not any(one is not None for one in found):
        raise UnprocessableData("; ".join(sorted(set(refusals))) or "no file has a dump of ON")
    for curve in curves.values():
        of_curve = [one for one in found if one is not None and one.calibration is curve]
        _flag_steps(of_curve, curve, gain_jump)
    calibrated = [one.spectra if one is not None else None for one in found]
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
    shape: Shape
    """Of the system temperature."""
    beam_radian: float

    @classmethod
    def of(
        cls,
        part: Spectra,
        setting: Tuning,
        curve: GainCurve,
        offs: list[Average],
        receiver: Receiver,
        sideband_gain: Spectra,
        shifts: NDArray[np.int64],
        limits: tuple[float, float, float],
    ) -> _Calibration:
        axis_hz = part.axis.to_value(u.Hz)
        gain, error = signal_gain(
            sideband_gain,
            axis_hz,
            setting.lo_hz,
            setting.sideband,
            range_hz=receiver.sideband_gain_range_hz,
        )
        spacing_hz = float(np.median(np.abs(np.diff(axis_hz))))
        samples = receiver.noise_bandwidth_hz(spacing_hz) * receiver.spectrometer_efficiency**2
        coldest, warmest = _sky_limits(receiver, float(np.median(axis_hz)))
        flags, t_sys, errors, skies, places = [], [], [], [], []
        for off in offs:
            gamma, t_rec, place = curve.at(off.time_s)
            with np.errstate(invalid="ignore", divide="ignore"):
                temperature = off.rate / gamma
                relative = _gamma_variance(curve, off.time_s) + 1 / (samples * off.exposure_s)
            skies.append(temperature - t_rec)
            sky = finite_median(skies[-1])
            margin = receiver.t_rec_tolerance * finite_median(t_rec)
            impossible = not coldest - margin < sky < warmest + margin
            places.append((place.before, place.after))
            if impossible:
                caveat(f"an OFF is at {sky:.1f} K: the gain of the loads is not that of the sky")
            bits = off.flags | np.uint16(FLAG_BITS["unstable_gain"] if impossible else 0)
            flags.append(bits | curve.flags_at(place))
            t_sys.append(temperature)
            errors.append(temperature * np.sqrt(relative))
        off_times = np.array([off.time_s for off in offs])
        unstable_bit = np.uint16(FLAG_BITS["unstable_gain"])
        planes = np.stack(t_sys)
        planes[[bool(np.all(bits & unstable_bit)) for bits in flags]] = np.nan
        wrong, unstable = uneven_gains(planes, off_times, places, limits[1], gap_s=limits[2])
        for bits in (flags[int(k)] for k in np.flatnonzero(wrong)):
            bits |= unstable_bit
        if unstable or wrong.any():
            caveat(
                f"the gain of {np.count_nonzero(wrong)} OFFs differs from that of others; it steps "
                f"in {len(unstable)} intervals between loads"
            )
            curve = replace_fields(curve, unstable=unstable)
        bad = (
            wrong
            | np.all(np.isnan(planes), axis=1)
            | np.array([interval in unstable for interval in places])
        )
        for sky_of_bad in (skies[int(k)] for k in np.flatnonzero(bad)):
            sky_of_bad[:] = np.nan  # its structure is that of the gain
        noise = [
            finite_median(plane / np.sqrt(samples * off.exposure_s))
            for plane, off in zip(t_sys, offs, strict=True)
        ]
        found = lines_of_offs(
            skies,
            np.array(noise),
            shifts,
            limits[0],
            longest_wave=receiver.standing_wave_hz / spacing_hz,
        )
        for bits, line in zip(flags, found, strict=True):
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
            _shape(t_sys, curve, offs, samples),
            receiver.beam_fwhm_radian(float(np.median(axis_hz))),
        )


def _sky_limits(receiver: Receiver, frequency_hz: float) -> tuple[float, float]:
    """Return the coldest and the warmest OFF, in kelvin with the zero point."""
    zero_point = HERTZ_TO_KELVIN * frequency_hz / 2
    return zero_point, zero_point + (1 - receiver.eta_l) * receiver.warmest_kelvin


def _shape(t_sys: list[Plane], curve: GainCurve, offs: list[Average], samples: float) -> Shape:
    """Return the shape of the system temperature over the band from all OFFs."""
    planes = np.stack(t_sys)
    good = np.isfinite(planes)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(good, planes, 0.0).sum(axis=0) / good.sum(axis=0)
        inverse = 1 / mean
        variance = finite_median(curve.relative_variance) / len(curve.time_s)
        variance += finite_median(1 / (samples * sum(off.exposure_s for off in offs)))
    return Shape(inverse / np.nanmean(inverse) if good.any() else inverse, np.sqrt(variance))


def _gamma_variance(curve: GainCurve, time_s: float) -> Plane:
    """Return the relative variance of the interpolated gain: noise of the loads and drift."""
    place = bracket(curve.time_s, time_s)
    w = place.weight
    noise = (1 - w) ** 2 * curve.relative_variance[place.before]
    noise += w**2 * curve.relative_variance[place.after]
    return np.asarray(noise + curve.drift_variance(place))


@dataclass(frozen=True, slots=True, eq=False)
class _Calibrated:
    """The ONs of one file, and what tells whether their gain stepped."""

    spectra: Spectra
    counts: Spectra
    calibration: _Calibration
    on: NDArray[np.intp]
    """Rows of `counts`."""
    excess: Plane
    """ON over OFF, less 1."""
    brackets: list[Bracket]
    """Of the OFFs."""


def _calibrated(
    part: Spectra, calibration: _Calibration | None, limits: tuple[float, float]
) -> _Calibrated | None:
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
    share, level, t_sys, t_rec = (np.full(len(on), np.nan) for _ in range(4))
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
            extra |= curve.flags_at(place) | np.uint16(bits[k])
            before, after = calibration.offs[off.before], calibration.offs[off.after]
            share[k], level[k] = calibrate_dump(
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
    of_offs = np.all(flags[:, ::64] & FLAG_BITS["unstable_gain"], axis=1)
    excess = np.where(of_offs & ((bits & FLAG_BITS["unstable_gain"]) == 0), np.nan, level - 1)
    spectra = replace(part, flux=flux, variance=variance, flags=flags, rows=kept, unit=u.K)
    return _Calibrated(spectra, part, calibration, on, excess, brackets)


def _flag_steps(files: list[_Calibrated], calibration: _Calibration, limit: float) -> None:
    """Flag ONs whose gain is not that of their OFFs."""
    if not files:
        return
    edges = np.cumsum([0, *(len(one.on) for one in files)])
    ons = [slice(int(a), int(b)) for a, b in pairwise(edges)]
    number, direction_beam = np.empty(edges[-1], np.int64), np.empty((edges[-1], 3))
    exposures_s, runs_before = np.empty(edges[-1]), 0
    for one, place in zip(files, ons, strict=True):
        rows = rows_of(one.counts)
        scan = integers(rows, "scan") if "scan" in rows.colnames else np.zeros(len(rows), np.int64)
        exposure_s = numbers(rows, "exposure_time", u.s)
        run = runs(seconds(rows), exposure_s, states(rows), scan)[one.on]
        number[place] = run + runs_before
        runs_before += len(rows)
        direction_beam[place] = directions(rows)[one.on] / calibration.beam_radian
        exposures_s[place] = exposure_s[one.on]
    excess = np.concatenate([one.excess for one in files])
    channels = files[0].counts.flux.shape[1]
    noise = float(np.sqrt(1 / (calibration.samples_per_second * np.nanmin(exposures_s))))
    least = max(limit, STEPS_SIGMA * noise / np.sqrt(channels))
    found = list(changed_runs(excess, number, direction_beam, least))
    for step in found:
        excess[step.dumps] = np.nan
    for one, place in zip(files, ons, strict=True):
        rates = tuple(off.rate for off in calibration.offs)
        ratios = Ratios(
            one.counts.flux,
            one.counts.flags,
            one.on,
            exposures_s[place],
            rates,
            np.array([off.before for off in one.brackets]),
            np.array([off.after for off in one.brackets]),
            np.array([off.weight for off in one.brackets]),
        )
        steps = [*gain_steps(excess[place], number[place], ratios, calibration.shape, least)]
        steps += _band_steps(one, number[place], limit)
        found += [replace_fields(step, dumps=step.dumps + place.start) for step in steps]
    unstable = np.zeros(edges[-1], bool)
    for step in found:
        unstable[step.dumps] = True
        cause = "" if step.known else ", or a continuum source that cannot be told from it"
        caveat(f"the gain of {len(step.dumps)} ONs changed by {100 * step.excess:.1f} %{cause}")
    for one, place in zip(files, ons, strict=True):
        bits = np.where(unstable[place], FLAG_BITS["unstable_gain"], 0)
        rows_of(one.spectra)["flag"] |= bits.astype(np.int32)
        np.asarray(one.spectra.flags)[:] |= bits.astype(np.uint16)[:, None]


def _band_steps(one: _Calibrated, run: NDArray[np.int64], limit: float) -> Iterator[Step]:
    """Yield dumps whose gain differs in a part of the band, as continuum does not."""
    t_sys = finite_median(rows_of(one.spectra)["t_sys"].to_value(u.K)) / finite_median(
        one.calibration.coupling
    )
    flags = np.asarray(one.spectra.flags)
    for number in np.unique(run):
        dumps = np.flatnonzero(run == number)
        for part in np.array_split(dumps, max(len(dumps) // TOGETHER, 1)):
            good = flags[part] == 0
            total = np.where(good, one.spectra.flux[part], 0.0).sum(axis=0)
            with np.errstate(invalid="ignore"):
                step = band_step(total / good.sum(axis=0) / t_sys, limit)
            if step:
                yield Step(part, step, True)


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
