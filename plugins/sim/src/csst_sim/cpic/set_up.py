"""Draws camera, optics and pointing of one coronagraph observation."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import astropy.units as u
import numpy as np
from astropy.time import Time
from numpy.typing import NDArray

from csst_sim.cpic.coronagraph import Coronagraph
from csst_sim.cpic.device import CpicDevice, draw_device
from csst_sim.cpic.exposure import Exposer
from csst_sim.cpic.plan import CpicPlan, Observation, Star
from csst_sim.cpic.session import CpicSession, build_pupil, interval_s
from csst_sim.cpic.settings import CpicCamera, CpicOptics, CpicReadout
from csstcore.api import Meta, NotApplicable, Reference

_POINTING, _BACKGROUND = 0x901, 0xBAC


def set_up_cpic(
    plan: CpicPlan,
    cpic_readout: Reference[CpicReadout],
    cpic_camera: Reference[CpicCamera],
    cpic_optics: Reference[CpicOptics],
    *,
    obs_id: str,
) -> Annotated[CpicSession, "session"]:
    """Draw camera, optics and pointing of one coronagraph observation.

    Parameters
    ----------
    plan
        The plan that holds the observation.
    cpic_readout
        Format of the raw frames.
    cpic_camera
        Ranges from which the camera is drawn, by the plan's ``instrument_seed`` alone.
    cpic_optics
        Telescope, mask and dark zone.
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
    device = draw_device(cpic_camera, cpic_readout, plan.instrument_seed)
    star = plan.star_of(observation)
    zero_point = cpic_optics.filter[plan.filter].zero_point
    background = np.random.default_rng([plan.instrument_seed, _BACKGROUND])
    return CpicSession(
        plan=plan,
        observation=observation,
        star=star,
        exposer=Exposer(
            device,
            cpic_camera,
            cpic_readout,
            plan.effects_of(observation),
            observation.exposure_time_s,
            observation.em_gain,
        ),
        optics=cpic_optics,
        coronagraph=_coronagraph(plan, cpic_optics),
        star_electron_per_s=10 ** (0.4 * (zero_point - star.magnitude)) if star else 0.0,
        background_electron_per_s=background.uniform(*cpic_optics.background_electron_per_s),
        centre=(cpic_readout.active_columns / 2, cpic_readout.active_rows / 2),
        offset_pixel=_offsets(plan, observation, cpic_optics),
        meta=_meta(plan, observation, star, device, cpic_camera, cpic_optics),
    )


def _coronagraph(plan: CpicPlan, optics: CpicOptics) -> Coronagraph:
    return Coronagraph(
        pupil=build_pupil(plan, optics),
        inner_lambda_d=optics.inner_lambda_d,
        outer_lambda_d=optics.outer_lambda_d,
        mask_leak=optics.mask_leak,
        outside_contrast=optics.outside_contrast,
        raw_contrast=plan.raw_contrast,
    )


def _offsets(plan: CpicPlan, observation: Observation, optics: CpicOptics) -> NDArray[np.float64]:
    """Return where the star really is, from its commanded position, shape (frames, 2)."""
    if not plan.effects_of(observation).jitter:
        return np.zeros((observation.frames, 2))
    rng = np.random.default_rng([plan.instrument_seed, _POINTING, int(observation.obs_id)])
    offset = rng.uniform(-optics.offset_pixel, optics.offset_pixel, 2)
    jitter = optics.jitter_pixel * rng.standard_normal((observation.frames, 2))
    return np.asarray(offset + jitter)


def _meta(
    plan: CpicPlan,
    observation: Observation,
    star: Star | None,
    device: CpicDevice,
    camera: CpicCamera,
    optics: CpicOptics,
) -> Meta:
    start = Time(observation.time, format="isot", scale="utc")
    return replace(
        plan.meta,
        telescope="CSST",
        instrument="CPIC",
        obs_id=observation.obs_id,
        project_id=plan.project_id,
        object=star.name if star else observation.file_type,
        target=_target(star) if star else None,
        file_type=observation.file_type,
        level=0,
        detector="EMCCD",
        readout=plan.readout,
        filter=plan.filter,
        time=start,
        end_time=start + observation.frames * interval_s(observation, camera) * u.s,
        exposure_time=observation.exposure_time_s * u.s,
        gain=device.header_gain * u.electron / u.adu,
        read_noise=device.header_read_noise * u.electron,
        em_gain=observation.em_gain * u.dimensionless_unscaled,
        temperature=camera.temperature_kelvin * u.K,
        pixel_scale=optics.pixel_scale_arcsec * u.arcsec,
        right_ascension=star.ra_deg * u.deg if star else None,
        declination=star.dec_deg * u.deg if star else None,
        position_angle=observation.position_angle_deg * u.deg if star else None,
    )


def _target(star: Star) -> str:
    """Return hhmmss+ddmmss of a star."""
    hours = int(star.ra_deg / 15 * 3600) % 86400
    seconds = round(abs(star.dec_deg) * 3600)
    return (
        f"{hours // 3600:02d}{hours // 60 % 60:02d}{hours % 60:02d}"
        f"{'-' if star.dec_deg < 0 else '+'}"
        f"{seconds // 3600:02d}{seconds // 60 % 60:02d}{seconds % 60:02d}"
    )
