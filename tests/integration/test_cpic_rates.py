"""Rates by counting photons through the detector chain of the coronagraph, against the truth."""

from __future__ import annotations

import tomllib
from importlib.resources import files

import numpy as np
import pytest

from csst_cpic.detector import Detector
from csst_cpic.stages.bad_pixels import flag_bad_pixels
from csst_cpic.stages.bias_level import subtract_bias_level
from csst_cpic.stages.cosmic_rays import flag_cosmic_rays, set_flags
from csst_cpic.stages.count_photons import count_photons
from csst_cpic.stages.electrons import to_electrons
from csst_cpic.stages.nonlinearity import correct_nonlinearity
from csst_cpic.stages.rate import calibrate_rate
from csst_cpic.stages.saturation import flag_saturation
from csst_sim.cpic.calibration import true_references
from csst_sim.cpic.direct import simulate_frames
from csstcore.api import Image, replace

RATES = (0.1, 0.3, 1.0)
EM_GAIN = 1000.0
SECONDS = 10.0
CAMERAS = (11, 14)


def counted(camera: int, light: np.ndarray) -> Image:
    """The rate of 100 frames with all effects; references are the true ones of the camera."""
    text = (files("csst_cpic") / "references/detector_176x136.toml").read_text()
    detector = Detector(**tomllib.loads(text))
    seen = simulate_frames(
        light / SECONDS,
        frames=100,
        em_gain=EM_GAIN,
        exposure_time_s=SECONDS,
        instrument_seed=camera,
        seed=camera + 50,
    )
    gains = [1.0, 10.0, 100.0, EM_GAIN, 9000.0]
    true = true_references(seen.device, seen.readout, seen.frames[0].meta, gains)
    frames = []
    for raw in seen.frames:
        data = (raw.data - seen.device.fixed_pattern).astype(np.float32)
        frame, _ = subtract_bias_level(replace(flag_saturation(raw, detector), data=data), detector)
        frame = to_electrons(
            correct_nonlinearity(frame, true["nonlinearity"]), detector, true["em_gain"]
        )
        frames.append(flag_bad_pixels(frame, true["bad_pixels"]))
    for frame, hit in zip(frames, flag_cosmic_rays(frames, detector), strict=True):
        set_flags(frame, hit)
    rate = count_photons(frames, detector, true["em_gain"])
    return calibrate_rate(rate, true["dark"], true["cic"], true["flat"], detector, true["cti"])


def test_rates_through_the_chain_have_no_bias_and_true_errors() -> None:
    """0.3 %, and twice the error of this test; particles must not count as light."""
    light = np.repeat(np.array(RATES, np.float32), [44, 42, 42])[np.newaxis, :].repeat(128, axis=0)
    rates = [counted(camera, light) for camera in CAMERAS]
    for true in RATES:
        used = [(rate.flags == 0) & (light == np.float32(true)) for rate in rates]
        values = np.concatenate([r.data[u] for r, u in zip(rates, used, strict=True)])
        variance = np.concatenate([r.variance[u] for r, u in zip(rates, used, strict=True)])
        error = float(np.sqrt(variance.sum(dtype=float)) / len(values))
        assert values.mean(dtype=float) == pytest.approx(true, abs=0.003 * true + 2 * error)
        assert 0.95 < np.std((values - true) / np.sqrt(variance)) < 1.05
