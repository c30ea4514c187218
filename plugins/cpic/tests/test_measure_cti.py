"""Charge-transfer inefficiency measured on frames whose trails are known."""

import tomllib
from importlib.resources import files

import astropy.units as u
import numpy as np
import pytest

from csst_cpic.camera.transfer import Transfer, trailed
from csst_cpic.checks_calibration import (
    horizontal_trail_residual,
    largest_trail_chi_square,
    vertical_trail_residual,
)
from csst_cpic.detector import Detector
from csst_cpic.figures_calibration import trails
from csst_cpic.stages.measure_cti import measure_cti
from csstcore.api import Image, Meta, UnprocessableData, replace
from csstcore.notes import collecting

DETECTOR = Detector(
    **tomllib.loads(files("csst_cpic").joinpath("references/detector_176x136.toml").read_text())
)
VERTICAL, HORIZONTAL = Transfer(2e-5, 1.5), Transfer(3e-5, 0.9)


def raw(level: float, seed: int, em_gain: float = 1.0, trail: float = 1.0) -> Image:
    """A raw frame of even light with trails, bias pattern, drift and read noise."""
    rng = np.random.default_rng([seed, 8])
    electrons = np.zeros(DETECTOR.raw_shape)
    electrons[DETECTOR.active] = rng.poisson(level, DETECTOR.shape)
    along = (
        np.array([1.0 * level] * 130 + [0.0] * 6),
        np.array([0.0] * 32 + [level] * 128 + [0.0] * 16),
    )
    rows, columns = DETECTOR.active
    down = trail * (trailed(along[0], VERTICAL)[130:])
    right = trail * (trailed(along[1], HORIZONTAL)[160:])
    electrons[130:, columns] += down[:, None]
    electrons[rows, 160:] += right[None, :]
    pattern = np.random.default_rng(1).normal(0, 0.3, DETECTOR.raw_shape)
    drift = 0.3 * np.sin(np.arange(136) / 2.0 + rng.uniform(0, 6))[:, None]
    adu = (electrons + rng.normal(0, 40.0, electrons.shape)) / 8 + 30.5 + pattern + drift
    meta = Meta(em_gain=em_gain * u.one, exposure_time=1.0 * u.s, gain=8.0 * u.electron / u.adu)
    return Image(np.floor(adu).astype(np.uint16), u.adu, meta=meta)


@pytest.fixture(scope="module")
def biases() -> list[Image]:
    return [raw(0.0, seed) for seed in range(100, 124)]


@pytest.fixture(scope="module")
def flats() -> list[Image]:
    return [
        raw(level, seed) for level in (8e3, 15e3) for seed in range(int(level), int(level) + 20)
    ]


def test_inefficiency_and_release_are_right_within_their_errors(flats, biases) -> None:
    with collecting() as notes:
        found = measure_cti(flats, biases, DETECTOR)
    (row,) = found.table
    for name, true in (("vertical", VERTICAL), ("horizontal", HORIZONTAL)):
        error = row[f"{name}_inefficiency_error"]
        assert abs(row[f"{name}_inefficiency"] - true.inefficiency) < 3 * error
        assert error < 0.08 * true.inefficiency
        off = row[f"{name}_release"] - true.release_pixel * u.pixel
        assert abs(off) < 3.5 * row[f"{name}_release_error"]
    assert notes.metrics["cte_horizontal"] == 1 - row["horizontal_inefficiency"]
    assert not notes.caveats
    assert vertical_trail_residual(found) < 0.1
    assert horizontal_trail_residual(found) < 0.1
    assert 0.6 < largest_trail_chi_square(found) < 1.6
    assert len(trails(found).axes) == 2


def test_frames_too_bright_for_the_register_take_no_part(flats, biases) -> None:
    with collecting() as notes:
        measure_cti(flats, biases, DETECTOR, largest_electron=10_000.0)
    assert "20 of 40 frames have more than 10000 electron at the vertical edge" in notes.caveats[0]
    with pytest.raises(UnprocessableData, match="every frame has more than 1000 electron"):
        measure_cti(flats, biases, DETECTOR, largest_electron=1000.0)


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (lambda flats, biases: (biases[:4], biases), "an edge of light before the overscan"),
        (lambda flats, biases: ([], biases), "there are 0 flat frames"),
        (lambda flats, biases: (flats, biases[:1]), "there are 1 bias frames"),
        (lambda flats, biases: ([raw(9e3, 3, 50.0)], biases), "a flat frame has the EM gain 50"),
        (
            lambda flats, biases: ([raw(9e3, k, trail=0.0) for k in range(9)], biases),
            "trails: no trail is seen",
        ),
        (
            lambda flats, biases: ([replace(flats[0], data=flats[0].data[1:])], biases),
            "expected .136, 176. as the raw frame",
        ),
    ],
    ids=["no edge", "no flat", "one bias", "EM gain", "no trail", "shape"],
)
def test_unusable_frames_are_refused_with_the_cause(change, cause, flats, biases) -> None:
    with pytest.raises(UnprocessableData, match=cause):
        measure_cti(*change(flats, biases), DETECTOR)
