"""Power at the receiver's input, in kelvin, for a block of dumps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from csst_sim.hstdm.orbit import blue_shift
from csst_sim.hstdm.plan import Source
from csst_sim.hstdm.receiver import Channels, radiation_kelvin
from csst_sim.hstdm.session import HstdmSession
from csst_sim.hstdm.sky import main_beam_kelvin

BACKGROUND_KELVIN = 2.725

Block = NDArray[np.float64]


def load_kelvin(session: HstdmSession, state: str) -> Channels:
    """Return the input when a load is in front: it couples a little to the other one.

    Parameters
    ----------
    session
        The observation.
    state
        ``"HOT"`` or ``"COLD"``.
    """
    receiver = session.receiver
    hot = both_sidebands(session, receiver.hot_kelvin)
    cold = both_sidebands(session, receiver.cold_kelvin)
    if state == "HOT":
        return receiver.hot_coupling * hot + (1 - receiver.hot_coupling) * cold
    return receiver.cold_coupling * cold + (1 - receiver.cold_coupling) * hot


def both_sidebands(session: HstdmSession, temperature_kelvin: float) -> Channels:
    """Return the radiation temperature of a black body, weighted with the sideband gains."""
    gain = session.receiver.signal_gain
    signal = radiation_kelvin(temperature_kelvin, session.signal_hz)
    return np.asarray(
        gain * signal + (1 - gain) * radiation_kelvin(temperature_kelvin, session.image_hz)
    )


def sky_kelvin(session: HstdmSession, dumps: NDArray[Any]) -> Block:
    """Return the input when the sky is in front, shape (dumps, channels).

    Lines of both sidebands folded with their gains, the background, and what the telescope
    itself radiates past the forward beam.

    Parameters
    ----------
    session
        The observation.
    dumps
        Indices of dumps.
    """
    settings = session.settings
    gain = session.receiver.signal_gain
    lines = gain * line_kelvin(session, dumps, session.signal_hz)
    lines += (1 - gain) * line_kelvin(session, dumps, session.image_hz)
    background = both_sidebands(session, BACKGROUND_KELVIN)
    spill = np.stack(
        [both_sidebands(session, float(value)) for value in session.ambient_kelvin[dumps]]
    )
    forward = settings.forward_efficiency
    return np.asarray(
        settings.main_beam_efficiency * lines + forward * background + (1 - forward) * spill
    )


def line_kelvin(session: HstdmSession, dumps: NDArray[Any], observed_hz: Channels) -> Block:
    """Return the main-beam brightness at observed frequencies, shape (dumps, channels)."""
    lsrk = observed_hz / blue_shift(session.approach_kms[dumps])[:, None]
    total = np.zeros(lsrk.shape)
    off = session.schedule.state[dumps] == "OFF"
    for sources, here in ((session.plan.source, ~off), (off_sources(session), off)):
        if here.any() and sources:
            total[here] = main_beam_kelvin(
                sources,
                session.schedule.offset_arcsec[dumps[here]],
                lsrk[here],
                session.settings.aperture_m,
                session.settings.beam_factor,
            )
    return total


def off_sources(session: HstdmSession) -> tuple[Source, ...]:
    """Return what the off position sees: sources with a size, and a line if it is planned."""
    sized = tuple(each for each in session.plan.source if each.size_arcsec is not None)
    peak = session.observation.faults.off_line_kelvin
    if not (peak and session.plan.source):
        return sized
    first = session.plan.source[0]
    return (*sized, replace(first, peak_kelvin=peak, size_arcsec=None, continuum_kelvin=0.0))
