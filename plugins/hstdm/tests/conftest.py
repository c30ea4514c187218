"""Dumps made by hand, with formulas and parameters that the stages do not know."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable
from astropy.time import Time

from csst_hstdm.receiver import Receiver
from csstcore.api import Meta, Spectra

H_OVER_K = 4.799243073e-11
SPACING_HZ = 1.2e9 / 16384
LO_HZ, IF_LOW_HZ = 455.0e9, 4.2e9
START = Time("2028-03-01T00:00:00", scale="utc")
ETA_L, ETA_HOT, ETA_COLD = 0.95, 0.98, 0.97
T_HOT, T_COLD = 296.0, 81.0


def black_body(temperature_kelvin, frequency_hz):
    """Radiation temperature with zero point."""
    photon = H_OVER_K * frequency_hz
    return photon / 2 / np.tanh(photon / (2 * temperature_kelvin))


@dataclass
class Sky:
    """A hidden receiver and what it looks at."""

    channels: int = 512
    sideband_ripple: float = 0.03
    line: Callable[[np.ndarray, float], np.ndarray] = field(
        default=lambda frequency_hz, time_s: np.zeros_like(frequency_hz)
    )
    off_line: Callable[[np.ndarray, float], np.ndarray] = field(
        default=lambda frequency_hz, time_s: np.zeros_like(frequency_hz)
    )
    gain: Callable[[float], float] = field(default=lambda time_s: 1.0)
    noise: bool = True

    @property
    def if_hz(self):
        return IF_LOW_HZ + SPACING_HZ * np.arange(self.channels)

    @property
    def signal_hz(self):
        return LO_HZ + self.if_hz

    @property
    def signal_gain(self):
        ripple = np.sin(2 * np.pi * np.arange(self.channels) / 150)
        return 0.49 * (1 + self.sideband_ripple * ripple)

    @property
    def t_rec(self):
        return 118.0 * (1 + 0.06 * np.cos(np.arange(self.channels) / 90))

    @property
    def bandpass(self):
        return 2.0e6 * (1 + 0.2 * np.sin(np.arange(self.channels) / 70 + 1))

    def power(self, state, time_s):
        """Kelvin in front of the receiver, and the receiver's own."""
        gain, image_hz = self.signal_gain, LO_HZ - self.if_hz

        def both(temperature_kelvin):
            bodies = [black_body(temperature_kelvin, f) for f in (self.signal_hz, image_hz)]
            return gain * bodies[0] + (1 - gain) * bodies[1]

        if state == "HOT":
            return self.t_rec + ETA_HOT * both(T_HOT) + (1 - ETA_HOT) * both(T_COLD)
        if state == "COLD":
            return self.t_rec + ETA_COLD * both(T_COLD) + (1 - ETA_COLD) * both(T_HOT)
        line = self.off_line if state == "OFF" else self.line
        sky = both(2.725) + gain * line(self.signal_hz, time_s)
        return self.t_rec + ETA_L * sky + (1 - ETA_L) * both(290.0)

    def dumps(self, states: Sequence[str], time_s: Any, exposure_s: Any, seed: int = 1) -> Spectra:
        """Counts of dumps in given states."""
        rng = np.random.default_rng(seed)
        time_s = np.asarray(time_s, float)
        exposure_s = np.broadcast_to(np.asarray(exposure_s, float), time_s.shape)
        counts = np.empty((len(time_s), self.channels), np.float32)
        for row, (state, at, exposure) in enumerate(zip(states, time_s, exposure_s, strict=True)):
            kelvin = self.power(state, at)
            if self.noise:
                kelvin *= 1 + rng.standard_normal(self.channels) / np.sqrt(SPACING_HZ * exposure)
            counts[row] = kelvin * self.bandpass * self.gain(at) * exposure
        number = len(time_s)
        position, velocity = orbit(time_s)
        rows = QTable(
            {
                "time": START + time_s * u.s,
                "exposure_time": exposure_s * u.s,
                "state": np.asarray(states),
                "scan": np.ones(number, np.int32),
                "subscan": np.ones(number, np.int32),
                "ra": np.full(number, 83.8) * u.deg,
                "dec": np.full(number, -5.4) * u.deg,
                "t_hot": np.full(number, T_HOT) * u.K,
                "t_cold": np.full(number, T_COLD) * u.K,
                "lo_frequency": np.full(number, LO_HZ) * u.Hz,
                "sideband": np.full(number, "USB"),
                "rest_frequency": np.full(number, 461.0407682e9) * u.Hz,
                "flag": np.zeros(number, np.int32),
            }
        )
        for column, name in enumerate("xyz"):
            rows[name] = position[:, column] * u.km
            rows[f"v{name}"] = velocity[:, column] * u.km / u.s
        meta = Meta(instrument="HSTDM", project_id="7", obs_id="50000000001")
        return Spectra(counts, self.signal_hz * u.Hz, u.count, rows=rows, meta=meta)

    def sideband_gain(self) -> Spectra:
        """The reference, without error."""
        rows = QTable({"lo_frequency": [LO_HZ] * u.Hz, "sideband": ["USB"]})
        gain = self.signal_gain[None].astype(np.float32)
        variance = np.full(gain.shape, 1e-6, np.float32)
        return Spectra(gain, self.if_hz * u.Hz, variance=variance, rows=rows)


def orbit(time_s):
    """A circular orbit at 393 km inclined by 42 degrees, km and km/s, GCRS."""
    radius, rate = 6771.0, np.sqrt(398600.44 / 6771.0**3)
    angle, tilt = rate * np.asarray(time_s, float) + 0.4, np.radians(42.0)
    along = np.stack([np.cos(angle), np.sin(angle) * np.cos(tilt), np.sin(angle) * np.sin(tilt)])
    across = np.stack([-np.sin(angle), np.cos(angle) * np.cos(tilt), np.cos(angle) * np.sin(tilt)])
    return radius * along.T, radius * rate * across.T


def schedule(cycles, *, load=5, off=6, on=10, exposure_s=1.0):
    """States and times of HOT, COLD, OFF, ON, OFF cycles, loads last as well."""
    states = []
    for _ in range(cycles):
        states += ["HOT"] * load + ["COLD"] * load + ["OFF"] * off + ["ON"] * on + ["OFF"] * off
    states += ["HOT"] * load + ["COLD"] * load
    return states, (np.arange(len(states)) + 0.5) * exposure_s


@pytest.fixture
def receiver():
    """The numbers that calibration is told."""
    return Receiver(
        name="SIS",
        channels=16384,
        bandwidth_hz=1.2e9,
        if_low_hz=4.0e9,
        if_high_hz=5.2e9,
        sideband="USB",
        noise_bandwidth_factor=1.0,
        spectrometer_efficiency=1.0,
        saturation_count=4.0e9,
        eta_hot=ETA_HOT,
        eta_cold=ETA_COLD,
        eta_hot_error=0.005,
        eta_cold_error=0.005,
        eta_l=ETA_L,
        eta_mb=0.80,
        eta_a=0.72,
        aperture_m=2.0,
        beam_factor=1.2,
        tuning_range_hz=50e6,
        sideband_gain_range_hz=1e9,
        gain_drift=1e-3,
        gain_drift_time_s=100.0,
        t_rec_tolerance=0.05,
        warmest_kelvin=300.0,
        standing_wave_hz=1e8,
    )


@pytest.fixture(scope="session")
def make_sky():
    """A hidden receiver; keywords of `Sky`."""
    return Sky


@pytest.fixture(scope="session")
def make_schedule():
    """States and times of cycles."""
    return schedule


@pytest.fixture(scope="session")
def make_orbit():
    """Position and velocity at times."""
    return orbit
