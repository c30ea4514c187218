"""Exposures of the small test detector, made without the framework."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest

from csst_sim.direct import Simulation, shot_of, simulate
from csst_sim.plan import Effects, parse_plan
from csst_sim.shot import Shot

OBS_ID = "10100000001"


def plan_values(**changes: Any) -> dict[str, Any]:
    """A plan of one exposure.

    Entries of the exposure, or ``readout, detector, instrument_seed, effects, sky``; `only`
    names the effects that are on.
    """
    values: dict[str, Any] = {
        "name": "test",
        "readout": changes.pop("readout", "920x608"),
        "detectors": [changes.pop("detector", 7)],
        "instrument_seed": changes.pop("instrument_seed", 1),
        "sky": changes.pop("sky", {}),
        "effects": changes.pop("effects", {}),
    }
    if "only" in changes:
        names = changes.pop("only")
        values["effects"] = {entry.name: entry.name in names for entry in fields(Effects)}
    exposure = {"obs_id": OBS_ID, "time": "2028-01-01T00:00:00Z", "ra_deg": 180.0, "dec_deg": 30.0}
    values["exposure"] = [exposure | changes]
    is_science = changes.get("file_type", "SCIE") == "SCIE"
    return values | {"kind": "imaging" if is_science else "calibration"}


@pytest.fixture(scope="session")
def make_shot() -> Callable[..., Shot]:
    def make(**changes: Any) -> Shot:
        values = plan_values(**changes)
        return shot_of(parse_plan(values, "plan.toml"), OBS_ID, values["detectors"][0])

    return make


@pytest.fixture(scope="session")
def make_frame() -> Callable[..., Simulation]:
    def make(seed: int = 1, **changes: Any) -> Simulation:
        values = plan_values(**changes)
        return simulate(parse_plan(values, "plan.toml"), OBS_ID, values["detectors"][0], seed)

    return make


@pytest.fixture(scope="session")
def make_values() -> Callable[..., dict[str, Any]]:
    return plan_values
