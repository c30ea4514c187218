"""From electrons at the amplifier to numbers in the raw frame."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from csst_sim.device import Device
from csst_sim.effects.charge_transfer import channel_slices
from csst_sim.plan import Effects
from csst_sim.settings import Readout
from csstcore.api import compiled

TILE_ROWS = 256
_DRIFT_LENGTH_ROWS = 64


@compiled
def convert(
    electrons: NDArray[np.float32],
    normal: NDArray[np.float32],
    offset: NDArray[np.float32],
    drift: NDArray[np.float32],
    read_noise: NDArray[np.float32],
    gain: NDArray[np.float32],
    loss: NDArray[np.float32],
    full_well: np.float32,
    out: NDArray[np.uint16],
) -> None:
    """Convert rows of a raw-format frame to adu: ``(q (1 - loss q) + noise) / gain + bias``.

    Beyond the full well the relative loss grows no more.

    Parameters
    ----------
    electrons, normal
        Shape (rows, columns); `normal` are standard normal numbers.
    offset
        Bias in adu by column.
    drift
        Bias in adu by row.
    read_noise, gain, loss
        By column: electrons, electrons per adu, relative loss per electron.
    full_well
        Electrons.
    out
        The result, cut at 0 and 65535.
    """
    rows, columns = electrons.shape
    for row in range(rows):
        for column in range(columns):
            charge = electrons[row, column]
            charge -= loss[column] * charge * min(charge, full_well)
            charge += read_noise[column] * normal[row, column]
            value = charge / gain[column] + offset[column] + drift[row]
            value = np.floor(value + np.float32(0.5))
            out[row, column] = np.uint16(min(max(value, np.float32(0.0)), np.float32(65535.0)))


def bias_offsets(device: Device, readout: Readout, structure: bool) -> NDArray[np.float32]:
    """Return the bias in adu, shape (channels_y, raw columns).

    The level of each channel, and as structure a fixed pattern of columns and an exponential
    settling after the first columns read.
    """
    columns = readout.raw_channel_columns
    offsets = np.empty((readout.channels_y, readout.channels_x * columns), np.float32)
    read = np.arange(columns)
    for iy in range(readout.channels_y):
        for ix in range(readout.channels_x):
            channel = iy * readout.channels_x + ix
            level = np.full(columns, device.bias_level[channel])
            if structure:
                length = device.bias_settling_pixel[channel]
                level += device.bias_settling[channel] * np.exp(-read / length)
            offsets[iy, channel_slices(iy, ix, readout)[1]] = level
    return offsets + device.bias_column if structure else offsets


def bias_drift(rows: int, size_adu: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return a slow random drift along rows of one exposure, in adu."""
    knots = rng.normal(0.0, size_adu, rows // _DRIFT_LENGTH_ROWS + 2)
    at = np.arange(rows) / _DRIFT_LENGTH_ROWS
    return np.interp(at, np.arange(len(knots)), knots).astype(np.float32)


def digitise(
    raw: NDArray[np.float32],
    readout: Readout,
    device: Device,
    effects: Effects,
    rng: np.random.Generator,
) -> NDArray[np.uint16]:
    """Return the raw frame in adu; gain, noise and bias are those of each channel."""
    rows = readout.raw_channel_rows
    out = np.empty(raw.shape, np.uint16)
    offsets = bias_offsets(device, readout, effects.bias_structure)
    drift = bias_drift(rows, device.bias_drift, rng)
    if not effects.bias_structure:
        drift[:] = 0.0
    normal = np.empty((min(TILE_ROWS, rows), raw.shape[1]), np.float32)

    def by_column(values: NDArray[np.float64], iy: int) -> NDArray[np.float32]:
        part = values[iy * readout.channels_x : (iy + 1) * readout.channels_x]
        return np.repeat(part, readout.raw_channel_columns).astype(np.float32)

    for iy in range(readout.channels_y):
        noise = by_column(device.read_noise * effects.read_noise, iy)
        gain = by_column(device.gain, iy)
        loss = by_column(device.nonlinearity / device.full_well * effects.nonlinearity, iy)
        order = slice(None) if iy == 0 else slice(None, None, -1)
        drift_in_place = np.ascontiguousarray(drift[order])
        for start in range(0, rows, TILE_ROWS):
            low = iy * rows + start
            high = min(low + TILE_ROWS, (iy + 1) * rows)
            rng.standard_normal(out=normal, dtype=np.float32)
            convert(
                raw[low:high], normal[: high - low], offsets[iy],
                drift_in_place[start : start + high - low], noise, gain, loss,
                np.float32(device.full_well), out[low:high],
            )  # fmt: skip
    return out
