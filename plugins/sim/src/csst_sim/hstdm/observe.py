"""Turns sky and loads into the counts of a drifting, noisy receiver."""

from __future__ import annotations

from typing import Annotated, Any

import astropy.units as u
import numpy as np
from astropy.table import QTable
from astropy.time import Time
from numpy.random import Generator
from numpy.typing import NDArray

from csst_sim.hstdm.power import load_kelvin, sky_kelvin
from csst_sim.hstdm.session import HstdmSession
from csstcore.api import Spectra, Table

_BLOCK = 64
_DAY_S = 86400.0
_SPUR = 1.5


def observe_hstdm(
    session: HstdmSession, *, rng: Generator
) -> tuple[
    Annotated[Spectra, "dumps"],
    Annotated[Table, "dump_truth"],
    Annotated[Table, "hit_truth"],
]:
    """Turn sky and loads into the counts of a drifting, noisy receiver.

    ``counts = gamma (T_rec + T_in) (1 + N / sqrt(B t))``: gamma drifts as an
    Ornstein-Uhlenbeck process and follows the temperature of the surroundings; the sky comes
    with standing waves whose phases wander; cosmic rays light up single channels.

    Parameters
    ----------
    session
        The observation.
    rng
        Noise, drift and cosmic rays.

    Returns
    -------
    dumps
        Level 0: counts with their rows.
    dump_truth
        Gain, temperatures and velocity of every dump of the file.
    hit_truth
        Channels that cosmic rays hit, by row of the file.
    """
    settings, effects = session.settings, session.plan.effects
    drift, heat, noise, particles, meters = rng.spawn(5)
    gain = _drift(session, drift) if effects.gain_drift else np.ones(len(session.mjd))
    warm = session.ambient_kelvin - (settings.sunlit_kelvin + settings.shadow_kelvin) / 2
    warm = warm * effects.thermal_coupling
    gain = gain * (1 + settings.gain_per_kelvin * warm)
    t_rec_offset = settings.t_rec_per_kelvin * warm
    phases = _phases(session, heat)
    loads = {state: load_kelvin(session, state) for state in ("HOT", "COLD")}
    kept = _kept(session)
    counts = np.empty((len(kept), session.plan.channels), np.float32)
    hits: list[tuple[int, int, float]] = []
    for first in range(0, len(kept), _BLOCK):
        dumps = kept[first : first + _BLOCK]
        power = _input(session, dumps, loads, phases) + session.receiver.t_rec_kelvin
        power += t_rec_offset[dumps, None]
        if effects.cosmic_rays:
            hits += _hit(session, power, first, particles)
        if effects.noise:
            samples = session.plan.channel_width_hz * session.observation.dump_s
            power *= 1 + noise.standard_normal(power.shape) / np.sqrt(samples)
        power *= session.receiver.gain * session.observation.dump_s * gain[dumps, None]
        counts[first : first + len(dumps)] = _digitised(session, power, dumps)
    hit_table = QTable(
        {
            "row": np.array([row + 1 for row, _, _ in hits], np.int32),
            "channel": np.array([channel + 1 for _, channel, _ in hits], np.int32),
            "brightness": np.array([brightness for _, _, brightness in hits], float) * u.K,
        }
    )
    truth = QTable(
        {
            "gain": gain[kept],
            "t_rec_offset": t_rec_offset[kept] * u.K,
            "ambient": session.ambient_kelvin[kept] * u.K,
            "approach": session.approach_kms[kept] * u.km / u.s,
            "sunlit": session.track.sunlit[kept].astype(np.int16),
        }
    )
    raw = Spectra(
        counts,
        session.signal_hz * u.Hz,
        u.count,
        rows=_rows(session, kept, meters),
        meta=session.meta,
    )
    return raw, Table(truth, session.meta), Table(hit_table, session.meta)


def _kept(session: HstdmSession) -> NDArray[np.int64]:
    every = np.arange(len(session.mjd))
    return every[~np.isin(every, session.observation.faults.dropped)]


def _drift(session: HstdmSession, rng: Generator) -> NDArray[np.float64]:
    """Return an Ornstein-Uhlenbeck process about 1 at the times of the dumps."""
    settings = session.settings
    steps = np.diff(session.schedule.seconds, prepend=session.schedule.seconds[0] - 1e9)
    memory = np.exp(-steps / settings.drift_time_s)
    kicks = settings.drift * np.sqrt(1 - memory**2) * rng.standard_normal(len(steps))
    value, path = 0.0, np.empty(len(steps))
    for index in range(len(steps)):
        value = value * memory[index] + kicks[index]
        path[index] = value
    return 1 + path


def _phases(session: HstdmSession, rng: Generator) -> NDArray[np.float64]:
    """Return the phases of the standing waves, shape (waves, dumps)."""
    settings = session.settings
    steps = np.sqrt(np.diff(session.schedule.seconds, prepend=session.schedule.seconds[0]))
    waves = len(settings.standing_wave_hz)
    kicks = rng.standard_normal((waves, len(steps))) * steps
    start = rng.uniform(0, 2 * np.pi, (waves, 1))
    return np.asarray(start + settings.standing_wave_drift_rad_per_s * np.cumsum(kicks, axis=1))


def _input(
    session: HstdmSession,
    dumps: NDArray[Any],
    loads: dict[str, NDArray[np.float64]],
    phases: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the power in front of the receiver, shape (dumps, channels)."""
    state = session.schedule.state[dumps]
    power = np.empty((len(dumps), session.plan.channels))
    for name, value in loads.items():
        power[state == name] = value
    sky = ~np.isin(state, list(loads))
    if sky.any():
        power[sky] = sky_kelvin(session, dumps[sky])
        if session.plan.effects.standing_waves:
            settings = session.settings
            waves = zip(
                settings.standing_wave_hz, settings.standing_wave_kelvin, phases, strict=True
            )
            for period, kelvin, phase in waves:
                argument = 2 * np.pi * session.receiver.if_hz / period
                power[sky] += kelvin * np.cos(argument + phase[dumps[sky], None])
    return power


def _hit(
    session: HstdmSession, power: NDArray[np.float64], first_row: int, rng: Generator
) -> list[tuple[int, int, float]]:
    """Add cosmic rays to a block; return row, channel and brightness of each channel hit."""
    settings = session.settings
    number = rng.poisson(settings.hits_per_s * session.observation.dump_s, len(power))
    found: list[tuple[int, int, float]] = []
    for row in np.repeat(np.arange(len(power)), number):
        first = int(rng.integers(session.plan.channels))
        size = np.exp(rng.uniform(*np.log(settings.hit_t_sys)))
        for channel in range(first, min(first + int(rng.integers(1, 3)), session.plan.channels)):
            brightness = float(size * power[row, channel])
            power[row, channel] += brightness
            found.append((first_row + int(row), channel, brightness))
    return found


def _digitised(
    session: HstdmSession, power: NDArray[np.float64], dumps: NDArray[Any]
) -> NDArray[np.float64]:
    faults = session.observation.faults
    power[:, list(faults.dead_channels)] = 0.0
    power[:, list(faults.spur_channels)] *= _SPUR
    if session.plan.effects.digitisation:
        power = np.clip(np.rint(power), 0, session.settings.count_limit)
    power[np.isin(dumps, faults.not_a_number)] = np.nan
    return power


def _rows(session: HstdmSession, kept: NDArray[Any], rng: Generator) -> QTable:
    """Return what the file says of each dump."""
    plan, observation, number = session.plan, session.observation, len(kept)
    mjd = session.mjd.copy()
    if observation.faults.clock_jump_dump is not None:
        mjd[observation.faults.clock_jump_dump :] += observation.faults.clock_jump_s / _DAY_S
    meter = session.settings.thermometer_kelvin * rng.standard_normal((2, number))
    rows = QTable(
        {
            "time": Time(mjd[kept], format="mjd", scale="utc"),
            "exposure_time": np.full(number, observation.dump_s) * u.s,
            "state": session.schedule.state[kept],
            "scan": session.schedule.scan[kept],
            "subscan": session.schedule.subscan[kept],
            "ra": session.ra_deg[kept] * u.deg,
            "dec": session.dec_deg[kept] * u.deg,
        }
    )
    for index, name in enumerate("xyz"):
        rows[name] = session.track.position_km[kept, index] * u.km
    for index, name in enumerate("xyz"):
        rows[f"v{name}"] = session.track.velocity_kms[kept, index] * u.km / u.s
    rows["t_hot"] = (session.receiver.hot_kelvin + meter[0]) * u.K
    rows["t_cold"] = (session.receiver.cold_kelvin + meter[1]) * u.K
    rows["lo_frequency"] = np.full(number, session.lo_hz) * u.Hz
    rows["sideband"] = [plan.sideband] * number
    rows["rest_frequency"] = np.full(number, plan.line_ghz * 1e9) * u.Hz
    rows["flag"] = np.zeros(number, np.int32)
    rows["t_ambient"] = session.ambient_kelvin[kept] * u.K
    return rows
