"""`Ptc`: the photon transfer curve of every channel of a detector."""

from __future__ import annotations

from dataclasses import dataclass, field

from astropy.table import QTable

from csstcore.api import Meta


@dataclass(slots=True, eq=False)
class Ptc:
    """What was measured at each level, and the models fitted to it."""

    levels: QTable
    """One row per channel and exposure time: ``channel`` (from 1), ``exposure_time`` (s),
    ``mean`` (adu), ``variance`` and ``variance_error`` (adu^2), ``covariance`` of shape
    (rows, lags, lags) (adu^2, rows and columns of the lag), ``pixels``, ``saturated``
    (fraction), ``used`` (1 if the fit used it), ``residual`` (measured over fitted - 1)."""
    fit: QTable
    """One row per channel, see `csst_calib.stages.measure_ptc.measure_ptc`."""
    meta: Meta = field(default_factory=Meta)
