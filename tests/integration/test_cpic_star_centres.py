"""The star behind the simulated mask, found by its leak and by satellite spots."""

from __future__ import annotations

from typing import Any

import astropy.units as u
import numpy as np
import pytest

from csst_cpic.stages.star_centres import fit_star_centres
from csst_sim.cpic.direct import cpic_session
from csst_sim.cpic.plan import parse_plan
from csstcore.api import Image, Meta

FWHM_PIXEL = 5.4
OBSERVATION = "40000000001"


@pytest.mark.parametrize(
    "settings",
    [
        {"outer_radius_pixel": 15.0},
        {"outer_radius_pixel": 15.0, "method": "spots", "spot_radius_pixel": 50.0},
    ],
)
def test_stars_are_centred_to_a_twentieth_of_a_pixel(settings: dict[str, Any]) -> None:
    plan = parse_plan(
        {
            "name": "spots",
            "kind": "cpic",
            "readout": "176x136",
            "satellite_spot_contrast": 1e-5,
            "star": [{"name": "star", "magnitude": 0.5}],
            "observation": [
                {"obs_id": OBSERVATION, "time": "2028-01-01T00:00:00", "frames": 6, "star": "star"}
            ],
        },
        "this test",
    )
    session = cpic_session(plan, OBSERVATION)
    rng = np.random.default_rng(1)
    frames = [
        Image(
            rng.poisson(10.0 * rate).astype(np.float32),
            u.electron,
            meta=Meta(obs_id=OBSERVATION, frame=number),
        )
        for number, rate in enumerate(session.rates())
    ]
    table = fit_star_centres(frames, fwhm_pixel=FWHM_PIXEL, **settings).table
    truth = np.array(session.centre) + session.offset_pixel + 1
    assert np.abs(table["x"].value - truth[:, 0]).max() < 0.05
    assert np.abs(table["y"].value - truth[:, 1]).max() < 0.05
    assert np.hypot(*(truth - np.array(session.centre) - 1).T).max() > 0.3  # nothing is assumed
