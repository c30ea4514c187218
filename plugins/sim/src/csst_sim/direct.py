"""A simulation in one call, for notebooks and tests: the stages without the framework."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from csst_sim.plan import Plan
from csst_sim.settings import DetectorRanges, Optics, Readout, StrayLight
from csst_sim.shot import Shot
from csst_sim.stages.charge import add_cosmic_rays, apply_brighter_fatter, saturate, transfer
from csst_sim.stages.light import add_sky, expose, light_lamp
from csst_sim.stages.read_out import read_out
from csst_sim.stages.scene import draw_scene
from csst_sim.stages.set_up import set_up
from csst_sim.stages.stray_light import add_satellite_trails, add_stray_light
from csstcore.api import Image, NotApplicable, Table

_SATELLITES = 4
_REFERENCES = Path(__file__).parent / "references"


@dataclass(frozen=True, eq=False)
class Simulation:
    """One simulated exposure of one detector."""

    shot: Shot
    raw: Image
    """Level 0, adu."""
    cosmic_rays: Image
    """Electrons deposited in each active pixel."""
    settings: Table
    """True properties by channel."""
    truth: Table | None
    """True sources; None for calibration exposures."""
    trails: Table | None = None
    """True trails of satellites, if the plan switches them on."""
    stray_light: Table | None = None
    """True ghosts and haloes, if the plan switches them on."""


def shipped(name: str, kind: type[Any]) -> Any:
    """Return a TOML file of ``references/`` as the settings it holds."""
    with (_REFERENCES / name).open("rb") as stream:
        return TypeAdapter(kind).validate_python(tomllib.load(stream))


def shot_of(plan: Plan, obs_id: str, detector: int) -> Shot:
    """Return the truth of one exposure, from the settings shipped with this plugin."""
    return set_up(
        plan,
        shipped(f"readout_{plan.readout}.toml", Readout),
        shipped("msc_detector_ranges.toml", DetectorRanges),
        shipped("msc_optics.toml", Optics),
        obs_id=obs_id,
        detector=detector,
    )


def simulate(plan: Plan, obs_id: str, detector: int, seed: int = 1) -> Simulation:
    """Run the stages of `sim.msc_imaging` or `sim.msc_calibration` on one exposure.

    Parameters
    ----------
    plan
        Any plan, for example of `csst_sim.plan.parse_plan`.
    obs_id, detector
        What to simulate.
    seed
        Photons, cosmic rays and read noise; the sky and the instrument have seeds of their own
        in the plan.
    """
    shot = shot_of(plan, obs_id, detector)
    photons, particles, noise = np.random.default_rng([seed, int(obs_id), detector]).spawn(3)
    truth, trails, stray_light = None, None, None
    if plan.kind == "imaging":
        image, truth = draw_scene(shot)
        image = _if_applicable(add_sky, image, shot)
        numbers = shipped("msc_stray_light.toml", StrayLight)
        if shot.effects.ghosts or shot.effects.scattered_light:
            image, stray_light = add_stray_light(image, shot, numbers)
        if shot.effects.satellite_trails:
            satellites = np.random.default_rng([seed, int(obs_id), detector, _SATELLITES])
            image, trails = add_satellite_trails(image, shot, numbers, rng=satellites)
    else:
        image = light_lamp(shot)
    image = expose(image, shot, rng=photons)
    image = _if_applicable(apply_brighter_fatter, image, shot)
    image, cosmic_rays = add_cosmic_rays(image, shot, rng=particles)
    image = _if_applicable(saturate, image, shot)
    raw, settings = read_out(transfer(image, shot), shot, rng=noise)
    return Simulation(shot, raw, cosmic_rays, settings, truth, trails, stray_light)


def _if_applicable(stage: Callable[[Image, Shot], Image], image: Image, shot: Shot) -> Image:
    try:
        return stage(image, shot)
    except NotApplicable:
        return image
