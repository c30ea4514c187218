"""Numbers of the simulated camera as they stand in the TOML files of ``references/``.

A pair ``(low, high)`` is a range: every detector draws its own value from it, so that the
truth differs from what calibration assumes.
"""

from __future__ import annotations

from typing import TypeAlias

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

Range: TypeAlias = tuple[float, float]

_STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True, config=_STRICT)
class Readout:
    """Format of a raw frame (reference type ``sim.readout``)."""

    readout: str
    """Columns x rows of the raw frame."""
    channel_columns: int
    channel_rows: int
    channels_x: int
    channels_y: int
    prescan_columns: int
    overscan_columns: int
    overscan_rows: int
    amplifier_right: tuple[bool, ...]
    """Per column of channels: whether its amplifier is at the right-hand edge."""

    @property
    def columns(self) -> int:
        """Active columns."""
        return self.channels_x * self.channel_columns

    @property
    def rows(self) -> int:
        """Active rows."""
        return self.channels_y * self.channel_rows

    @property
    def raw_channel_columns(self) -> int:
        """Columns of one channel in the raw frame."""
        return self.prescan_columns + self.channel_columns + self.overscan_columns

    @property
    def raw_channel_rows(self) -> int:
        """Rows of one channel in the raw frame."""
        return self.channel_rows + self.overscan_rows

    @property
    def raw_shape(self) -> tuple[int, int]:
        """Shape (rows, columns) of the raw frame."""
        return self.channels_y * self.raw_channel_rows, self.channels_x * self.raw_channel_columns

    @property
    def channels(self) -> int:
        """Number of channels; channel ``iy * channels_x + ix`` in order of the raw frame."""
        return self.channels_x * self.channels_y


@dataclass(frozen=True, config=_STRICT)
class Trap:
    """A species of charge traps."""

    release_pixel: Range
    """Release time in units of the transfer time of one pixel."""
    parallel_per_pixel: Range
    """Traps per pixel met in a parallel transfer."""
    serial_per_pixel: Range
    """Traps per pixel met in a serial transfer."""


@dataclass(frozen=True, config=_STRICT)
class DetectorRanges:
    """Ranges of the properties of detectors (reference type ``sim.detector_ranges``)."""

    gain_electron_per_adu: Range
    gain_knowledge: float
    read_noise_electron: Range
    read_noise_knowledge: float
    bias_level_adu: Range
    bias_column_adu: Range
    bias_settling_adu: Range
    bias_settling_pixel: Range
    bias_drift_adu: Range
    dark_electron_per_s: Range
    dark_gradient: Range
    hot_fraction: Range
    hot_electron_per_s: Range
    warm_fraction: Range
    warm_electron_per_s: Range
    dead_fraction: Range
    dead_columns: int
    dead_response: Range
    prnu: Range
    illumination: Range
    shutter_s: Range
    full_well_electron: Range
    nonlinearity: Range
    brighter_fatter_per_electron: Range
    trap: tuple[Trap, ...]
    thickness_um: Range
    pixel_um: float
    diffusion_pixel: Range
    cosmic_rays_per_cm2_s: Range


@dataclass(frozen=True, config=_STRICT)
class Filter:
    """A filter of the camera."""

    zero_point: float
    """AB magnitude of a source that gives one electron per second."""
    sky_electron_per_s: float
    """Sky background per pixel."""
    star_colour: tuple[float, float, float]
    """``(a, b, c)`` of AB magnitude - G = a + b d + c d^2, d = BP-RP - 0.8, for stars."""
    star_reddening: float
    """What E(B-V) adds to that at a given observed BP-RP."""
    star_scatter: float
    """Standard deviation of single stars from that relation."""
    galaxy_colour: float
    """AB magnitude minus the i magnitude of a typical galaxy."""


@dataclass(frozen=True, config=_STRICT)
class Component:
    """A Gaussian component of the point-spread function."""

    fraction: float
    sigma_pixel: float
    core: bool
    """Whether width and shape follow the field, as those of the core do."""


@dataclass(frozen=True, config=_STRICT)
class Optics:
    """Telescope, focal plane and filters (reference type ``sim.optics``)."""

    pixel_scale_arcsec: float
    columns: int
    rows: int
    gap_columns: int
    gap_rows: int
    slitless_shift_columns: int
    detector_filter: dict[str, str]
    filter: dict[str, Filter]
    psf: tuple[Component, ...]
    psf_fwhm_pixel: Range
    psf_ellipticity: float
    psf_coma_pixel: float
    field_radius_pixel: float
    distortion_cubic_pixel: Range
    distortion_quadratic_pixel: Range
    pointing_error_arcsec: float
    roll_error_arcsec: float
    chip_offset_pixel: float
    chip_rotation_arcsec: float


@dataclass(frozen=True, config=_STRICT)
class Trails:
    """Satellites: what crosses a field; every trail draws its own values."""

    mean_number: float
    """Per exposure and detector."""
    electron_per_pixel: Range
    """Electrons per pixel of length; drawn evenly in the logarithm."""
    disc_pixel: Range
    """Diameter of the defocused disc; drawn evenly in the logarithm."""
    tumbling_fraction: float
    """Part of them that vary in brightness."""
    tumbling: Range
    """Relative amplitude."""
    period_pixel: Range
    bend_pixel: float
    """Largest deviation from a straight line at 1000 pixels from the middle."""
    ending_fraction: float
    """Part of them that begin or end on the detector."""


@dataclass(frozen=True, config=_STRICT)
class Ghost:
    """A disc of light reflected twice, its place a linear map of the star's."""

    fraction: Range
    """Part of the star's light."""
    radius_pixel: Range
    hole: float
    """Inner over outer radius."""
    shift_pixel: tuple[float, float]
    """Of the ghost from the star, for a star on the optical axis."""
    scale: float
    """Shift per distance from the optical axis."""
    error_pixel: float
    """How far the true shift is from these numbers, 1 sigma."""


@dataclass(frozen=True, config=_STRICT)
class Halo:
    """Light scattered about bright stars: ``(1 + r^2 / r0^2)^-exponent/2``."""

    fraction: Range
    """Part of the star's light, to infinity."""
    core_pixel: float
    exponent: float


@dataclass(frozen=True, config=_STRICT)
class StrayLight:
    """Light that comes where it should not (reference type ``sim.stray_light``)."""

    trails: Trails
    ghost: tuple[Ghost, ...]
    halo: Halo
