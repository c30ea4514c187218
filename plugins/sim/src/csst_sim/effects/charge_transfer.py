"""Trails of charge behind packets that met traps on their way to the amplifier."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from csst_sim.device import Device
from csst_sim.settings import Readout
from csstcore.api import compiled


@compiled
def trail(
    image: NDArray[np.float32],
    traps: NDArray[np.float64],
    release: NDArray[np.float64],
    full_well: float,
) -> None:
    """Move packets past traps along axis 0, row 0 first, in place.

    All traps that a packet meets are taken together (the one-pass form of Massey et al. 2014,
    MNRAS 439, 887): packet n meets ``t (n + 1)`` traps, of which charge q reaches the part
    ``sqrt(q / full_well)``, its volume (Short et al. 2013, MNRAS 430, 3078), and fills what is
    empty of it at once. Between packets, traps release ``1 - exp(-1/tau)`` of their charge
    into the next. Charge is conserved but for what traps hold at the end.

    Parameters
    ----------
    image
        Electrons, shape (packets, lines); every line is independent.
    traps
        Traps per pixel of each species.
    release
        Release time of each species, in transfers.
    full_well
        Electrons.
    """
    packets, lines = image.shape
    held = np.zeros((len(traps), lines), np.float32)
    part = np.empty(lines, np.float32)
    freed = (1.0 - np.exp(-1.0 / release)).astype(np.float32)
    scale, zero, one = np.float32(1.0 / full_well), np.float32(0.0), np.float32(1.0)
    for packet in range(packets):
        for line in range(lines):
            part[line] = np.sqrt(min(max(image[packet, line] * scale, zero), one))
        for species in range(len(traps)):
            met, rate = np.float32(traps[species] * (packet + 1)), freed[species]
            for line in range(lines):
                charge, inside = image[packet, line], held[species, line]
                out = inside * rate
                inside -= out
                into = min(max(met * part[line] - inside, zero), max(charge, zero))
                held[species, line] = inside + into
                image[packet, line] = charge + (out - into)


def to_raw_format(image: NDArray[np.float32], readout: Readout) -> NDArray[np.float32]:
    """Return the active frame with prescan and overscan, in the places of the raw frame."""
    raw = np.zeros(readout.raw_shape, np.float32)
    for iy in range(readout.channels_y):
        for ix in range(readout.channels_x):
            rows, columns = channel_slices(iy, ix, readout)
            active_rows = slice(iy * readout.channel_rows, (iy + 1) * readout.channel_rows)
            active_columns = slice(ix * readout.channel_columns, (ix + 1) * readout.channel_columns)
            raw[rows, columns][: readout.channel_rows, readout.prescan_columns :][
                :, : readout.channel_columns
            ] = image[active_rows, active_columns][_towards_amplifier(iy, ix, readout)]
    return raw


def channel_slices(iy: int, ix: int, readout: Readout) -> tuple[slice, slice]:
    """Return slices of the raw frame that give a channel in the order of its readout.

    Row 0 is read first, column 0 is the first prescan pixel.
    """
    low = iy * readout.raw_channel_rows
    left = ix * readout.raw_channel_columns
    flip_y, flip_x = _flips(iy, ix, readout)
    return (
        _ordered(low, readout.raw_channel_rows, flip_y),
        _ordered(left, readout.raw_channel_columns, flip_x),
    )


def _flips(iy: int, ix: int, readout: Readout) -> tuple[bool, bool]:
    """Return whether a channel reads towards the top and towards the right."""
    return iy == readout.channels_y - 1 and readout.channels_y > 1, readout.amplifier_right[ix]


def _towards_amplifier(iy: int, ix: int, readout: Readout) -> tuple[slice, slice]:
    flip_y, flip_x = _flips(iy, ix, readout)
    return slice(None, None, -1 if flip_y else 1), slice(None, None, -1 if flip_x else 1)


def _ordered(start: int, length: int, backwards: bool) -> slice:
    if not backwards:
        return slice(start, start + length)
    return slice(start + length - 1, start - 1 if start > 0 else None, -1)


def transfer_channels(raw: NDArray[np.float32], readout: Readout, device: Device) -> None:
    """Shift every channel of a raw-format frame to its amplifier, in place."""
    for iy in range(readout.channels_y):
        for ix in range(readout.channels_x):
            channel = raw[channel_slices(iy, ix, readout)]
            packets = np.ascontiguousarray(channel)
            first = readout.prescan_columns
            active = np.ascontiguousarray(packets[:, first : first + readout.channel_columns])
            trail(active, device.trap_parallel, device.trap_release, device.full_well)
            packets[:, first : first + readout.channel_columns] = active
            serial = np.ascontiguousarray(packets.T)
            trail(serial, device.trap_serial, device.trap_release, device.full_well)
            channel[:] = serial.T
