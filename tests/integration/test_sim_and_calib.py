"""Simulated raw frames and calibration agree on the format of the survey camera.

They share no code, and each has its own description of the raw frame.
"""

from __future__ import annotations

import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter

import csst_msc
from csst_calib.readout import Readout
from csst_calib.stages.gain import apply_gain
from csst_calib.stages.overscan import subtract_overscan
from csst_sim.direct import Simulation, simulate
from csst_sim.plan import Effects, parse_plan

OBS_ID = "10100000001"


def simulated(*only: str, **exposure: Any) -> Simulation:
    """A frame of the small test detector with nothing but the named effects."""
    plan = {
        "name": "test",
        "kind": "imaging",
        "readout": "920x608",
        "detectors": [7],
        "effects": {entry.name: entry.name in only for entry in fields(Effects)},
        "exposure": [{"obs_id": OBS_ID, "time": "2028-01-01T00:00:00"} | exposure],
    }
    return simulate(parse_plan(plan, "plan"), OBS_ID, 7)


@pytest.fixture(scope="module")
def readout() -> Readout:
    folder = Path(csst_msc.__file__).parent / "references" / "readout"
    (path,) = folder.glob("*920x608.toml")
    return TypeAdapter(Readout).validate_python(tomllib.loads(path.read_text()))


def test_electrons_of_a_frame_come_back(readout: Readout) -> None:
    """Cosmic rays are where the truth has them, in electrons, in all 16 channels."""
    frame = simulated("cosmic_rays")
    image = apply_gain(subtract_overscan(frame.raw, readout), readout)
    deposit = frame.cosmic_rays.data
    assert image.data.shape == deposit.shape
    for rows in (slice(0, 288), slice(288, 576)):
        assert all((deposit[rows, ix * 72 : ix * 72 + 72] > 100).any() for ix in range(8))
    # half a unit of the converter in value and in bias, and the error of the gain
    allowed = 1.2 + 0.005 * deposit
    assert (np.abs(image.data - deposit) < allowed).all()


def test_overscan_removes_level_settling_and_drift_of_the_bias(readout: Readout) -> None:
    frame = simulated("read_noise", "bias_structure", exposure_time_s=0.0)
    image = subtract_overscan(frame.raw, readout)
    assert abs(np.median(image.data)) < 1.0
    assert image.data.std() < 6.0
