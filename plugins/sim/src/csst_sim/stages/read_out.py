"""Makes the raw frame, and lists the detector's truth."""

from __future__ import annotations

from typing import Annotated

import astropy.units as u
import numpy as np
from astropy.table import QTable

from csst_sim.effects.digitisation import digitise
from csst_sim.shot import Shot
from csstcore.api import Image, Table, replace


def read_out(
    transferred: Image, shot: Shot, *, rng: np.random.Generator
) -> tuple[Annotated[Image, "raw"], Annotated[Table, "settings"]]:
    """Amplify and digitise all channels: the raw frame.

    ``adu = (q (1 - loss q) + noise) / gain + bias``, cut at 65535; bias has a level per channel,
    a pattern of columns, a settling after the first columns, and a drift along rows.

    Parameters
    ----------
    transferred
        Electrons in the raw format.
    shot
        The exposure.
    rng
        Read noise and drift.

    Returns
    -------
    raw
        Level 0, uint16, adu; ``meta`` has gains and read noises as the header tells them.
    settings
        The truth of each channel: ``channel`` (from 1), ``gain, read_noise, bias_level,
        nonlinearity``, and the detector's ``full_well, dark, prnu``.
    """
    device, effects = shot.device, shot.effects
    data = digitise(transferred.data, shot.readout, device, effects, rng)
    raw = replace(transferred, data=data, unit=u.adu)
    return raw, Table(_settings(shot), meta=shot.meta)


def _settings(shot: Shot) -> QTable:
    device, effects = shot.device, shot.effects
    channels = shot.readout.channels
    same = np.ones(channels)
    return QTable(
        {
            "channel": np.arange(1, channels + 1, dtype=np.int32),
            "gain": device.gain * u.electron / u.adu,
            "read_noise": device.read_noise * effects.read_noise * u.electron,
            "bias_level": device.bias_level * u.adu,
            "nonlinearity": device.nonlinearity * effects.nonlinearity,
            "full_well": same * device.full_well * u.electron,
            "dark": same * device.dark * effects.dark * u.electron / u.s,
            "prnu": same * device.prnu * effects.prnu,
        }
    )
