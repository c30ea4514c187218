"""`Receiver`: numbers of the instrument (reference type ``hstdm.receiver``)."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

import numpy as np
from astropy.constants import c
from numpy.typing import NDArray
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

Fraction: TypeAlias = Annotated[float, Field(gt=0, le=1)]
Positive: TypeAlias = Annotated[float, Field(gt=0)]
NotNegative: TypeAlias = Annotated[float, Field(ge=0)]

_RADIAN_ARCSEC = 180 * 3600 / np.pi


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Receiver:
    """A double-sideband receiver with its spectrometer and telescope."""

    name: str
    """Receiver band, as in `Meta.filter`."""
    channels: Annotated[int, Field(ge=1)]
    """Of the full spectrometer; shorter test spectra are allowed."""
    bandwidth_hz: Positive
    """Of all channels."""
    if_low_hz: Positive
    """Lower edge of the intermediate frequencies."""
    if_high_hz: Positive
    sideband: Literal["USB", "LSB"]
    """Signal sideband where a dump does not tell."""
    noise_bandwidth_factor: Annotated[float, Field(ge=1)]
    """Noise bandwidth of a channel over the channel spacing."""
    spectrometer_efficiency: Fraction
    """By which the radiometer noise is divided."""
    saturation_count: Positive
    """Counts from which a channel is not linear any more."""
    eta_hot: Fraction
    """Coupling to the hot load, the rest sees the cold one (Ossenkopf 2003)."""
    eta_cold: Fraction
    """Coupling to the cold load, the rest sees the hot one."""
    eta_hot_error: NotNegative
    """Standard error of `eta_hot`, the same for all channels and times."""
    eta_cold_error: NotNegative
    eta_l: Fraction
    """Forward efficiency."""
    eta_mb: Fraction
    """Main-beam efficiency."""
    eta_a: Fraction
    """Aperture efficiency."""
    aperture_m: Positive
    """Diameter."""
    beam_factor: Positive
    """Width of the beam (full, at half maximum) in units of wavelength over diameter."""
    tuning_range_hz: Positive
    """Loads and OFFs serve dumps whose local oscillator differs by less: it follows the velocity of
    the source by some MHz, and the receiver stays the same by intermediate frequency."""
    sideband_gain_range_hz: Positive
    """Sideband gains measured at local oscillators further off are not used."""
    gain_drift: Positive
    """Standard deviation of the relative gain, where it is not measured."""
    gain_drift_time_s: Positive
    """Correlation time of that drift."""
    t_rec_tolerance: Positive
    """Relative error of the receiver temperature by which an OFF may be colder than nothing or
    warmer than background and surroundings."""
    warmest_kelvin: Positive
    """Highest temperature of what the telescope sees past its forward beam."""
    standing_wave_hz: Positive
    """Longest period of standing waves: slower structure of an OFF is no standing wave."""

    @property
    def channel_width_hz(self) -> float:
        """Spacing of the channels of the full spectrometer."""
        return self.bandwidth_hz / self.channels

    @property
    def drift_per_second(self) -> float:
        """Growth of the variance of ln(gain) with time, where it is not measured."""
        return 2 * self.gain_drift**2 / self.gain_drift_time_s

    def noise_bandwidth_hz(self, spacing_hz: float | None = None) -> float:
        """Return the noise bandwidth of a channel.

        Parameters
        ----------
        spacing_hz
            Spacing of the channels; of the full spectrometer if None.
        """
        spacing = self.channel_width_hz if spacing_hz is None else spacing_hz
        return abs(spacing) * self.noise_bandwidth_factor

    def beam_fwhm_arcsec(self, frequency_hz: Any) -> NDArray[np.float64]:
        """Return the full width at half maximum of the telescope's beam at a frequency."""
        wavelength_m = c.value / np.asarray(frequency_hz, float)
        return np.asarray(self.beam_factor * wavelength_m / self.aperture_m * _RADIAN_ARCSEC)

    def beam_fwhm_radian(self, frequency_hz: float) -> float:
        """Return the same of one frequency in radians."""
        return float(np.radians(self.beam_fwhm_arcsec(frequency_hz) / 3600))


def image_frequency_hz(signal_hz: Any, lo_hz: Any) -> NDArray[np.float64]:
    """Return the frequency on the other side of the local oscillator, ``2 nu_LO - nu``."""
    return np.asarray(2 * np.asarray(lo_hz, float) - np.asarray(signal_hz, float))


def intermediate_frequency_hz(signal_hz: Any, lo_hz: Any) -> NDArray[np.float64]:
    """Return the intermediate frequency, ``|nu - nu_LO|``."""
    return np.asarray(np.abs(np.asarray(signal_hz, float) - np.asarray(lo_hz, float)))
