"""Radiation temperatures: what a load or the sky adds to the power of a heterodyne receiver.

The power of a black body is written as the temperature J that gives it in the Rayleigh-Jeans
limit. Two conventions are in use, which differ by the half photon h nu / 2k of the zero point
(11.8 K at 492 GHz). It cancels in every difference of two temperatures, and so in the gain of
the load calibration, in ON - OFF and in T_sys; it remains in the receiver temperature alone:
``T_rec(Planck) = T_rec(Callen-Welton) + h nu / 2k``. The load calibration and its T_rec use
Callen-Welton throughout, as Kerr, Feldman & Pan (1997, 8th Int. Symp. Space THz Tech., 101)
recommend for comparing receivers; line brightnesses are Rayleigh-Jeans equivalents, as usual.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from astropy.constants import h, k_B
from numpy.typing import NDArray

HERTZ_TO_KELVIN = float((h / k_B).to_value("K s"))
"""h / k: the temperature of a photon of 1 Hz."""


def rayleigh_jeans(temperature_kelvin: Any, frequency_hz: Any) -> NDArray[np.float64]:
    """Return the Rayleigh-Jeans equivalent of a black body, without the zero point.

    ``J = (h nu / k) / (exp(h nu / k T) - 1)``.

    Parameters
    ----------
    temperature_kelvin
        Physical temperature, at least 0; broadcast against `frequency_hz`.
    frequency_hz
        Frequency, positive.

    Returns
    -------
    NDArray
        J in kelvin; 0 at 0 K, NaN for NaN.
    """
    photon = HERTZ_TO_KELVIN * np.asarray(frequency_hz, float)
    with np.errstate(divide="ignore", over="ignore"):
        return np.asarray(photon / np.expm1(photon / np.asarray(temperature_kelvin, float)))


def callen_welton(temperature_kelvin: Any, frequency_hz: Any) -> NDArray[np.float64]:
    """Return the radiation temperature of a black body with the zero point.

    ``J = (h nu / k) / (exp(h nu / k T) - 1) + h nu / 2k`` (Callen & Welton 1951, Phys. Rev.
    83, 34); tends to T at high temperature, with an error of order ``(h nu / k T)^2 / 12``.

    Parameters
    ----------
    temperature_kelvin
        Physical temperature, at least 0; broadcast against `frequency_hz`.
    frequency_hz
        Frequency, positive.

    Returns
    -------
    NDArray
        J in kelvin; half a photon at 0 K.
    """
    half_photon = HERTZ_TO_KELVIN * np.asarray(frequency_hz, float) / 2
    return np.asarray(rayleigh_jeans(temperature_kelvin, frequency_hz) + half_photon)
