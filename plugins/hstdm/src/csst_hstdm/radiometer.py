"""The radiometer equation, for noise predictions, weights and the exposure calculator."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def total_power_noise(
    t_sys_kelvin: Any, noise_bandwidth_hz: Any, time_s: Any, *, efficiency: float = 1.0
) -> NDArray[np.float64]:
    """Return the noise of one measurement of total power.

    ``sigma = T_sys / (eta sqrt(B t))`` (Dicke 1946).

    Parameters
    ----------
    t_sys_kelvin
        System temperature on the scale of the result.
    noise_bandwidth_hz
        Noise bandwidth of a channel, at least its spacing.
    time_s
        Integration time.
    efficiency
        Of the spectrometer, at most 1.
    """
    samples = np.asarray(noise_bandwidth_hz, float) * np.asarray(time_s, float)
    with np.errstate(divide="ignore"):
        return np.asarray(np.asarray(t_sys_kelvin, float) / (efficiency * np.sqrt(samples)))


def difference_noise(
    t_sys_kelvin: Any,
    noise_bandwidth_hz: Any,
    on_time_s: Any,
    off_time_s: Any,
    *,
    efficiency: float = 1.0,
) -> NDArray[np.float64]:
    """Return the noise of ON - OFF.

    ``sigma = T_sys sqrt(1/t_on + 1/t_off) / (eta sqrt(B))``.

    Parameters
    ----------
    t_sys_kelvin
        System temperature on the scale of the result.
    noise_bandwidth_hz
        Noise bandwidth of a channel.
    on_time_s, off_time_s
        Integration times.
    efficiency
        Of the spectrometer, at most 1.
    """
    on = total_power_noise(t_sys_kelvin, noise_bandwidth_hz, on_time_s, efficiency=efficiency)
    off = total_power_noise(t_sys_kelvin, noise_bandwidth_hz, off_time_s, efficiency=efficiency)
    return np.asarray(np.hypot(on, off))


def off_time(on_time_s: Any, on_per_off: Any) -> NDArray[np.float64]:
    """Return the best integration time of an OFF shared by several ONs.

    ``t_off = sqrt(N) t_on`` gives the least noise in a given time (Ball 1976, Meth. Exp.
    Phys. 12C, 46).

    Parameters
    ----------
    on_time_s
        Integration time of one ON.
    on_per_off
        ONs that share an OFF, N.
    """
    return np.asarray(np.sqrt(np.asarray(on_per_off, float)) * np.asarray(on_time_s, float))


def on_time(
    noise_kelvin: Any,
    t_sys_kelvin: Any,
    noise_bandwidth_hz: Any,
    *,
    on_per_off: float = 1.0,
    efficiency: float = 1.0,
) -> NDArray[np.float64]:
    """Return the ON time that reaches a noise with an OFF of the best length.

    ``t_on = (T_sys / (eta sigma))^2 (1 + 1/sqrt(N)) / B``, the inverse of `difference_noise`
    with the OFF of `off_time`.

    Parameters
    ----------
    noise_kelvin
        Wanted noise of ON - OFF.
    t_sys_kelvin
        System temperature on the same scale.
    noise_bandwidth_hz
        Noise bandwidth of the resolution wanted.
    on_per_off
        ONs that share an OFF, N.
    efficiency
        Of the spectrometer, at most 1.
    """
    ratio = np.asarray(t_sys_kelvin, float) / (efficiency * np.asarray(noise_kelvin, float))
    return np.asarray(ratio**2 * (1 + 1 / np.sqrt(on_per_off)) / noise_bandwidth_hz)
