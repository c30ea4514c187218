"""Draws the detector, telescope and pointing of one exposure."""

from __future__ import annotations

from typing import Annotated

import astropy.units as u
from astropy.time import Time

from csst_sim.device import Device, draw_device
from csst_sim.focal_plane import place
from csst_sim.plan import Exposure, Plan
from csst_sim.psf import draw_psf
from csst_sim.settings import DetectorRanges, Optics, Readout
from csst_sim.shot import Shot
from csstcore.api import Meta, NotApplicable, Reference


def set_up(
    plan: Plan,
    readout: Reference[Readout],
    detector_ranges: Reference[DetectorRanges],
    optics: Reference[Optics],
    *,
    obs_id: str,
    detector: int,
) -> Annotated[Shot, "shot"]:
    """Draw the detector, telescope and pointing of one exposure.

    Parameters
    ----------
    plan
        The plan that holds the exposure.
    readout
        Format of the raw frame.
    detector_ranges
        Ranges from which the detector is drawn; its truth depends on the plan's
        ``instrument_seed`` and `detector` alone.
    optics
        Telescope, focal plane and filters; drawn by ``instrument_seed``.
    obs_id
        Exposure.
    detector
        Detector, 1 to 30.

    Returns
    -------
    shot
        Truth and settings of the exposure; its ``meta`` is that of the Level 0 file.

    Raises
    ------
    NotApplicable
        If the plan has no such exposure of this detector.
    """
    exposure = plan.exposure_of(obs_id, detector)
    if exposure is None:
        raise NotApplicable(f"plan {plan.name} has no exposure {obs_id} of detector {detector}")
    effects = plan.effects_of(exposure)
    device = draw_device(detector, detector_ranges, readout, plan.instrument_seed)
    filter_name = optics.detector_filter[str(detector)]
    meta = _meta(plan, exposure, detector, filter_name, device, optics)
    return Shot(
        exposure=exposure,
        effects=effects,
        sky=plan.sky,
        readout=readout,
        optics=optics,
        filter=optics.filter.get(filter_name),
        device=device,
        placement=place(detector, exposure, effects, optics, readout, plan.instrument_seed),
        psf=draw_psf(optics, plan.instrument_seed, effects.psf_variation),
        epoch_year=float(meta.time.jyear) if meta.time is not None else 0.0,
        meta=meta,
    )


def _meta(
    plan: Plan,
    exposure: Exposure,
    detector: int,
    filter_name: str,
    device: Device,
    optics: Optics,
) -> Meta:
    start = Time(exposure.time, format="isot", scale="utc")
    duration = exposure.exposure_time_s * u.s
    return Meta(
        telescope="CSST",
        instrument="MSC",
        obs_id=exposure.obs_id,
        object=plan.name,
        file_type=exposure.file_type,
        level=0,
        detector=detector,
        readout=plan.readout,
        filter=filter_name,
        time=start,
        end_time=start + duration,
        exposure_time=duration,
        gain=device.header_gain * u.electron / u.adu,
        read_noise=device.header_read_noise * u.electron,
        saturation=device.full_well * u.electron,
        temperature=173.0 * u.K,
        pixel_scale=optics.pixel_scale_arcsec * u.arcsec,
        right_ascension=exposure.ra_deg * u.deg,
        declination=exposure.dec_deg * u.deg,
        position_angle=exposure.position_angle_deg * u.deg,
    )
