"""`RegisterOutput`: what leaves the register, with read noise and charge made within it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from csst_cpic.register.em_statistics import Array, Numbers, excess_noise_factor

Complex: TypeAlias = NDArray[np.complex128]

NEGLIGIBLE = 37.0
"""exp(-37) = 1e-16: where characteristic functions end, and how far their tails reach."""


@dataclass(frozen=True)
class RegisterOutput:
    """The distribution of a pixel's signal: compound Poisson, serial charge, Gaussian noise.

    Signals are input-referred: output electrons over the EM gain. Its tail is the inverse
    Fourier transform of the characteristic function (Gil-Pelaez 1951, Biometrika 38, 481) by the
    midpoint rule, which converges exponentially.
    """

    em_gain: float
    """Mean gain of the register, at least 1."""
    read_noise_electron: float
    """Gaussian, at the output, more than 0."""
    serial_rate: float = 0.0
    """Mean number of electrons per pixel that arise within the register, anywhere alike: they
    are multiplied only by the stages that follow."""
    spread: float = 1.0
    """Relative variance of what one electron becomes: 1 for the Gamma law, F^2 - 1 for a real
    register (`excess_noise_factor`), 0 without multiplication."""

    @classmethod
    def of_stages(
        cls, em_gain: float, read_noise_electron: float, stages: int, serial_rate: float = 0.0
    ) -> RegisterOutput:
        """Return the output of a register with so many stages."""
        spread = excess_noise_factor(em_gain, stages) - 1
        return cls(em_gain, read_noise_electron, serial_rate, max(spread, 0.0))

    def __post_init__(self) -> None:
        if self.em_gain < 1 or not self.read_noise_electron > 0:
            raise ValueError(
                f"EM gain {self.em_gain}, read noise {self.read_noise_electron} electron; "
                "expected at least 1 and more than 0"
            )

    @property
    def noise_electron(self) -> float:
        """Read noise over EM gain."""
        return self.read_noise_electron / self.em_gain

    def mean(self, rate: float) -> float:
        """Return the mean signal in electron: the rate plus the serial charge's part."""
        return rate + self.serial_rate * self._serial_gain

    def variance(self, rate: float) -> float:
        """Return the variance of the signal in electron^2."""
        log_gain = np.log(self.em_gain)
        serial = (self.em_gain**2 - 1) / (2 * log_gain) if self.em_gain > 1 else 1.0
        multiplied = (1 + self.spread) * (rate + self.serial_rate * serial / self.em_gain**2)
        return float(multiplied + self.noise_electron**2)

    def tail(self, signal_electron: Numbers, rate_electron: Numbers) -> Array:
        """Return P(signal > `signal_electron`).

        Parameters
        ----------
        signal_electron
            Output electrons over EM gain, any sign.
        rate_electron
            Mean number of electrons that enter the register, 0 or more; broadcast against
            `signal_electron`.

        Returns
        -------
        ndarray
            Absolute accuracy 1e-12.
        """
        return self._over_rates(signal_electron, rate_electron, slope=False)

    def tail_slope(self, signal_electron: Numbers, rate_electron: Numbers) -> Array:
        """Return the derivative of `tail` by the rate."""
        return self._over_rates(signal_electron, rate_electron, slope=True)

    def exceeded_signal(self, probability: float, rate_electron: Numbers) -> Array:
        """Return the signal that a pixel exceeds with a probability of 1e-10 or more."""
        rates = np.asarray(rate_electron, float)
        signal = np.empty(rates.shape)
        for index, rate in np.ndenumerate(rates):
            bounds = self._bounds(float(rate))
            frequency, transform = self._inverted(float(rate), *bounds)

            def excess(value: float, frequency: Array = frequency, t: Complex = transform) -> float:
                tail = max(0.5 + _integral(frequency, t, value), 1e-15)
                return float(np.log(tail / probability))

            signal[index] = brentq(excess, *bounds, xtol=1e-6 * self.noise_electron)
        return signal

    @property
    def _serial_gain(self) -> float:
        """Mean of what serial electrons become, over the EM gain."""
        if self.em_gain == 1:
            return 1.0
        return float((1 - 1 / self.em_gain) / np.log(self.em_gain))

    def _over_rates(self, signal: Numbers, rate: Numbers, *, slope: bool) -> Array:
        signals, rates = np.broadcast_arrays(np.asarray(signal, float), np.asarray(rate, float))
        result = np.empty(signals.shape)
        for value in np.unique(rates):
            here = rates == value
            ends = float(signals[here].min()), float(signals[here].max())
            frequency, transform = self._inverted(float(value), *ends)
            if slope:
                transform = transform * (self._multiplied(frequency) - 1)
            sums = [_integral(frequency, transform, each) for each in signals[here]]
            result[here] = np.array(sums) + (0.0 if slope else 0.5)
        return result

    def _bounds(self, rate: float) -> tuple[float, float]:
        """Return signals between which all lies, but for 1e-16 (Chernoff, Gamma law)."""
        events = rate + max(self.serial_rate, 0.0)
        highest = (np.sqrt(events) + np.sqrt(NEGLIGIBLE)) ** 2
        lowest = max(0.0, self.mean(rate) - 9 * np.sqrt(self.variance(rate)))
        return float(lowest - 9 * self.noise_electron), float(highest + 9 * self.noise_electron)

    def _inverted(self, rate: float, least: float, most: float) -> tuple[Array, Complex]:
        """Return midpoints of frequency, and the characteristic function over them.

        Their step is right for signals from `least` to `most`: 2 pi over the largest distance
        from a signal to anything that can occur.
        """
        end = np.geomspace(1e-6, 1, 400) * np.sqrt(2 * NEGLIGIBLE) / self.noise_electron
        exponent = (self.noise_electron * end) ** 2 / 2
        exponent += rate * (1 - np.abs(self._multiplied(end)))
        last = float(end[min(np.searchsorted(exponent, NEGLIGIBLE), end.size - 1)])
        lowest, highest = self._bounds(rate)
        step = 2 * np.pi / (max(highest, most) - min(lowest, least))
        frequency = np.asarray(step * (np.arange(int(np.ceil(last / step)) + 1) + 0.5), np.float64)
        return frequency, self._transform(frequency, rate) / frequency

    def _multiplied(self, frequency: Array) -> Complex:
        """Return the characteristic function of what one electron becomes."""
        if self.spread == 0:
            return np.asarray(np.exp(1j * frequency), np.complex128)
        return np.asarray((1 - 1j * self.spread * frequency) ** (-1 / self.spread), np.complex128)

    def _serial(self, frequency: Array) -> Complex:
        """Return that of a serial electron: the mean over exponentials of mean g^-v, v in 0..1."""
        if self.em_gain == 1:
            return self._multiplied(frequency)
        ratio = np.log(1 - 1j * frequency) - np.log(1 - 1j * frequency / self.em_gain)
        return np.asarray(1 - ratio / np.log(self.em_gain), np.complex128)

    def _transform(self, frequency: Array, rate: float) -> Complex:
        """Return the characteristic function of the signal."""
        exponent = (
            rate * (self._multiplied(frequency) - 1) - (self.noise_electron * frequency) ** 2 / 2
        )
        if self.serial_rate:
            exponent = exponent + self.serial_rate * (self._serial(frequency) - 1)
        return np.asarray(np.exp(exponent), np.complex128)


def _integral(frequency: Array, transform: Complex, signal: float) -> float:
    """Return Gil-Pelaez' integral of a characteristic function over its frequency."""
    turned = (transform * np.exp(-1j * signal * frequency)).imag
    return float(turned.sum()) * 2 * float(frequency[0]) / np.pi
