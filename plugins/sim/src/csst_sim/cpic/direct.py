"""Coronagraph frames and cubes in one call, for notebooks and tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import astropy.units as u
import numpy as np
from astropy.time import Time
from numpy.typing import NDArray

from csst_sim.cpic.cube import SimulatedCube, simulate_cube
from csst_sim.cpic.device import CpicDevice, draw_device
from csst_sim.cpic.effects import CpicEffects
from csst_sim.cpic.exposure import Exposer
from csst_sim.cpic.observe import observe_cpic, record_planets
from csst_sim.cpic.plan import CpicPlan
from csst_sim.cpic.series import Series, take_series
from csst_sim.cpic.session import CpicSession
from csst_sim.cpic.set_up import set_up_cpic
from csst_sim.cpic.settings import CpicCamera, CpicOptics, CpicReadout
from csst_sim.cpic.truth import CpicTruth
from csst_sim.direct import shipped
from csstcore.api import Image, Meta, NotApplicable, Table

__all__ = [
    "CpicSimulation",
    "SimulatedCube",
    "SimulatedFrames",
    "cpic_session",
    "simulate_cpic",
    "simulate_cube",
    "simulate_frames",
]


@dataclass(frozen=True, eq=False)
class SimulatedFrames:
    """Raw frames with everything that is true about them."""

    series: Series
    exposer: Exposer
    rate: NDArray[np.float32]
    """Light, electrons per second of pixels with mean response, active area."""

    @property
    def frames(self) -> list[Image]:
        """Level 0, adu (uint16), as `cpic.l0` gives them."""
        return self.series.frames

    @property
    def hit_truth(self) -> Table:
        """Pixels that cosmic rays and their tails touched, for `csst_sim.cpic.series.hit_mask`."""
        return self.series.hit_truth

    @property
    def device(self) -> CpicDevice:
        """The camera as it really is: flat, dark, CIC, CTI, non-linearity, gains."""
        return self.exposer.device

    @property
    def readout(self) -> CpicReadout:
        """Format of the raw frames."""
        return self.exposer.readout

    @property
    def em_gain(self) -> float:
        """True EM gain; the frames carry the commanded one."""
        return self.exposer.em_gain


def simulate_frames(
    rate: float | NDArray[np.float32] = 0.0,
    *,
    frames: int = 10,
    exposure_time_s: float = 10.0,
    em_gain: float = 1.0,
    file_type: str = "SCIE",
    readout: str = "176x136",
    effects: CpicEffects | None = None,
    instrument_seed: int = 1,
    seed: int = 1,
    obs_id: str = "40100000001",
    position_angle_deg: float = 0.0,
    time: str = "2028-01-01T00:00:00",
) -> SimulatedFrames:
    """Expose the simulated EMCCD to a given image.

    Parameters
    ----------
    rate
        Electrons per second of pixels with mean response: one number, or the shape of the
        active area (128 x 128 in the small format).
    frames, exposure_time_s, em_gain, file_type, obs_id, position_angle_deg, time
        Of the file; `em_gain` is the commanded one, the true one differs by a few per cent.
    readout
        ``"176x136"`` (for tests) or ``"1080x1050"``.
    effects
        What is simulated; everything by default. ``stage_statistics`` is on: one electron's
        output has the excess noise of 604 stages (F^2 of 1.967 to 1.978, a shape of the gamma
        law of 1.02 to 1.03), from which the exponential law differs by up to 1.4 %.
    instrument_seed
        Draws the camera: calibration and science with the same one belong together.
    seed
        Draws the noise.
    """
    camera = shipped("cpic_camera_proposed.toml", CpicCamera)
    layout = shipped(f"cpic_readout_{readout}.toml", CpicReadout)
    exposer = Exposer(
        draw_device(camera, layout, instrument_seed),
        camera,
        layout,
        effects or CpicEffects(),
        exposure_time_s,
        em_gain,
    )
    light = np.broadcast_to(np.asarray(rate, np.float32), layout.shape)
    start = Time(time, format="isot", scale="utc")
    cadence_s = exposure_time_s + camera.frame_transfer_s
    meta = Meta(
        instrument="CPIC",
        detector="EMCCD",
        obs_id=obs_id,
        file_type=file_type,
        level=0,
        readout=readout,
        time=start,
        end_time=start + frames * cadence_s * u.s,
        exposure_time=exposure_time_s * u.s,
        em_gain=em_gain * u.dimensionless_unscaled,
        gain=exposer.device.header_gain * u.electron / u.adu,
        read_noise=exposer.device.header_read_noise * u.electron,
        temperature=camera.temperature_kelvin * u.K,
        position_angle=position_angle_deg * u.deg,
    )
    rng = np.random.default_rng([seed, int(obs_id)])
    series = take_series(exposer, (light for _ in range(frames)), meta, rng)
    return SimulatedFrames(series, exposer, np.array(light))


@dataclass(frozen=True, eq=False)
class CpicSimulation:
    """One simulated observation."""

    session: CpicSession
    frames: Sequence[Image]
    """Level 0, adu."""
    truth: CpicTruth
    frame_truth: Table
    hit_truth: Table
    planets: Table | None
    """None where the star has none."""


def cpic_session(plan: CpicPlan, obs_id: str) -> CpicSession:
    """Return the truth of one observation, from the settings shipped with this plugin."""
    return set_up_cpic(
        plan,
        shipped(f"cpic_readout_{plan.readout}.toml", CpicReadout),
        shipped("cpic_camera_proposed.toml", CpicCamera),
        shipped("cpic_optics_proposed.toml", CpicOptics),
        obs_id=obs_id,
    )


def simulate_cpic(plan: CpicPlan, obs_id: str, seed: int = 1) -> CpicSimulation:
    """Run the stages of `sim.cpic` on one observation.

    Parameters
    ----------
    plan
        Any plan, for example of `csst_sim.cpic.plan.parse_plan`.
    obs_id
        What to simulate.
    seed
        Noise and cosmic rays; camera, speckles and pointing have a seed of their own in the plan.
    """
    session = cpic_session(plan, obs_id)
    rng = np.random.default_rng([seed, int(obs_id)])
    frames, truth, frame_truth, hit_truth = observe_cpic(session, rng=rng)
    try:
        planets = record_planets(session)
    except NotApplicable:
        planets = None
    return CpicSimulation(session, frames, truth, frame_truth, hit_truth, planets)
