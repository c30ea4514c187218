"""Errors of faint frames: right, and not following the chance of the pixel itself."""

from __future__ import annotations

import astropy.units as u
import numpy as np
import pytest

from csst_cpic.stages.variance import average_frames, estimate_variance
from csstcore.api import Image, Mask, Meta

FRAMES, SHAPE, GAIN, NOISE = 40, (100, 100), 1000.0, 40.0


@pytest.mark.parametrize("rate", [0.01, 0.03, 0.1])
def test_errors_of_few_electrons_do_not_follow_their_chance(detector, rate):
    rng = np.random.default_rng(21)
    meta = Meta(em_gain=GAIN * u.one, read_noise=NOISE * u.electron)
    frames = []
    for _ in range(FRAMES):
        electrons = rng.poisson(rate, SHAPE)
        data = rng.gamma(np.maximum(electrons, 1e-9)) + rng.normal(0, NOISE / GAIN, SHAPE)
        frames.append(Image(data.astype(np.float32), u.electron, meta=meta))
    mean = average_frames(frames, [Mask(np.zeros(SHAPE, bool))] * FRAMES)
    pulls = [
        (frame.data - rate) / np.sqrt(estimate_variance(frame, mean, detector).variance)
        for frame in frames
    ]
    assert 0.95 < np.std(pulls) < 1.05
    assert abs(np.mean(pulls)) < 4 / np.sqrt(np.size(pulls))
