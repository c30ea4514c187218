"""The contract that every plugin keeps."""

from __future__ import annotations

from typing import Any

import astropy.units as u
import numpy as np
from astropy.table import QTable

from csstcore.api import Spectra
from csstcore.testing.contract import *  # noqa: F403

PLUGIN = "sdfits"
CHANNELS = 50


def dumps() -> Spectra:
    """Return the four dumps of one window and polarisation."""
    rows = QTable(
        {
            "SCAN": [6, 6, 7, 7],
            "OBSMODE": ["PSWITCHON:PSWITCHON:TPWCAL"] * 2 + ["PSWITCHOFF:PSWITCHOFF:TPWCAL"] * 2,
            "IFNUM": [0] * 4,
            "PLNUM": [0] * 4,
            "CAL": ["T", "F"] * 2,
            "TCAL": [1.5] * 4 * u.K,
            "EXPOSURE": [30.0] * 4 * u.s,
        }
    )
    counts = np.repeat([[115.0], [105.0], [110.0], [100.0]], CHANNELS, axis=1).astype(np.float32)
    axis = np.tile(np.linspace(1.40e9, 1.42e9, CHANNELS), (4, 1)) * u.Hz
    return Spectra(counts, axis, u.count, rows=rows)


def calibrated() -> Spectra:
    """Return both polarisations of one window."""
    rows = QTable(
        {
            "IFNUM": [0, 0],
            "PLNUM": [0, 1],
            "TSYS": [15.0, 16.0] * u.K,
            "EXPOSURE": [30.0, 30.0] * u.s,
        }
    )
    flux = np.ones((2, CHANNELS), np.float32)
    axis = np.tile(np.linspace(1.40e9, 1.42e9, CHANNELS), (2, 1)) * u.Hz
    return Spectra(flux, axis, u.K, rows=rows)


def examples() -> dict[str, Any]:
    """Return a small call of every stage."""
    return {
        "calibrate_position_switch": ((dumps(),), {}),
        "average_polarisations": ((calibrated(),), {}),
    }
