"""Whole frames: statistics, repeatability, switches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from csst_sim.direct import Simulation

MakeFrame = Callable[..., Simulation]
BIAS: dict[str, Any] = {"file_type": "BIAS", "exposure_time_s": 0.0}
FLAT: dict[str, Any] = {
    "file_type": "FLAT",
    "exposure_time_s": 20.0,
    "lamp_electron_per_s": 1000.0,
}


def channels(raw: np.ndarray) -> list[np.ndarray]:
    """Active parts of the 16 channels of a small raw frame, in the order of the raw frame."""
    parts = []
    for iy in range(2):
        rows = slice(0, 288) if iy == 0 else slice(320, 608)
        for ix in range(8):
            parts.append(raw[rows, 115 * ix + 27 : 115 * ix + 99].astype(float))
    return parts


def test_level_0_has_the_documented_form(make_frame: MakeFrame) -> None:
    frame = make_frame()
    assert frame.raw.data.shape == (608, 920)
    assert frame.raw.data.dtype == np.uint16
    assert str(frame.raw.unit) == "adu"
    meta = frame.raw.meta
    assert (meta.obs_id, meta.detector, meta.filter) == ("10100000001", 7, "i")
    assert meta.readout == "920x608"
    assert meta.gain is not None
    assert meta.gain.shape == (16,)
    assert frame.raw.wcs is not None
    assert list(frame.raw.wcs.wcs.ctype) == ["RA---TAN", "DEC--TAN"]


def test_read_noise_and_bias_level_of_each_channel(make_frame: MakeFrame) -> None:
    frame = make_frame(only={"read_noise"}, **BIAS)
    device = frame.shot.device
    for channel, part in enumerate(channels(frame.raw.data)):
        noise = np.hypot(device.read_noise[channel] / device.gain[channel], np.sqrt(1 / 12))
        assert part.std() == pytest.approx(noise, rel=0.03)
        assert part.mean() == pytest.approx(device.bias_level[channel], abs=0.15)


def test_gain_of_each_channel_from_photon_transfer(make_frame: MakeFrame) -> None:
    first, second = (make_frame(seed, only={"photon_noise"}, **FLAT) for seed in (1, 2))
    device = first.shot.device
    pairs = zip(channels(first.raw.data), channels(second.raw.data), strict=True)
    for channel, (one, other) in enumerate(pairs):
        variance = (one - other).var() / 2 - 1 / 12
        gain = (one.mean() - device.bias_level[channel]) / variance
        assert gain == pytest.approx(device.gain[channel], rel=0.05)


def test_nonlinearity_lowers_bright_signal(make_frame: MakeFrame) -> None:
    linear = make_frame(only=set(), **FLAT)
    bent = make_frame(only={"nonlinearity"}, **FLAT)
    device = linear.shot.device
    for channel, (one, other) in enumerate(
        zip(channels(linear.raw.data), channels(bent.raw.data), strict=True)
    ):
        loss = device.nonlinearity[channel] * 20000.0 / device.full_well
        bias = device.bias_level[channel]
        measured = 1 - (other.mean() - bias) / (one.mean() - bias)
        assert measured == pytest.approx(loss, abs=1e-4)


def test_same_seeds_give_the_same_frame(make_frame: MakeFrame) -> None:
    one, same, other = make_frame(1), make_frame(1), make_frame(2)
    np.testing.assert_array_equal(one.raw.data, same.raw.data)
    assert (one.raw.data != other.raw.data).mean() > 0.5
    assert one.truth is not None
    assert other.truth is not None
    np.testing.assert_array_equal(one.truth.table["x"].value, other.truth.table["x"].value)


def test_calibration_and_science_frames_share_the_detector(make_frame: MakeFrame) -> None:
    science, bias = make_frame(), make_frame(**BIAS)
    other = make_frame(detector=8, **BIAS)
    instrument = make_frame(instrument_seed=2, **BIAS)
    for name in ("gain", "bias_column", "nonlinearity", "bad_rows"):
        np.testing.assert_array_equal(
            getattr(science.shot.device, name), getattr(bias.shot.device, name)
        )
    assert science.shot.device.pattern_seed == bias.shot.device.pattern_seed
    assert not np.array_equal(bias.shot.device.gain, other.shot.device.gain)
    assert not np.array_equal(bias.shot.device.gain, instrument.shot.device.gain)


def test_fixed_pattern_of_flats_repeats(make_frame: MakeFrame) -> None:
    first, second = (make_frame(seed, only={"prnu"}, **FLAT) for seed in (1, 2))
    np.testing.assert_array_equal(first.raw.data, second.raw.data)
    scatter = [part.std() / part.mean() for part in channels(first.raw.data)]
    assert np.median(scatter) == pytest.approx(first.shot.device.prnu, rel=0.1)


def test_dark_current_and_hot_pixels(make_frame: MakeFrame) -> None:
    dark: dict[str, Any] = {"file_type": "DARK", "exposure_time_s": 1000.0}
    frame = make_frame(only={"dark", "photon_noise"}, **dark)
    device = frame.shot.device
    level = np.mean(
        [
            (part.mean() - device.bias_level[k]) * device.gain[k]
            for k, part in enumerate(channels(frame.raw.data))
        ]
    )
    assert level == pytest.approx(device.dark * 1000.0, rel=0.02)
    hot = make_frame(only={"hot_pixels"}, **dark)
    changed = np.concatenate([part.ravel() for part in channels(hot.raw.data)])
    places = set(zip(device.bad_rows.tolist(), device.bad_columns.tolist(), strict=True))
    assert (changed > 1060).sum() == pytest.approx(len(places), abs=3)


def test_cosmic_ray_truth_is_what_was_added(make_frame: MakeFrame) -> None:
    with_rays = make_frame(only={"cosmic_rays"}, sky={"stars_per_arcmin2": 0.0})
    deposit = with_rays.cosmic_rays.data
    device = with_rays.shot.device
    part = channels(with_rays.raw.data)[0]
    electrons = (part - device.bias_level[0]) * device.gain[0]
    expected = deposit[:288, :72]
    assert expected.max() > 100
    np.testing.assert_allclose(electrons, expected, atol=0.6 * device.gain[0])


@pytest.mark.parametrize(
    "effect",
    [
        "stars", "galaxies", "sky", "distortion", "pointing_error", "psf_variation",
        "photon_noise", "dark", "hot_pixels", "dead_pixels", "prnu", "illumination", "shutter",
        "brighter_fatter", "cosmic_rays", "saturation", "charge_transfer", "nonlinearity",
        "bias_structure", "read_noise",
    ],
)  # fmt: skip
def test_every_switch_changes_the_frame(make_frame: MakeFrame, effect: str) -> None:
    sky = {"stars_per_arcmin2": 200.0, "star_g_mag": [13.0, 24.0]}
    reference = _full(make_frame, sky)
    without = make_frame(sky=sky, effects={effect: False})
    changed = (reference.raw.data != without.raw.data).mean()
    assert changed > 0


_cache: dict[str, Simulation] = {}


def _full(make_frame: MakeFrame, sky: dict[str, Any]) -> Simulation:
    if "full" not in _cache:
        _cache["full"] = make_frame(sky=sky)
    return _cache["full"]


@pytest.mark.parametrize(
    ("effect", "limit"), [("cosmic_rays", 0.01), ("hot_pixels", 0.002), ("saturation", 0.02)]
)
def test_local_effects_change_only_their_pixels(
    make_frame: MakeFrame, effect: str, limit: float
) -> None:
    """All other pixels stay the same, noise included (without trails, which spread changes)."""
    effects = {"charge_transfer": False, "brighter_fatter": False}
    frame, without = (
        make_frame(sky={"star_g_mag": [13.0, 24.0]}, effects=effects | {effect: on})
        for on in (True, False)
    )
    changed = (frame.raw.data != without.raw.data).mean()
    assert 0 <= changed < limit


def test_everything_off_leaves_the_bias_level(make_frame: MakeFrame) -> None:
    frame = make_frame(only=set())
    for channel, part in enumerate(channels(frame.raw.data)):
        assert part.std() == 0
        assert part.mean() == np.round(frame.shot.device.bias_level[channel])


def test_star_electrons_arrive_in_the_raw_frame(make_frame: MakeFrame) -> None:
    """Flux x time of all stars, through gain and bias, with noise and losses switched off."""
    sky = {"stars_per_arcmin2": 60.0, "star_g_mag": [18.5, 22.0]}
    frame = make_frame(only={"stars"}, sky=sky)
    device = frame.shot.device
    total = sum(
        (part - np.round(device.bias_level[k])).sum() * device.gain[k]
        for k, part in enumerate(channels(frame.raw.data))
    )
    assert frame.truth is not None
    expected = frame.truth.table["flux"].sum().value * 150.0
    assert total == pytest.approx(expected, rel=0.02)


@pytest.mark.slow
def test_full_frame_has_the_documented_cosmic_rays(make_frame: MakeFrame) -> None:
    """More than 200,000 pixels in 150 s; at most 3 GB, and 60 s of one core."""
    import resource
    import time

    start = time.process_time()
    frame = make_frame(readout="9560x9264")
    assert time.process_time() - start < 60
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 3e6
    assert frame.raw.data.shape == (9264, 9560)
    assert (frame.cosmic_rays.data > 3).sum() > 200_000
    assert frame.truth is not None
    assert 20_000 < len(frame.truth) < 30_000
