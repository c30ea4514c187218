"""What calibration should find: the sky, the receiver, and references made beside it."""

from __future__ import annotations

from typing import Annotated

import astropy.units as u
import numpy as np
from astropy.table import QTable
from astropy.time import Time

from csst_sim.hstdm.orbit import blue_shift, fly
from csst_sim.hstdm.session import HstdmSession
from csst_sim.hstdm.sky import main_beam_kelvin
from csstcore.api import Spectra, Table, TimeTable, replace

_STEP_S = 10.0
_DAY_S = 86400.0


def record_hstdm_truth(
    session: HstdmSession,
) -> tuple[Annotated[Spectra, "sky_truth"], Annotated[Table, "receiver_truth"]]:
    """Record the sky at the target and the receiver channel by channel.

    Parameters
    ----------
    session
        The observation.

    Returns
    -------
    sky_truth
        Main-beam brightness towards the target at the local standard of rest, one row.
    receiver_truth
        One row per channel: gain, receiver temperature, gain of the signal sideband; couplings to
        the loads, the same for all.
    """
    middle = np.array([session.approach_kms.mean()])
    lsrk = session.signal_hz / blue_shift(middle)
    brightness = main_beam_kelvin(
        session.plan.source,
        np.zeros((1, 2)),
        lsrk[None, :],
        session.settings.aperture_m,
        session.settings.beam_factor,
    )
    receiver = session.receiver
    channels = QTable(
        {
            "frequency": session.signal_hz * u.Hz,
            "image_frequency": session.image_hz * u.Hz,
            "gain": receiver.gain * u.count / u.K / u.s,
            "t_rec": receiver.t_rec_kelvin * u.K,
            "sideband_gain": receiver.signal_gain,
            "hot_coupling": np.full(len(receiver.gain), receiver.hot_coupling),
            "cold_coupling": np.full(len(receiver.gain), receiver.cold_coupling),
        }
    )
    sky = Spectra(
        brightness.astype(np.float32),
        lsrk * u.Hz,
        u.K,
        rows=QTable({"object": [session.plan.name]}),
        meta=session.meta,
    )
    return sky, Table(channels, session.meta)


def measure_sideband_gain(session: HstdmSession) -> Annotated[Spectra, "sideband_gain"]:
    """Measure the sideband gain as a laboratory does, with errors.

    Parameters
    ----------
    session
        The observation; its receiver is that of the plan.
    """
    receiver = session.receiver
    rows = QTable({"lo_frequency": [session.lo_hz] * u.Hz, "sideband": [session.plan.sideband]})
    return Spectra(
        receiver.measured_signal_gain[None, :].astype(np.float32),
        receiver.if_hz * u.Hz,
        variance=np.square(receiver.measured_error)[None, :].astype(np.float32),
        rows=rows,
        meta=session.meta,
    )


def record_orbit(session: HstdmSession) -> Annotated[TimeTable, "orbit"]:
    """Record position and velocity of the telescope every ten seconds.

    Parameters
    ----------
    session
        The observation; the table begins and ends a minute beyond it.
    """
    first, last = session.mjd[0] - 60 / _DAY_S, session.mjd[-1] + 60 / _DAY_S
    mjd = np.arange(first, last + _STEP_S / _DAY_S, _STEP_S / _DAY_S)
    track = fly(mjd, session.settings)
    time = Time(mjd, format="mjd", scale="utc")
    table = QTable({"time": time})
    for index, name in enumerate("xyz"):
        table[name] = track.position_km[:, index] * u.km
    for index, name in enumerate("xyz"):
        table[f"v{name}"] = track.velocity_kms[:, index] * u.km / u.s
    return TimeTable(table, replace(session.meta, time=time[0], end_time=time[-1]))
