"""From output electrons to the numbers of a raw frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from csst_sim.cpic.device import CpicDevice
from csst_sim.cpic.settings import CpicCamera
from csstcore.api import compiled


@compiled
def _convert(
    charge: NDArray[np.float32],
    normal: NDArray[np.float32],
    pattern: NDArray[np.float32],
    row_offset: NDArray[np.float32],
    linear: float,
    square: float,
    read_noise: float,
    gain: float,
    out: NDArray[np.uint16],
) -> None:
    rows, columns = charge.shape
    a, b, noise = np.float32(linear), np.float32(square), np.float32(read_noise)
    inverse, zero, one = np.float32(1.0 / gain), np.float32(0.0), np.float32(1.0)
    largest, half = np.float32(65535.0), np.float32(0.5)
    for row in range(rows):
        offset = row_offset[row] + half
        for column in range(columns):
            electrons = charge[row, column]
            electrons *= one - electrons * (a + b * electrons)
            value = (electrons + noise * normal[row, column]) * inverse
            value = np.floor(value + pattern[row, column] + offset)
            out[row, column] = np.uint16(min(max(value, zero), largest))


@dataclass(frozen=True, eq=False)
class Converter:
    """Amplifier and converter: ``(q (1 - a q - b q^2) + noise) / gain + bias``."""

    pattern: NDArray[np.float32]
    """Bias that is the same in all frames, adu, raw frame."""
    linear: float
    """Relative loss per output electron."""
    square: float
    """Relative loss per square of it."""
    read_noise: float
    gain: float

    def convert(
        self, charge: NDArray[np.float32], row_offset: NDArray[np.float32], rng: Generator
    ) -> NDArray[np.uint16]:
        """Return a raw frame in adu, cut at 0 and 65535.

        Parameters
        ----------
        charge
            Output electrons, raw frame.
        row_offset
            Bias of each row in this frame, adu.
        rng
            Read noise.
        """
        normal = rng.standard_normal(charge.shape, np.float32)
        out = np.empty(charge.shape, np.uint16)
        _convert(
            charge, normal, self.pattern, row_offset, self.linear, self.square, self.read_noise,
            self.gain, out,
        )  # fmt: skip
        return out


def row_offsets(
    device: CpicDevice, camera: CpicCamera, rows: int, rng: Generator
) -> NDArray[np.float32]:
    """Return the bias of every row of one frame: level, drift and stripes, adu."""
    memory = np.exp(-1 / camera.bias_drift_rows)
    kicks = camera.bias_drift_adu * rng.standard_normal(rows)
    kicks[1:] *= np.sqrt(1 - memory**2)
    drift = np.empty(rows)
    value = 0.0
    for row in range(rows):
        value = memory * value + kicks[row]
        drift[row] = value
    phase = 2 * np.pi * (np.arange(rows) / device.stripe_rows + rng.random())
    frame = camera.bias_frame_adu * rng.standard_normal()
    stripes = device.stripe_adu * np.sin(phase)
    return (device.bias_level + frame + drift + stripes).astype(np.float32)
