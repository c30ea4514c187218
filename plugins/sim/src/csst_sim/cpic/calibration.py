"""The simulated camera's truth in the form of calibration references."""

from __future__ import annotations

from collections.abc import Sequence

import astropy.units as u
import numpy as np
from astropy.table import QTable

from csst_sim.cpic.device import CpicDevice
from csst_sim.cpic.settings import CpicReadout
from csstcore.api import Image, Meta, Table

_RATE = u.electron / u.s
_CURVE_COUNTS = 60
_TRAIL = 8


def true_references(
    device: CpicDevice, readout: CpicReadout, meta: Meta, em_gains: Sequence[float]
) -> dict[str, Image | Table]:
    """Return what perfect calibration would find, by the name of the reference.

    The bias is not among them: its zero is whatever calibration takes for the level of a row.

    Parameters
    ----------
    device
        The camera.
    readout
        Format of its frames.
    meta
        Facts about a frame of it.
    em_gains
        Commanded EM gains at which gain and linearity are given, 1 and above.
    """
    rows = readout.active[0]
    defects = Image(device.dark[rows].copy(), _RATE, meta=meta)
    defects.set_flag("hot", defects.data >= 0.2)
    defects.set_flag("warm", (defects.data >= 0.02) & (defects.data < 0.2))
    defects.set_flag("bad", device.flat < 0.5)
    return {
        "flat": _image(device.flat, u.one, meta),
        "dark": _image(device.dark[rows], _RATE, meta),
        "cic": _image(device.cic[rows], u.electron, meta),
        "bad_pixels": defects,
        "em_gain": Table(_em_gains(device, [gain for gain in em_gains if gain > 1]), meta=meta),
        "nonlinearity": Table(_curves(device, em_gains), meta=meta),
        "cti": Table(_transfers(device), meta=meta),
    }


def _image(data: np.ndarray, unit: u.UnitBase, meta: Meta) -> Image:
    planes = np.zeros(data.shape, np.float32), np.zeros(data.shape, np.uint16)
    return Image(np.array(data, np.float32), unit, *planes, meta=meta)


def _em_gains(device: CpicDevice, commanded: Sequence[float]) -> QTable:
    true = [device.em_gain(gain) for gain in commanded]
    table = QTable({"commanded_em_gain": list(commanded)})
    for name in ("em_gain", "likelihood_em_gain", "moments_em_gain"):
        table[name], table[f"{name}_error"] = true, 0.0
    table["rate"], table["serial_rate"] = 0.0 * u.electron, device.serial_cic * u.electron
    table["serial_rate_error"] = 0.0 * u.electron
    table["chi_square"], table["frames"] = 1.0, 0
    return table


def _curves(device: CpicDevice, em_gains: Sequence[float]) -> QTable:
    """Return the factor of measured counts at every gain, from its model."""
    electron = np.linspace(0, 1, _CURVE_COUNTS + 1)[1:] * device.register_full_well
    part = electron / device.register_full_well
    tables = []
    for gain in em_gains:
        linear, square = device.loss(device.em_gain(gain))
        kept = 1 - linear * part - square * part**2
        tables.append((np.full(len(part), gain), electron * kept / device.gain, 1 / kept))
    gains, counts, factor = (np.concatenate(column) for column in zip(*tables, strict=True))
    table = QTable({"em_gain": gains, "counts": counts * u.adu, "relative_gain": factor})
    table["relative_gain_error"], table["residual"] = 0.0, 0.0
    return table


def _transfers(device: CpicDevice) -> QTable:
    table = QTable()
    for name, inefficiency, release in (
        ("vertical", device.cti_vertical, device.cti_vertical_pixel),
        ("horizontal", device.cti_horizontal, device.cti_horizontal_pixel),
    ):
        table[f"{name}_inefficiency"], table[f"{name}_inefficiency_error"] = [inefficiency], 0.0
        table[f"{name}_release"] = [release] * u.pixel
        table[f"{name}_release_error"] = 0.0 * u.pixel
        table[f"{name}_chi_square"] = 1.0
        for part in ("trail", "trail_error", "trail_fit"):
            table[f"{name}_{part}"] = np.zeros((1, _TRAIL)) * u.electron
    return table
