"""Draws receiver, orbit and schedule of one terahertz observation."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import astropy.units as u
import numpy as np
from astropy.time import Time
from numpy.typing import NDArray

from csst_sim.hstdm.orbit import approach_kms, fly
from csst_sim.hstdm.plan import HstdmPlan, Observation
from csst_sim.hstdm.receiver import draw_receiver
from csst_sim.hstdm.schedule import Schedule, schedule
from csst_sim.hstdm.session import HstdmSession, tuned_lo_hz
from csst_sim.hstdm.settings import HstdmReceiver
from csstcore.api import Meta, NotApplicable, Reference

_DAY_S = 86400.0


def set_up_hstdm(
    plan: HstdmPlan, hstdm_receiver: Reference[HstdmReceiver], *, obs_id: str
) -> Annotated[HstdmSession, "session"]:
    """Draw receiver, orbit and schedule of one terahertz observation.

    Parameters
    ----------
    plan
        The plan that holds the observation.
    hstdm_receiver
        Ranges from which the receiver is drawn, by the plan's ``instrument_seed`` alone.
    obs_id
        Observation.

    Returns
    -------
    session
        Truth and settings; its ``meta`` is that of the Level 0 file.

    Raises
    ------
    NotApplicable
        If the plan has no such observation.
    """
    observation = plan.observation_of(obs_id)
    if observation is None:
        raise NotApplicable(f"plan {plan.name} has no observation {obs_id}")
    dumps = schedule(observation)
    start = Time(observation.time, format="isot", scale="utc")
    mjd = float(start.mjd) + dumps.seconds / _DAY_S
    ra, dec = _pointings(observation, dumps.offset_arcsec)
    track = fly(mjd, hstdm_receiver)
    middle = fly(np.array([mjd.mean()]), hstdm_receiver)
    return HstdmSession(
        plan=plan,
        observation=observation,
        settings=hstdm_receiver,
        receiver=draw_receiver(plan, hstdm_receiver),
        schedule=dumps,
        track=track,
        mjd=mjd,
        ra_deg=ra,
        dec_deg=dec,
        approach_kms=approach_kms(track, ra, dec),
        lo_hz=tuned_lo_hz(plan, observation, middle, hstdm_receiver.if_centre_hz),
        ambient_kelvin=_ambient(mjd, hstdm_receiver),
        meta=_meta(plan, observation, dumps, start),
    )


def _pointings(
    observation: Observation, offset_arcsec: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return offsets in the tangential plane of the target as positions, deg."""
    east, north = np.radians(offset_arcsec / 3600).T
    dec0 = np.radians(observation.dec_deg)
    depth = np.cos(dec0) - north * np.sin(dec0)
    ra = observation.ra_deg + np.degrees(np.arctan2(east, depth))
    dec = np.arctan2(np.sin(dec0) + north * np.cos(dec0), np.hypot(east, depth))
    return ra % 360, np.degrees(dec)


def _ambient(mjd: NDArray[np.float64], settings: HstdmReceiver) -> NDArray[np.float64]:
    """Return the temperature of the surroundings, which lags behind light and shadow."""
    step_s, before_s = 20.0, 3 * settings.thermal_time_s
    seconds = np.arange(-before_s, (mjd[-1] - mjd[0]) * _DAY_S + step_s, step_s)
    lit = fly(mjd[0] + seconds / _DAY_S, settings).sunlit
    target = np.where(lit, settings.sunlit_kelvin, settings.shadow_kelvin)
    value, path = float(target.mean()), np.empty(len(seconds))
    for index, aim in enumerate(target):
        value += (aim - value) * (1 - np.exp(-step_s / settings.thermal_time_s))
        path[index] = value
    return np.asarray(np.interp((mjd - mjd[0]) * _DAY_S, seconds, path))


def _meta(plan: HstdmPlan, observation: Observation, dumps: Schedule, start: Time) -> Meta:
    return replace(
        plan.meta,
        telescope="CSST",
        instrument="HSTDM",
        obs_id=observation.obs_id,
        project_id=plan.project_id,
        object=plan.name,
        file_type=observation.file_type,
        level=0,
        detector=1,
        filter="SIS",
        time=start + (dumps.seconds[0] - observation.dump_s / 2) * u.s,
        end_time=start + (dumps.seconds[-1] + observation.dump_s / 2) * u.s,
        exposure_time=len(dumps.seconds) * observation.dump_s * u.s,
        right_ascension=observation.ra_deg * u.deg,
        declination=observation.dec_deg * u.deg,
    )
