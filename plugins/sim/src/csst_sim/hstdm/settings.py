"""Numbers of the simulated receiver as they stand in ``references/hstdm_receiver.toml``."""

from __future__ import annotations

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from csst_sim.settings import Range


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class HstdmReceiver:
    """Receiver, loads and spacecraft (reference type ``sim.hstdm_receiver``).

    A pair is a range from which the receiver of a plan is drawn, so that the truth differs
    from what calibration assumes.
    """

    if_centre_hz: float
    aperture_m: float
    beam_factor: float
    """Full width at half maximum of the beam over wavelength / diameter."""
    forward_efficiency: float
    main_beam_efficiency: float
    hot_coupling: Range
    """Coupling to the hot load; the rest sees the cold one."""
    cold_coupling: Range
    hot_kelvin: Range
    cold_kelvin: Range
    thermometer_kelvin: float
    """Noise of the thermometers of the loads."""
    t_rec_kelvin: Range
    """Receiver temperature with the zero point (Callen-Welton), mean of the band."""
    t_rec_slope: Range
    """Relative change over the band."""
    t_rec_scatter: float
    """Relative scatter between channels."""
    count_per_kelvin_s: Range
    bandpass_ripple: Range
    """Relative amplitude of the band's shape."""
    bandpass_scatter: float
    sideband_gain: Range
    """Mean gain of the signal sideband."""
    sideband_ripple: float
    """Relative amplitude."""
    sideband_period_hz: Range
    sideband_error: float
    """Relative error of the laboratory's measurement, a smooth curve."""
    sideband_noise: float
    """And its relative scatter between channels."""
    drift_time_s: float
    """Of the Ornstein-Uhlenbeck process of the gain."""
    drift: float
    """Its relative standard deviation."""
    standing_wave_kelvin: tuple[float, ...]
    standing_wave_hz: tuple[float, ...]
    standing_wave_drift_rad_per_s: float
    """Phases random-walk by this much in the root of a second."""
    sunlit_kelvin: float
    """Temperature of the surroundings that the sunlit part of the orbit tends to."""
    shadow_kelvin: float
    thermal_time_s: float
    gain_per_kelvin: float
    """Relative change of the gain with the surroundings."""
    t_rec_per_kelvin: float
    """Change of the receiver temperature with the surroundings."""
    hits_per_s: float
    """Cosmic rays in the spectrometer."""
    hit_t_sys: Range
    """Brightness of a hit in units of the system temperature, evenly in the logarithm."""
    count_limit: float
    """Largest count of the spectrometer."""
    altitude_km: float
    inclination_deg: float
    node_deg: float
    """Right ascension of the ascending node at the start of 2028."""
    node_deg_per_day: float
