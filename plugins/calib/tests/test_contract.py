"""The contract of plugins."""

from __future__ import annotations

from typing import Any

import astropy.units as u
import numpy as np
from astropy.table import QTable

from csst_calib.readout import Readout
from csstcore.api import Image, Meta, Table
from csstcore.testing.contract import *  # noqa: F403

PLUGIN = "calib"
READOUT = Readout(16, 24, channels_x=2, channels_y=2, overscan_columns=6)
EDGES = Readout(40, 60, 2, 2, prescan_columns=8, overscan_columns=8, overscan_rows=8)
RATE = u.electron / u.s


def frame(level: float, unit: u.UnitBase = u.electron, seconds: float = 10.0) -> Image:
    """Return an image with all planes; every call draws the same noise about `level`."""
    data = np.random.default_rng(5).normal(level, 3.0, READOUT.shape).astype(np.float32)
    meta = Meta(
        exposure_time=seconds * u.s, gain=1.1 * u.electron / u.adu, read_noise=5.0 * u.electron
    )
    variance = np.full(READOUT.shape, 25.0, np.float32)
    return Image(data, unit, variance, np.zeros(READOUT.shape, np.uint16), meta=meta)


def reference(value: float, unit: u.UnitBase = u.dimensionless_unscaled) -> Image:
    image = frame(0.0, unit)
    image.data[:] = value
    image.variance = np.full(READOUT.shape, 1e-6, np.float32)
    return image


def channels(**columns: Any) -> Table:
    return Table(QTable(columns))


def pair(level: float) -> list[Image]:
    """Return two frames in adu with photon noise of their own."""
    rng = np.random.default_rng(6)
    frames = [frame(0.0, u.adu) for _ in range(2)]
    for image in frames:
        image.data[:] = level + rng.normal(0.0, np.sqrt(20.0 + level), READOUT.shape)
    return frames


def raw_frames(level: float, count: int) -> list[Image]:
    """Return raw frames lit to `level`, with a trail of one pixel behind every lit edge."""
    rng = np.random.default_rng(7)
    images = []
    for _ in range(count):
        light = np.zeros(EDGES.raw_shape)
        for channel in EDGES:
            block = light[channel.block][channel.read_order]
            block[:60, 8:48] = level
            block[60, 8:48] = block[:60, 48] = 1e-3 * level
        data = np.rint(light + rng.normal(1000.0, 3.0, light.shape)).astype(np.uint16)
        images.append(Image(data, u.adu, meta=frame(0.0).meta))
    return images


def traps() -> Table:
    return channels(
        **{
            f"{direction}_{name}": values
            for direction in ("parallel", "serial")
            for name, values in (
                ("density", np.full((4, 2), 0.01) * u.electron),
                ("release", np.full((4, 2), 2.0) * u.pixel),
                ("exponent", np.full(4, 0.5)),
            )
        }
    )


def examples() -> dict[str, tuple[tuple[Any, ...], dict[str, Any]]]:
    raw = Image(np.full(READOUT.raw_shape, 1000, np.uint16), u.adu)
    flagged = frame(20.0)
    flagged.data[7, 7] = 9000.0
    flagged.set_flag("cosmic_ray", flagged.data > 1000)
    ramp = [frame(2000.0 * seconds, seconds=seconds) for seconds in (1.0, 2.0, 3.0, 4.0)]
    gain = channels(
        gain=np.full(4, 1.2) * u.electron / u.adu,
        gain_error=np.full(4, 0.01) * u.electron / u.adu,
        read_noise=np.full(4, 4.0) * u.electron,
    )
    return {
        "subtract_overscan": ((raw, READOUT), {}),
        "apply_gain": ((frame(20.0, u.adu), READOUT, gain), {}),
        "subtract_bias": ((frame(20.0), reference(2.0, u.electron)), {}),
        "correct_nonlinearity": (
            (frame(20.0), READOUT, channels(coefficient=np.full((4, 2), 1e-8))),
            {},
        ),
        "correct_cti": ((frame(20.0), READOUT, traps()), {}),
        "assemble": ((raw, READOUT), {"subtract_level": True}),
        "disassemble": ((frame(20.0, u.adu), READOUT), {"added_level_adu": 990.0}),
        "measure_cti": ((raw_frames(2e4, 3), raw_frames(0.0, 3), EDGES), {}),
        "subtract_dark": ((frame(20.0), reference(0.02, RATE)), {}),
        "estimate_variance": ((frame(20.0), READOUT), {}),
        "correct_shutter": ((frame(20.0), reference(0.01, u.s)), {}),
        "divide_flat": ((frame(20.0), reference(1.01)), {}),
        "flag_bad_pixels": ((frame(20.0), reference(1.01)), {}),
        "flag_hot_pixels": ((frame(20.0), reference(9.0, RATE), READOUT), {}),
        "flag_saturation": ((frame(20.0),), {}),
        "detect_cosmic_rays": ((frame(20.0),), {"method": "lacosmic"}),
        "flag_trails": ((frame(20.0), READOUT), {"shortest_pixel": 50}),
        "fill_flagged": ((flagged,), {}),
        "to_rate": ((frame(20.0),), {}),
        "combine": (([frame(20.0), frame(21.0), frame(22.0)],), {"weighted": True}),
        "normalise_flat": ((frame(2000.0), READOUT), {"illumination_degree": 1}),
        "measure_gain": ((pair(5000.0), pair(0.0), READOUT), {}),
        "measure_nonlinearity": ((ramp, READOUT), {}),
        "measure_ptc": ((pair(5000.0), pair(0.0), READOUT), {"max_lag": 1}),
        "draw_gain_image": ((gain, READOUT), {}),
        "measure_dark": (([frame(20.0), frame(21.0)], reference(2.0, u.electron), READOUT), {}),
        "measure_shutter": ((ramp,), {"cell_pixel": 8}),
        "find_bad_pixels": (
            (
                [frame(20.0)],
                reference(1.0),
                reference(0.02, RATE),
                reference(2.0, u.electron),
                READOUT,
            ),
            {},
        ),
    }
