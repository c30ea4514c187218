"""The receiver of a plan, channel by channel: the truth that calibration looks for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from csst_sim.hstdm.plan import HstdmPlan
from csst_sim.hstdm.settings import HstdmReceiver
from csst_sim.settings import Range

Channels = NDArray[np.float64]

PHOTON_KELVIN = 4.799243073366221e-11
"""Planck's over Boltzmann's constant, K s."""


@dataclass(frozen=True, eq=False)
class Receiver:
    """True properties; arrays have the shape (channels,)."""

    if_hz: Channels
    """Intermediate frequencies, in the order of the channels."""
    gain: Channels
    """Counts per kelvin and second at the start."""
    t_rec_kelvin: Channels
    """With the zero point."""
    signal_gain: Channels
    """Gain of the signal sideband; that of the image is the rest."""
    measured_signal_gain: Channels
    """As a laboratory measured it."""
    measured_error: Channels
    hot_kelvin: float
    cold_kelvin: float
    hot_coupling: float
    cold_coupling: float


def radiation_kelvin(temperature_kelvin: float, frequency_hz: Channels) -> Channels:
    """Return the power of a black body as a temperature, half a photon at zero included."""
    half = PHOTON_KELVIN * frequency_hz / 2
    return np.asarray(half / np.tanh(half / temperature_kelvin))


def draw_receiver(plan: HstdmPlan, settings: HstdmReceiver) -> Receiver:
    """Draw the receiver of a plan from its ``instrument_seed``.

    Parameters
    ----------
    plan
        Channels, their width, seed and effects.
    settings
        Ranges of the properties.
    """
    rng = np.random.default_rng([plan.instrument_seed, 5])
    steps = np.arange(plan.channels) - (plan.channels - 1) / 2
    if_hz = np.asarray(settings.if_centre_hz + steps * plan.channel_width_hz, float)
    across = np.linspace(-1.0, 1.0, plan.channels)
    ripple = _draw(rng, settings.bandpass_ripple) * np.cos(2.2 * across + rng.uniform(0, 6.28))
    scatter = settings.bandpass_scatter * rng.standard_normal(plan.channels)
    gain = _draw(rng, settings.count_per_kelvin_s) * (1 + ripple) * (1 + scatter)
    shape = _draw(rng, settings.t_rec_slope) * across
    shape = shape + settings.t_rec_scatter * rng.standard_normal(plan.channels)
    t_rec = _draw(rng, settings.t_rec_kelvin) * (1 + shape - shape.mean())
    period = _draw(rng, settings.sideband_period_hz)
    wave = settings.sideband_ripple * np.sin(2 * np.pi * if_hz / period + rng.uniform(0, 6.28))
    signal_gain = _draw(rng, settings.sideband_gain) * (1 + wave)
    if not plan.effects.sideband_ripple:
        signal_gain = np.full(plan.channels, 0.5)
    smooth = settings.sideband_error * np.cos(1.3 * across + rng.uniform(0, 6.28))
    noise = settings.sideband_noise * rng.standard_normal(plan.channels)
    loads = {
        "hot_kelvin": settings.hot_kelvin,
        "cold_kelvin": settings.cold_kelvin,
        "hot_coupling": settings.hot_coupling,
        "cold_coupling": settings.cold_coupling,
    }
    if not plan.effects.load_couplings:
        for name in ("hot_coupling", "cold_coupling"):
            middle = sum(loads[name]) / 2
            loads[name] = (middle, middle)
    return Receiver(
        if_hz=if_hz,
        gain=gain,
        t_rec_kelvin=t_rec,
        signal_gain=signal_gain,
        measured_signal_gain=signal_gain * (1 + smooth + noise),
        measured_error=signal_gain * np.hypot(settings.sideband_error, settings.sideband_noise),
        **{name: _draw(rng, limits) for name, limits in loads.items()},
    )


def _draw(rng: Generator, limits: Range) -> float:
    return float(rng.uniform(*limits))
