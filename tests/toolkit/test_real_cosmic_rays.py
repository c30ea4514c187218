"""Cosmic rays in real frames: simulated tracks put into them, and repeated exposures.

The shipped model sees frames of other telescopes, with other pixels, seeing and noise.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter

import csst_calib
from csst_calib.stages.cosmic_rays import detect_cosmic_rays
from csst_sim.direct import shot_of
from csst_sim.effects.cosmic_rays import deposit_cosmic_rays
from csst_sim.plan import parse_plan
from csstcore.api import Image, Meta, Onnx

DATA = os.environ.get("CSST_TEST_DATA", "")
pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(not DATA, reason="CSST_TEST_DATA names no folder of real data"),
    pytest.mark.filterwarnings("ignore::astropy.utils.exceptions.AstropyWarning"),
]
FOLDER = Path(DATA) / "imaging"
MODEL = Onnx(Path(csst_calib.__file__).parent / "models" / "cosmic_rays.onnx")
SURVEY_NOISE_ELECTRON = 8.0
Plane = NDArray[np.float64]


def noise_of(data: Plane) -> float:
    """Return the noise of a pixel of sky, from differences of neighbours."""
    difference = np.diff(data, axis=1)
    return float(1.4826 * np.median(np.abs(difference - np.median(difference))) / np.sqrt(2))


def read(path: str, extension: int = 0) -> Plane:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.nan_to_num(np.asarray(fits.getdata(FOLDER / path, extension), np.float64))


def cafos() -> list[Plane]:
    """The three exposures of 60 s in electrons: 2.2 m telescope, 0.53 arcsec a pixel, FWHM 3.5."""
    folder = FOLDER / "caha_cafos"
    paths = sorted(folder.glob("bias_*"))
    bias = np.mean([read(f"caha_cafos/{path.name}") for path in paths], axis=0)
    return [
        1.43 * (read(f"caha_cafos/{path.name}") - bias)
        for path in sorted(folder.glob("ngc2420_B_*"))[3:]
    ]


def frame(name: str) -> Plane:
    """Return a real frame as electrons; where the gain is not told, such that noise fits sky."""
    if name == "cafos":
        return cafos()[0]
    if name == "m13":
        return read("m13/M13_blue_0001.fits.gz")
    if name == "saao":
        return 1.9 * (read("ccd/saao_ste3_a8280271.fits")[:, 20:530] - 150.0)
    if name == "abell_478":
        return 12000.0 * read("hst/a478_wfpc2_f814w_cutout.fits.gz", 1)
    data = read("emmi_sep/image.fits")
    return data - np.median(data) + noise_of(data) ** 2


def flagged(data: Plane, bad: NDArray[np.bool_] | None = None) -> NDArray[np.bool_]:
    meta = Meta(exposure_time=60 * u.s, read_noise=5 * u.electron)
    image = Image(np.ascontiguousarray(data, np.float32), u.electron, meta=meta)
    if bad is not None:
        image.set_flag("bad", bad)
    return detect_cosmic_rays(image, MODEL).flagged("cosmic_ray")


def tracks(shape: tuple[int, int], seed: int) -> NDArray[np.float32]:
    exposure = {"obs_id": "10100000001", "time": "2028-01-01T00:00:00Z"}
    values = {"name": "tracks", "kind": "imaging", "detectors": [8], "exposure": [exposure]}
    device = shot_of(parse_plan(values, "plan"), "10100000001", 8).device
    return deposit_cosmic_rays(shape, 450.0, device, np.random.default_rng(seed))


@pytest.mark.parametrize("name", ["cafos", "m13", "saao", "abell_478", "emmi"])
def test_simulated_tracks_in_real_frames_are_found(name: str) -> None:
    data = frame(name)
    noise = noise_of(data)
    # as strong over the noise as in the survey's frames
    deposit = tracks(data.shape, 5) * max(1.0, noise / SURVEY_NOISE_ELECTRON)
    before, after = flagged(data), flagged(data + deposit)
    sigma = deposit / noise
    limits = {(1, 3): 0.25, (3, 5): 0.7, (5, 10): 0.9, (10, 20): 0.95, (20, np.inf): 0.96}
    for (low, high), least in limits.items():
        hit = (sigma > low) & (sigma <= high)
        recall = float(np.mean(after[hit]))
        print(f"{name}: {low} to {high} sigma: {recall:.3f} of {np.count_nonzero(hit)}")
        assert recall > least
    new = after & ~before
    wrong = np.mean(sigma[new] < 0.05)
    print(f"{name}: {wrong:.3f} of {np.count_nonzero(new)} new flags are wrong")
    assert wrong < 0.05


def test_hits_in_repeated_exposures_are_found_and_stars_are_spared() -> None:
    """Two other exposures tell what is in one only; they drift by less than a pixel."""
    frames = cafos()
    bad = np.zeros(frames[0].shape, np.bool_)
    bad[0] = True  # the first row of the detector is full of charge
    found, wrong, hits, right, total, faint_found, faint = 0, 0, 0, 0, 0, 0, 0
    for number, data in enumerate(frames):
        others = [
            other + np.median(data) - np.median(other)
            for k, other in enumerate(frames)
            if k != number
        ]
        expected = np.mean(others, axis=0)
        noise = np.sqrt(np.maximum(expected, 1.0) + 25.0)
        most = np.maximum(*(maximum_filter(other, 5) for other in others))
        flag = flagged(data, bad) & ~bad
        sky = (most < np.median(data) + 8 * noise) & ~bad  # beside stars, whose seeing changes
        hit = (data - most > 10 * noise) & sky
        found, hits = found + np.count_nonzero(flag & hit), hits + np.count_nonzero(hit)
        hit = (data - most > 4 * noise) & (data - most <= 10 * noise) & sky
        faint_found, faint = faint_found + np.count_nonzero(flag & hit), faint + hit.sum()
        right += np.count_nonzero(flag & (data - expected > 2.5 * noise))
        wrong += np.count_nonzero(flag & (data - expected < noise))
        total += np.count_nonzero(flag)
    print(f"recall above 10 sigma {found / hits:.3f} of {hits}, at 4 to 10 sigma "
          f"{faint_found / faint:.3f} of {faint}; right {right / total:.3f}, "
          f"wrong {wrong / total:.3f} of {total}")  # fmt: skip
    assert hits > 40
    assert found / hits > 0.7
    assert right / total > 0.85
    assert wrong / total < 0.1
