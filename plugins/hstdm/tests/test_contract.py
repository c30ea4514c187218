"""The contract that every plugin keeps."""

from __future__ import annotations

from typing import Any

import astropy.units as u
import numpy as np
from astropy.table import QTable

from csstcore.api import Spectra
from csstcore.testing.contract import *  # noqa: F403

PLUGIN = "hstdm"


def switched_dumps() -> Spectra:
    """ON and OFF of a ground telescope, each with and without noise diode."""
    rows = QTable(
        {
            "state": ["OFF", "OFF", "ON", "ON"],
            "scan": [6, 6, 7, 7],
            "sequence": [1, 1, 2, 2],
            "diode": [False, True] * 2,
            "t_cal": [1.5] * 4 * u.K,
            "exposure_time": [30.0] * 4 * u.s,
        }
        | {name: [0] * 4 for name in ("window", "polarisation", "feed", "subscan")}
    )
    counts = np.repeat([[100.0], [110.0], [105.0], [115.0]], 50, axis=1).astype(np.float32)
    return Spectra(counts, np.linspace(1.40e9, 1.42e9, 50) * u.Hz, u.count, rows=rows)


def examples() -> dict[str, Any]:
    """A call of every stage."""
    return {"calibrate_noise_diode": ((switched_dumps(),), {})}
