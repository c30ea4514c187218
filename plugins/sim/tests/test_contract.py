"""The contract of plugins."""

from __future__ import annotations

from typing import Any

import numpy as np

from csst_sim.cpic.plan import parse_plan as parse_cpic_plan
from csst_sim.cpic.set_up import set_up_cpic
from csst_sim.cpic.settings import CpicCamera, CpicOptics, CpicReadout
from csst_sim.direct import shipped, shot_of
from csst_sim.hstdm.direct import hstdm_session
from csst_sim.hstdm.plan import parse_plan as parse_hstdm_plan
from csst_sim.hstdm.settings import HstdmReceiver
from csst_sim.plan import parse_plan
from csst_sim.settings import DetectorRanges, Optics, Readout, StrayLight
from csst_sim.stages.catalogues import draw_catalogs
from csst_sim.stages.charge import transfer
from csst_sim.stages.light import light_lamp
from csstcore.testing.contract import *  # noqa: F403

PLUGIN = "sim"
OBS_ID = "10100000001"
HSTDM_ID = "50000000001"
CPIC_ID = "40100000001"


def examples() -> dict[str, tuple[tuple[Any, ...], dict[str, Any]]]:
    exposure = {"obs_id": OBS_ID, "time": "2028-01-01T00:00:00", "ra_deg": 10.0, "dec_deg": 60.0}
    values = {"name": "contract", "kind": "imaging", "readout": "920x608", "detectors": [7]}
    plan = parse_plan(values | {"exposure": [exposure]}, "plan")
    readout, optics = shipped("readout_920x608.toml", Readout), shipped("msc_optics.toml", Optics)
    ranges = shipped("msc_detector_ranges.toml", DetectorRanges)
    shot = shot_of(plan, OBS_ID, 7)
    unusual = dict.fromkeys(("ghosts", "scattered_light", "satellite_trails"), True)
    astray = shot_of(
        parse_plan({**values, "effects": unusual, "exposure": [exposure]}, "plan"), OBS_ID, 7
    )
    stray_light = shipped("msc_stray_light.toml", StrayLight)
    image, rng = light_lamp(shot), np.random.default_rng(1)
    terahertz = parse_hstdm_plan(
        {
            "name": "contract",
            "kind": "hstdm",
            "channels": 32,
            "source": [{"peak_kelvin": 1.0}],
            "observation": [
                {"obs_id": HSTDM_ID, "time": "2028-01-01T00:00:00", "file_type": "OTFM", "rows": 2}
            ],
        },
        "plan",
    )
    receiver = shipped("hstdm_receiver_proposed.toml", HstdmReceiver)
    session = hstdm_session(terahertz, HSTDM_ID)
    coronagraph = (
        parse_cpic_plan(
            {
                "name": "contract",
                "kind": "cpic",
                "readout": "176x136",
                "star": [
                    {
                        "name": "star",
                        "magnitude": 3.0,
                        "planet": [
                            {"separation_mas": 500, "position_angle_deg": 10, "contrast": 1e-7}
                        ],
                    }
                ],
                "observation": [
                    {"obs_id": CPIC_ID, "time": "2028-01-01T00:00:00", "star": "star", "frames": 2}
                ],
            },
            "plan",
        ),
        shipped("cpic_readout_176x136.toml", CpicReadout),
        shipped("cpic_camera_proposed.toml", CpicCamera),
        shipped("cpic_optics_proposed.toml", CpicOptics),
    )
    frames = set_up_cpic(*coronagraph, obs_id=CPIC_ID)
    return {
        "set_up_cpic": (coronagraph, {"obs_id": CPIC_ID}),
        "observe_cpic": ((frames,), {"rng": rng}),
        "record_planets": ((frames,), {}),
        "set_up_hstdm": ((terahertz, receiver), {"obs_id": HSTDM_ID}),
        "observe_hstdm": ((session,), {"rng": rng}),
        "record_hstdm_truth": ((session,), {}),
        "record_sky_map": ((session,), {}),
        "measure_sideband_gain": ((session,), {}),
        "record_orbit": ((session,), {}),
        "set_up": ((plan, readout, ranges, optics), {"obs_id": OBS_ID, "detector": 7}),
        "draw_scene": ((shot,), {}),
        "add_sky": ((image, shot), {}),
        "add_stray_light": ((image, astray, stray_light), {}),
        "add_satellite_trails": ((image, astray, stray_light), {"rng": rng}),
        "light_lamp": ((shot,), {}),
        "expose": ((image, shot), {"rng": rng}),
        "apply_brighter_fatter": ((image, shot), {}),
        "add_cosmic_rays": ((image, shot), {"rng": rng}),
        "saturate": ((image, shot), {}),
        "transfer": ((image, shot), {}),
        "read_out": ((transfer(image, shot), shot), {"rng": rng}),
        "draw_catalogs": ((plan, readout, optics), {}),
        "observe_reference_stars": (draw_catalogs(plan, readout, optics)[:1], {"rng": rng}),
    }
