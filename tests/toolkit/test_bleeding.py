"""Saturated stars as the simulator bleeds them, against what is flagged."""

from __future__ import annotations

from dataclasses import fields

import astropy.units as u
import numpy as np
import pytest

from csst_calib.stages.saturation import flag_saturation
from csst_sim.direct import shot_of
from csst_sim.effects.saturation import bleed
from csst_sim.plan import Effects, parse_plan
from csst_sim.stages.light import add_sky, expose
from csst_sim.stages.scene import draw_scene
from csstcore.api import Image, replace

OBS_ID = "10100000001"


@pytest.mark.parametrize("knowledge", [0.98, 1.0, 1.02])
def test_bled_charge_is_flagged_whole_after_gain_and_nonlinearity(knowledge: float) -> None:
    """The full well is known to 2 %, the gain to 0.1 %, the non-linearity to 2 % of itself."""
    truth_found, found_true, count = [], [], 0
    for seed in (1, 2, 3):
        on = ("stars", "galaxies", "sky", "photon_noise", "saturation")
        exposure = {"obs_id": OBS_ID, "time": "2028-01-01T00:00:00Z", "ra_deg": 180, "dec_deg": 30}
        values = {
            "name": "bleeding", "kind": "imaging", "readout": "920x608", "detectors": [8],
            "instrument_seed": seed, "exposure": [exposure],
            "sky": {"seed": seed, "stars_per_arcmin2": 40.0, "star_g_mag": [9.0, 20.0]},
            "effects": {entry.name: entry.name in on for entry in fields(Effects)},
        }  # fmt: skip
        shot = shot_of(parse_plan(values, "plan"), OBS_ID, 8)
        image, _ = draw_scene(shot)
        image = expose(add_sky(image, shot), shot, rng=np.random.default_rng(seed))
        collected, full_well = image.data.copy(), shot.device.full_well
        bleed(image.data, full_well)
        bled = image.data - collected > 3 * np.sqrt(collected + 25)
        truth = bled | (image.data >= 0.999 * full_well)
        read = image.data * (1 - 0.01 * image.data / full_well)
        read += np.random.default_rng(9).normal(0, 5, read.shape)
        read *= 1.001
        corrected = (read * (1 + 0.0098 * read / full_well)).astype(np.float32)
        meta = replace(shot.meta, saturation=knowledge * full_well * u.electron)
        measured = Image(corrected, u.electron, meta=meta)
        measured.set_flag("saturated", read / 1.1 + 1000 > 65535)
        found = flag_saturation(measured).flagged("saturated")
        truth_found += list(found[truth])
        found_true += list(truth[found])
        count += int(truth.sum())
    print(f"recall {np.mean(truth_found):.4f} of {count}, precision {np.mean(found_true):.3f}")
    assert count > 300
    assert np.mean(truth_found) > 0.999
    assert np.mean(found_true) > 0.85
