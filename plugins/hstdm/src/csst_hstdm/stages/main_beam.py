"""Antenna temperature to main-beam temperature."""

from __future__ import annotations

import numpy as np

from csst_hstdm.dump_rows import rows_of
from csst_hstdm.receiver import Receiver
from csst_hstdm.stages.calibrate import ANTENNA
from csstcore.api import InPlace, NotApplicable, Reference, Spectra

MAIN_BEAM = "T_mb"


def to_main_beam(dumps: InPlace[Spectra], receiver: Reference[Receiver]) -> Spectra:
    """Convert antenna temperatures to main-beam temperatures.

    ``T_mb = T_A* eta_l / eta_mb``: the brightness of a source that fills the main beam and
    nothing else.

    Parameters
    ----------
    dumps
        With ``temperature_scale`` in the rows.
    receiver
        Forward and main-beam efficiency.
    """
    rows = rows_of(dumps)
    if "temperature_scale" not in rows.colnames or set(rows["temperature_scale"]) != {ANTENNA}:
        raise NotApplicable(f"not all spectra are antenna temperatures ({ANTENNA})")
    factor = np.float32(receiver.eta_l / receiver.eta_mb)
    dumps.flux *= factor
    if dumps.variance is not None:
        dumps.variance *= factor * factor
    rows["temperature_scale"] = np.full(len(rows), MAIN_BEAM)
    return dumps
