"""A terahertz observation in one call, for notebooks and tests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from csst_sim.direct import shipped
from csst_sim.hstdm.observe import observe_hstdm
from csst_sim.hstdm.plan import HstdmPlan
from csst_sim.hstdm.session import HstdmSession
from csst_sim.hstdm.set_up import set_up_hstdm
from csst_sim.hstdm.settings import HstdmReceiver
from csst_sim.hstdm.truth import measure_sideband_gain, record_hstdm_truth
from csstcore.api import Spectra, Table


@dataclass(frozen=True, eq=False)
class HstdmSimulation:
    """One simulated observation."""

    session: HstdmSession
    dumps: Spectra
    """Level 0."""
    dump_truth: Table
    hit_truth: Table
    sky_truth: Spectra
    receiver_truth: Table
    sideband_gain: Spectra
    """As a laboratory measured it."""


def hstdm_session(plan: HstdmPlan, obs_id: str) -> HstdmSession:
    """Return the truth of one observation, from the settings shipped with this plugin."""
    settings = shipped("hstdm_receiver_proposed.toml", HstdmReceiver)
    return set_up_hstdm(plan, settings, obs_id=obs_id)


def simulate_hstdm(plan: HstdmPlan, obs_id: str, seed: int = 1) -> HstdmSimulation:
    """Run the stages of `sim.hstdm` on one observation.

    Parameters
    ----------
    plan
        Any plan, for example of `csst_sim.hstdm.plan.parse_plan`.
    obs_id
        What to simulate.
    seed
        Noise, drift and cosmic rays; the receiver has a seed of its own in the plan.
    """
    session = hstdm_session(plan, obs_id)
    rng = np.random.default_rng([seed, int(obs_id)])
    dumps, dump_truth, hit_truth = observe_hstdm(session, rng=rng)
    sky, receiver = record_hstdm_truth(session)
    gain = measure_sideband_gain(session)
    return HstdmSimulation(session, dumps, dump_truth, hit_truth, sky, receiver, gain)
