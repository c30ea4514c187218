"""Numbers of the simulated coronagraph as they stand in ``references/cpic_*.toml``."""

from __future__ import annotations

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from csst_sim.settings import Range

_STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True, config=_STRICT)
class CpicReadout:
    """Format of a raw frame (reference type ``sim.cpic_readout``).

    Row 0 and column 0 are read first.
    """

    active_columns: int
    active_rows: int
    prescan_columns: int
    """Elements of the register before the first active column."""
    overscan_columns: int
    dark_rows: int
    """Shielded rows before the active ones."""
    overscan_rows: int

    @property
    def raw_shape(self) -> tuple[int, int]:
        """Shape (rows, columns) of a raw frame."""
        rows = self.dark_rows + self.active_rows + self.overscan_rows
        return rows, self.prescan_columns + self.active_columns + self.overscan_columns

    @property
    def shape(self) -> tuple[int, int]:
        """Shape (rows, columns) of the active area."""
        return self.active_rows, self.active_columns

    @property
    def active(self) -> tuple[slice, slice]:
        """The active area in the raw frame."""
        return (
            slice(self.dark_rows, self.dark_rows + self.active_rows),
            slice(self.prescan_columns, self.prescan_columns + self.active_columns),
        )

    @property
    def name(self) -> str:
        """Columns x rows of a raw frame."""
        rows, columns = self.raw_shape
        return f"{columns}x{rows}"


@dataclass(frozen=True, config=_STRICT)
class CpicCamera:
    """The EMCCD (reference type ``sim.cpic_camera``).

    A pair is a range from which the camera of a plan is drawn, so that the truth differs from
    what calibration assumes. Charge is given before multiplication unless said.
    """

    gain_electron_per_adu: Range
    """At the output."""
    gain_knowledge: float
    """Relative error of what the header says."""
    read_noise_electron: Range
    """At the output."""
    read_noise_knowledge: float
    bias_adu: Range
    bias_frame_adu: float
    """Scatter of the level from frame to frame."""
    bias_drift_adu: float
    """Scatter of a drift along the rows of a frame (Ornstein-Uhlenbeck process)."""
    bias_drift_rows: float
    """Its correlation length."""
    stripe_adu: Range
    """Amplitude of a wave along the rows, of random phase in each frame."""
    stripe_rows: Range
    """Its period."""
    fixed_column_adu: float
    """Scatter of the pattern that is the same in all frames, by column."""
    fixed_pixel_adu: float
    """The same, by pixel."""
    settling_adu: Range
    """Excess of the first column read, which decays exponentially."""
    settling_pixel: Range
    register_stages: int
    em_gain_error: Range
    """The true EM gain differs from the commanded one by this part, either way."""
    em_gain_error_slope: float
    """And by up to this part more for each factor of ten from a gain of 100."""
    register_full_well_electron: Range
    """At the output; what is more flows into the packets behind."""
    tail_threshold_electron: float
    """Charge at the output that leaves a tail: nothing below this."""
    tail_fraction: Range
    """Part of the charge above the threshold that is held back."""
    tail_pixel: Range
    """Exponential length in which it comes out again."""
    pixel_full_well_electron: Range
    """What is more flows up and down its column."""
    dark_electron_per_s: Range
    dark_scatter: float
    """Relative, from pixel to pixel (log-normal)."""
    warm_fraction: float
    warm_electron_per_s: Range
    """Evenly in the logarithm, as that of hot pixels."""
    hot_fraction: float
    hot_electron_per_s: Range
    cic_electron: Range
    """Charge born in parallel clocking, mean per pixel and frame."""
    cic_gradient: float
    """Its relative increase from the first row to the last."""
    cic_scatter: float
    """Relative, from column to column."""
    serial_cic_electron: Range
    """Charge born in the register, per pixel and frame, at any of its stages alike."""
    pixel_response: Range
    """Relative scatter from pixel to pixel."""
    illumination: Range
    """Amplitude of the large-scale response."""
    dead_fraction: float
    dead_columns: int
    """Parts of columns with low response."""
    dead_response: Range
    cti_vertical: Range
    """Part of a packet that one transfer leaves behind."""
    cti_vertical_pixel: Range
    """Exponential time of its release, in transfers."""
    cti_horizontal: Range
    cti_horizontal_pixel: Range
    nonlinearity: Range
    """Relative loss at the register's full well and an EM gain of 1."""
    nonlinearity_curvature: Range
    """Further loss there with the square of the charge."""
    nonlinearity_per_gain_decade: Range
    """Relative growth of the loss with each factor of ten in EM gain."""
    thickness_um: float
    pixel_um: float
    diffusion_pixel: float
    cosmic_rays_per_cm2_s: Range
    temperature_kelvin: float
    frame_transfer_s: float
    """Between two exposures of a series."""


@dataclass(frozen=True, config=_STRICT)
class CpicFilter:
    """A filter of the coronagraph."""

    wavelength_nm: float
    zero_point: float
    """Magnitude of a star that gives one electron per second beside the mask."""


@dataclass(frozen=True, config=_STRICT)
class CpicOptics:
    """Telescope, apodiser, mask and dark zone (reference type ``sim.cpic_optics``)."""

    aperture_m: float
    pixel_scale_arcsec: float
    pupil_samples: int
    """Across the pupil."""
    apodiser_exponent: float
    """Amplitude of the pupil is ``(1 - r^2)^exponent``, r from 0 to 1."""
    inner_lambda_d: float
    """Where the mask lets half of the light through, in wavelengths over aperture."""
    outer_lambda_d: float
    """Outer edge of the dark zone."""
    mask_leak: float
    """Part of the star's light that passes the middle of the mask."""
    outside_contrast: float
    """Speckles beyond the dark zone, in units of those inside."""
    phase_fraction: float
    """Part of the aberrations' variance that is phase; the rest is amplitude."""
    drift_fraction: float
    """Part of the speckles' intensity whose field drifts (Ornstein-Uhlenbeck process)."""
    drift_time_s: float
    spot_lambda_d: float
    """Distance of the four satellite spots from the star."""
    offset_pixel: float
    """Largest offset of the star from the commanded position, per observation and axis."""
    jitter_pixel: float
    """Scatter of the star from frame to frame, per axis."""
    background_electron_per_s: Range
    """Sky and stray light."""
    light_pixel: int
    """Width of the square about the star in which its light is simulated."""
    filter: dict[str, CpicFilter]

    def pixel_lambda_d(self, filter_name: str) -> float:
        """Return the width of a pixel in wavelengths over aperture."""
        radian = self.filter[filter_name].wavelength_nm * 1e-9 / self.aperture_m
        return float(self.pixel_scale_arcsec / (radian * 206264.80624709636))
