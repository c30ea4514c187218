"""Simulated terahertz lines of all widths through Level 1 and baselines, against their truth."""

from __future__ import annotations

from typing import Any

import astropy.units as u
import numpy as np
import pytest

from csst_hstdm.stages.average_spectra import average_spectra
from csst_hstdm.stages.lsrk import shift_to_lsrk
from csst_hstdm.stages.subtract_baseline import subtract_baseline
from csst_sim.hstdm.plan import parse_plan
from csstcore.notes import collecting

from .test_hstdm_level1 import OBS_ID, REST_HZ, level_1, simulate_hstdm

AREA = np.sqrt(np.pi / (4 * np.log(2)))


@pytest.mark.parametrize("width_km_s", [1.0, 5.0, 20.0, 40.0, 60.0, 100.0])
def test_the_flux_of_a_line_of_any_width_is_kept(width_km_s: float) -> None:
    """The whole band of 780 km/s, noise, drift and standing waves on: bias below 1 %."""
    peak = 30.0 / np.sqrt(width_km_s)
    source = {"peak_kelvin": peak, "fwhm_kms": width_km_s, "velocity_kms": 30.0}
    observation = {"obs_id": OBS_ID, "time": "2028-03-01T00:00:00", "cycles": 6}
    plan: dict[str, Any] = {"name": "wide", "kind": "hstdm", "source": [source]}
    run = simulate_hstdm(parse_plan(plan | {"observation": [observation]}, "plan"), OBS_ID)
    with collecting() as notes:
        dumps = subtract_baseline(shift_to_lsrk(level_1(run)[0]))
        spectrum = average_spectra([dumps])
    velocity = 299792.458 * (1 - spectrum.axis.to_value(u.Hz) / REST_HZ)
    step_km_s = abs(velocity[1] - velocity[0])
    line = np.abs(velocity - 30.0) < 1.5 * width_km_s
    flux = np.nansum(spectrum.flux[0, line], dtype=float) * step_km_s
    truth = run.sky_truth
    true_velocity = 299792.458 * (1 - truth.axis.to_value(u.Hz) / REST_HZ)
    true = truth.flux[0].sum(dtype=float) * abs(true_velocity[1] - true_velocity[0])
    assert true == pytest.approx(peak * width_km_s * AREA, rel=0.001)
    assert flux == pytest.approx(true, rel=0.01)
    assert not [text for text in notes.caveats if "line" in text]
