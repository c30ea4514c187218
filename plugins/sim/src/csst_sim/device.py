"""The hidden truth of one detector, drawn from documented ranges.

It depends on the detector and the instrument's seed alone, so that calibration and science
frames of one detector share it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from csst_sim.settings import DetectorRanges, Range, Readout

_STREAM = 0xDE7EC


@dataclass(frozen=True)
class Device:
    """A detector as it really is. Arrays ``(channels,)`` are in order of the raw frame."""

    gain: NDArray[np.float64]
    """Electrons per adu."""
    header_gain: NDArray[np.float64]
    """As measured on ground."""
    read_noise: NDArray[np.float64]
    header_read_noise: NDArray[np.float64]
    bias_level: NDArray[np.float64]
    bias_settling: NDArray[np.float64]
    bias_settling_pixel: NDArray[np.float64]
    bias_column: NDArray[np.float32]
    """Fixed pattern in adu, shape (channels_y, raw columns)."""
    bias_drift: float
    nonlinearity: NDArray[np.float64]
    """Relative loss at full well."""
    full_well: float
    dark: float
    dark_gradient: float
    bad_rows: NDArray[np.int64]
    bad_columns: NDArray[np.int64]
    bad_dark: NDArray[np.float32]
    """Extra dark of hot and warm pixels, electrons per second."""
    dead_rows: NDArray[np.int64]
    dead_columns: NDArray[np.int64]
    dead_response: NDArray[np.float32]
    prnu: float
    pattern_seed: int
    illumination: NDArray[np.float64]
    """Coefficients of `large_scale` in x and y."""
    shutter_s: float
    brighter_fatter: float
    trap_release: NDArray[np.float64]
    trap_parallel: NDArray[np.float64]
    trap_serial: NDArray[np.float64]
    thickness_um: float
    pixel_um: float
    diffusion_pixel: float
    cosmic_rays_per_cm2_s: float


def draw_device(
    detector: int, ranges: DetectorRanges, readout: Readout, instrument_seed: int
) -> Device:
    """Draw a detector."""
    rng = np.random.default_rng([instrument_seed, _STREAM, detector])
    channels = readout.channels

    def one(limits: Range) -> float:
        return float(rng.uniform(*limits))

    def each(limits: Range) -> NDArray[np.float64]:
        return rng.uniform(*limits, channels)

    gain, read_noise = each(ranges.gain_electron_per_adu), each(ranges.read_noise_electron)
    columns = readout.channels_x * readout.raw_channel_columns
    pattern = rng.normal(0.0, one(ranges.bias_column_adu), (readout.channels_y, columns))
    bad_rows, bad_columns, bad_dark = _bad_dark(ranges, readout, rng)
    dead_rows, dead_columns, dead_response = _dead(ranges, readout, rng)
    return Device(
        gain=gain,
        header_gain=gain * (1.0 + rng.normal(0.0, ranges.gain_knowledge, channels)),
        read_noise=read_noise,
        header_read_noise=read_noise
        * (1.0 + rng.normal(0.0, ranges.read_noise_knowledge, channels)),
        bias_level=each(ranges.bias_level_adu),
        bias_settling=each(ranges.bias_settling_adu),
        bias_settling_pixel=each(ranges.bias_settling_pixel),
        bias_column=pattern.astype(np.float32),
        bias_drift=one(ranges.bias_drift_adu),
        nonlinearity=each(ranges.nonlinearity),
        full_well=one(ranges.full_well_electron),
        dark=one(ranges.dark_electron_per_s),
        dark_gradient=one(ranges.dark_gradient),
        bad_rows=bad_rows,
        bad_columns=bad_columns,
        bad_dark=bad_dark,
        dead_rows=dead_rows,
        dead_columns=dead_columns,
        dead_response=dead_response,
        prnu=one(ranges.prnu),
        pattern_seed=int(rng.integers(1, 2**62)),
        illumination=rng.uniform(-1.0, 1.0, (2, 3)) * one(ranges.illumination) / 3.0,
        shutter_s=one(ranges.shutter_s),
        brighter_fatter=one(ranges.brighter_fatter_per_electron),
        trap_release=np.array([one(trap.release_pixel) for trap in ranges.trap]),
        trap_parallel=np.array([one(trap.parallel_per_pixel) for trap in ranges.trap]),
        trap_serial=np.array([one(trap.serial_per_pixel) for trap in ranges.trap]),
        thickness_um=one(ranges.thickness_um),
        pixel_um=ranges.pixel_um,
        diffusion_pixel=one(ranges.diffusion_pixel),
        cosmic_rays_per_cm2_s=one(ranges.cosmic_rays_per_cm2_s),
    )


def _places(
    count: int, readout: Readout, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    return rng.integers(0, readout.rows, count), rng.integers(0, readout.columns, count)


def _bad_dark(
    ranges: DetectorRanges, readout: Readout, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Draw hot pixels (log-uniform) and warm ones."""
    pixels = readout.rows * readout.columns
    hot = rng.poisson(rng.uniform(*ranges.hot_fraction) * pixels)
    warm = rng.poisson(rng.uniform(*ranges.warm_fraction) * pixels)
    low, high = np.log(ranges.hot_electron_per_s)
    rates = np.concatenate(
        [np.exp(rng.uniform(low, high, hot)), rng.uniform(*ranges.warm_electron_per_s, warm)]
    )
    rows, columns = _places(hot + warm, readout, rng)
    return rows, columns, rates.astype(np.float32)


def _dead(
    ranges: DetectorRanges, readout: Readout, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Draw single pixels and partial columns of low response."""
    single = rng.poisson(rng.uniform(*ranges.dead_fraction) * readout.rows * readout.columns)
    rows, columns = _places(single, readout, rng)
    parts = [(rows, columns, rng.uniform(*ranges.dead_response, single))]
    for _ in range(ranges.dead_columns):
        start = int(rng.integers(0, readout.rows))
        length = int(rng.integers(10, readout.rows // 10))
        line = np.arange(start, min(start + length, readout.rows))
        column = np.full(len(line), rng.integers(0, readout.columns))
        parts.append((line, column, np.full(len(line), rng.uniform(*ranges.dead_response))))
    rows, columns, response = (np.concatenate(pieces) for pieces in zip(*parts, strict=True))
    return rows, columns, response.astype(np.float32)


def large_scale(coefficients: NDArray[np.float64], length: int) -> NDArray[np.float32]:
    """Return a smooth response along one axis, with mean 1.

    ``1 + c0 t + c1 (t^2 - 1/3) + c2 sin(3 pi t)`` with t from -1 to 1.
    """
    t = np.linspace(-1.0, 1.0, length)
    wave = coefficients[2] * np.sin(3.0 * np.pi * t)
    response = 1.0 + coefficients[0] * t + coefficients[1] * (t * t - 1.0 / 3.0) + wave
    return np.asarray(response, np.float32)
