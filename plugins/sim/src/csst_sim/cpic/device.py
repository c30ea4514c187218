"""The hidden truth of the EMCCD, drawn from documented ranges.

It depends on the instrument's seed and the format alone, so that calibration and science frames
share it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from csst_sim.cpic.settings import CpicCamera, CpicReadout
from csst_sim.settings import Range

Plane = NDArray[np.float32]

_STREAM = 0xC91C
_REFERENCE_GAIN = 100.0


@dataclass(frozen=True, eq=False)
class CpicDevice:
    """The EMCCD as it really is. Planes are of the active area unless said."""

    gain: float
    """Electrons per adu at the output."""
    header_gain: float
    """As measured on ground."""
    read_noise: float
    header_read_noise: float
    bias_level: float
    fixed_pattern: Plane
    """Of the raw frame, adu."""
    stripe_adu: float
    stripe_rows: float
    em_gain_error: float
    em_gain_error_slope: float
    register_full_well: float
    tail_fraction: float
    tail_pixel: float
    pixel_full_well: float
    dark: Plane
    """Electrons per second, of all columns and the dark and active rows: shape (dark + active
    rows, active columns)."""
    cic: Plane
    """Electrons per frame, of all rows at the active columns."""
    serial_cic: float
    flat: Plane
    """Relative response with mean 1."""
    cti_vertical: float
    cti_vertical_pixel: float
    cti_horizontal: float
    cti_horizontal_pixel: float
    nonlinearity: float
    nonlinearity_curvature: float
    nonlinearity_per_gain_decade: float
    thickness_um: float
    pixel_um: float
    diffusion_pixel: float
    cosmic_rays_per_cm2_s: float

    def em_gain(self, commanded: float) -> float:
        """Return the true EM gain, mean output electrons of one electron; 1 stays 1."""
        if commanded <= 1:
            return 1.0
        decades = np.log10(commanded / _REFERENCE_GAIN)
        return float(commanded * (1 + self.em_gain_error + self.em_gain_error_slope * decades))

    def loss(self, em_gain: float) -> tuple[float, float]:
        """Return the coefficients (linear, square) of the relative loss at the full well."""
        growth = 1 + self.nonlinearity_per_gain_decade * np.log10(em_gain)
        return float(self.nonlinearity * growth), float(self.nonlinearity_curvature * growth)


def draw_device(camera: CpicCamera, readout: CpicReadout, instrument_seed: int) -> CpicDevice:
    """Draw a camera."""
    rng = np.random.default_rng([instrument_seed, _STREAM, *readout.shape])
    numbers, patterns, dark, cic, response = rng.spawn(5)

    def one(limits: Range) -> float:
        return float(numbers.uniform(*limits))

    gain, read_noise = one(camera.gain_electron_per_adu), one(camera.read_noise_electron)
    return CpicDevice(
        gain=gain,
        header_gain=gain * (1 + camera.gain_knowledge * float(numbers.normal())),
        read_noise=read_noise,
        header_read_noise=read_noise * (1 + camera.read_noise_knowledge * float(numbers.normal())),
        bias_level=one(camera.bias_adu),
        fixed_pattern=_fixed_pattern(camera, readout, patterns),
        stripe_adu=one(camera.stripe_adu),
        stripe_rows=one(camera.stripe_rows),
        em_gain_error=_either_way(camera.em_gain_error, one((-1.0, 1.0))),
        em_gain_error_slope=one((-camera.em_gain_error_slope, camera.em_gain_error_slope)),
        register_full_well=one(camera.register_full_well_electron),
        tail_fraction=one(camera.tail_fraction),
        tail_pixel=one(camera.tail_pixel),
        pixel_full_well=one(camera.pixel_full_well_electron),
        dark=_dark(camera, readout, dark),
        cic=_cic(camera, readout, cic),
        serial_cic=one(camera.serial_cic_electron),
        flat=_flat(camera, readout, response),
        cti_vertical=one(camera.cti_vertical),
        cti_vertical_pixel=one(camera.cti_vertical_pixel),
        cti_horizontal=one(camera.cti_horizontal),
        cti_horizontal_pixel=one(camera.cti_horizontal_pixel),
        nonlinearity=one(camera.nonlinearity),
        nonlinearity_curvature=one(camera.nonlinearity_curvature),
        nonlinearity_per_gain_decade=one(camera.nonlinearity_per_gain_decade),
        thickness_um=camera.thickness_um,
        pixel_um=camera.pixel_um,
        diffusion_pixel=camera.diffusion_pixel,
        cosmic_rays_per_cm2_s=one(camera.cosmic_rays_per_cm2_s),
    )


def _either_way(size: Range, draw: float) -> float:
    """Return a number whose size is in a range, of the sign of a draw between -1 and 1."""
    low, high = size
    return float(np.copysign(low + (high - low) * abs(draw), draw))


def _fixed_pattern(camera: CpicCamera, readout: CpicReadout, rng: Generator) -> Plane:
    """Draw the bias that is the same in all frames: columns, pixels, settling of a row."""
    rows, columns = readout.raw_shape
    height, length = rng.uniform(*camera.settling_adu), rng.uniform(*camera.settling_pixel)
    by_column = rng.normal(0, camera.fixed_column_adu, columns)
    by_column += height * np.exp(-np.arange(columns) / length)
    pattern = rng.normal(0, camera.fixed_pixel_adu, (rows, columns)) + by_column
    return pattern.astype(np.float32)


def _dark(camera: CpicCamera, readout: CpicReadout, rng: Generator) -> Plane:
    """Draw the dark current: log-normal scatter, warm and hot pixels."""
    shape = (readout.dark_rows + readout.active_rows, readout.active_columns)
    dark = rng.uniform(*camera.dark_electron_per_s) * np.exp(
        rng.normal(0, camera.dark_scatter, shape)
    )
    for fraction, limits in (
        (camera.warm_fraction, camera.warm_electron_per_s),
        (camera.hot_fraction, camera.hot_electron_per_s),
    ):
        count = rng.poisson(fraction * dark.size)
        places = rng.integers(0, dark.size, count)
        low, high = np.log(limits).tolist()
        dark.ravel()[places] = np.exp(rng.uniform(low, high, count))
    return dark.astype(np.float32)


def _cic(camera: CpicCamera, readout: CpicReadout, rng: Generator) -> Plane:
    """Draw clock-induced charge: it grows along rows and scatters between columns."""
    rows = readout.raw_shape[0]
    slope = 1 + camera.cic_gradient * np.linspace(-0.5, 0.5, rows)[:, None]
    scatter = np.exp(rng.normal(0, camera.cic_scatter, readout.active_columns))
    return (rng.uniform(*camera.cic_electron) * slope * scatter).astype(np.float32)


def _flat(camera: CpicCamera, readout: CpicReadout, rng: Generator) -> Plane:
    """Draw the response: pixel to pixel, large scale, dead pixels and parts of columns."""
    rows, columns = readout.shape
    size = rng.uniform(*camera.illumination)
    y, x = np.meshgrid(np.linspace(-1, 1, rows), np.linspace(-1, 1, columns), indexing="ij")
    terms = rng.uniform(-1, 1, 5)
    waves = (x, y, x * y, x * x - 1 / 3, y * y - 1 / 3)
    flat = 1 + size * sum(term * wave for term, wave in zip(terms, waves, strict=True)) / 2
    flat = flat * (1 + rng.normal(0, rng.uniform(*camera.pixel_response), (rows, columns)))
    dead = rng.integers(0, flat.size, rng.poisson(camera.dead_fraction * flat.size))
    flat.ravel()[dead] *= rng.uniform(*camera.dead_response, len(dead))
    for _ in range(camera.dead_columns):
        first, length = rng.integers(0, rows), rng.integers(rows // 16, rows // 4)
        flat[first : first + length, rng.integers(0, columns)] *= rng.uniform(*camera.dead_response)
    return np.asarray(flat / flat.mean(), np.float32)
