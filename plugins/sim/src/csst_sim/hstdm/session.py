"""One observation: its dumps, where they look, and the state of the receiver in each."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from csst_sim.hstdm.orbit import LIGHT_KMS, Track, approach_kms, blue_shift
from csst_sim.hstdm.plan import HstdmPlan, Observation
from csst_sim.hstdm.receiver import Receiver
from csst_sim.hstdm.schedule import Schedule
from csst_sim.hstdm.settings import HstdmReceiver
from csstcore.api import Meta

Dumps = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class HstdmSession:
    """Truth and settings of one observation; arrays have the shape (dumps,)."""

    plan: HstdmPlan
    observation: Observation
    settings: HstdmReceiver
    receiver: Receiver
    schedule: Schedule
    track: Track
    mjd: Dumps
    """True middle of each dump, UTC."""
    ra_deg: Dumps
    dec_deg: Dumps
    approach_kms: Dumps
    """Velocity towards the pointing, local standard of rest."""
    lo_hz: float
    """Local oscillator, the same for all dumps."""
    ambient_kelvin: Dumps
    """Surroundings of the receiver."""
    meta: Meta = field(default_factory=Meta)

    @property
    def signal_hz(self) -> Dumps:
        """Observed frequencies of the signal sideband, shape (channels,)."""
        sign = 1 if self.plan.sideband == "USB" else -1
        return np.asarray(self.lo_hz + sign * self.receiver.if_hz)

    @property
    def image_hz(self) -> Dumps:
        """Observed frequencies of the image sideband, shape (channels,)."""
        return np.asarray(2 * self.lo_hz - self.signal_hz)


def tuned_lo_hz(plan: HstdmPlan, observation: Observation, track: Track, if_hz: float) -> float:
    """Return the local oscillator that brings the line to the middle of the band.

    Parameters
    ----------
    plan
        Line, velocity and sideband.
    observation
        Where the target is.
    track
        Of one time, the middle of the observation.
    if_hz
        Middle of the band.
    """
    line_hz = plan.line_ghz * 1e9 * (1 - plan.tuned_velocity_kms / LIGHT_KMS)
    shift = blue_shift(approach_kms(track, observation.ra_deg, observation.dec_deg))
    return float(line_hz * shift[0] - (if_hz if plan.sideband == "USB" else -if_hz))
