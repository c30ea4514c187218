"""Relative gains of ramps whose response is known, and of a real EMCCD."""

import os
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable

from csst_cpic.camera.lit_level import lit_level
from csst_cpic.checks_calibration import largest_ramp_residual, largest_relative_gain_error
from csst_cpic.figures_calibration import relative_gains
from csst_cpic.stages.measure_linearity import measure_linearity
from csst_cpic.stages.nonlinearity import correct_nonlinearity
from csstcore.api import Image, Meta, Table, UnprocessableData, replace
from csstcore.notes import collecting

TIMES = (0.5, 1.0, 2.0, 3.0, 5.0, 8.0)
LOSS = 6e-7
"""Relative loss per count."""


def exposed(detector, seconds, em_gain=1.0, adu_per_s=5000.0, offset=0.0, seed=0) -> Image:
    """A bias-subtracted frame of a constant lamp, with a loss and a cosmic ray with its tail."""
    rng = np.random.default_rng([seed, int(10 * seconds), int(em_gain)])
    electrons = rng.poisson(adu_per_s * seconds * 8 / em_gain, detector.shape).astype(float)
    if em_gain > 1:
        electrons = em_gain * rng.standard_gamma(np.maximum(electrons, 1e-9))
    electrons[40, 50:62] += 3e5 * 0.5 ** np.arange(12)
    counts = (electrons + rng.normal(0, 40.0, detector.shape)) / 8 + offset
    counts *= 1 - LOSS * counts
    meta = Meta(em_gain=em_gain * u.one, exposure_time=seconds * u.s, gain=8 * u.electron / u.adu)
    return Image(counts.astype(np.float32), u.adu, meta=meta)


def ramp(detector, em_gain=1.0, frames=2, **kwargs) -> list[Image]:
    return [
        exposed(detector, seconds, em_gain, seed=seed, **kwargs)
        for seconds in TIMES
        for seed in range(frames)
    ]


def test_corrected_counts_are_linear(detector) -> None:
    flats = ramp(detector) + ramp(detector, 100.0, frames=4)
    with collecting() as notes:
        table = measure_linearity(flats, detector)
    assert notes.metrics["combined_frames"] == 36
    counts = np.linspace(2500.0, 40_000.0, 40)
    for em_gain in (1.0, 100.0):
        seen = (counts * (1 - LOSS * counts)).astype(np.float32)
        image = Image(np.array([seen, seen]), u.adu, meta=Meta(em_gain=em_gain * u.one))
        corrected = correct_nonlinearity(image, table).data[0]
        ratio = corrected / counts
        assert np.abs(ratio / np.interp(3000.0, counts, ratio) - 1).max() < 0.002
    assert largest_ramp_residual(table) < 0.002
    assert largest_relative_gain_error(table) < 0.002
    assert len(relative_gains(table).axes) == 2


def test_charge_without_light_is_told_by_frames_of_no_exposure(detector) -> None:
    unlit = [exposed(detector, 0.0, offset=30.0, seed=k) for k in range(3)]
    plain, offset, told = (
        measure_linearity(flats, detector).table["relative_gain"][-1]
        for flats in (
            ramp(detector),
            ramp(detector, offset=30.0),
            ramp(detector, offset=30.0) + unlit,
        )
    )
    assert abs(offset / plain - 1) > 0.005
    assert abs(told / plain - 1) < 0.001


def test_a_cosmic_ray_and_its_tail_do_not_count(detector) -> None:
    level, noise = lit_level(exposed(detector, 0.5), detector)
    assert level == pytest.approx(2500 * (1 - LOSS * 2500), abs=5 * noise)


def test_saturated_levels_take_no_part(detector) -> None:
    flats = ramp(detector)
    for image in flats[-2:]:
        image.set_flag("saturated", np.random.default_rng(0).random(image.shape) < 0.01)
    assert len(measure_linearity(flats, detector).table) == len(TIMES) - 1


@pytest.mark.parametrize(
    ("choose", "cause"),
    [
        (lambda flats: flats[:2], "have 1 exposure times; expected at least 4"),
        (lambda flats: [], "none of 0 frames was exposed"),
        (lambda flats: [replace(f, unit=u.electron) for f in flats], "expected adu"),
        (lambda flats: [replace(f, data=-f.data) for f in flats], "expected counts that rise"),
        (
            lambda flats: [replace(f, data=f.data / 100) for f in flats],
            "levels on both sides of 3000 adu",
        ),
    ],
    ids=["one level", "nothing", "unit", "falling", "too faint"],
)
def test_unusable_ramps_are_refused_with_the_cause(choose, cause, detector) -> None:
    with pytest.raises(UnprocessableData, match=cause):
        measure_linearity(choose(ramp(detector)), detector)


@pytest.mark.data
@pytest.mark.skipif("CSST_TEST_DATA" not in os.environ, reason="CSST_TEST_DATA is not set")
def test_the_measured_table_of_a_real_emccd_is_applied() -> None:
    """Roman CGI, thermal-vacuum test: 12 EM gains, factors of 0.96 to 1.22 at few counts."""
    path = Path(os.environ["CSST_TEST_DATA"]) / "coronagraph/nonlin_table_TVAC.fits"
    with fits.open(path) as file:
        grid = file[1].data.astype(float)
    gains, counts, factors = grid[0, 1:], grid[1:, 0], grid[1:, 1:]
    table = QTable()
    table["em_gain"] = np.repeat(gains, len(counts))
    table["counts"] = np.tile(counts, len(gains)) * u.adu
    table["relative_gain"] = factors.T.ravel()
    for k, em_gain in enumerate(gains):
        data = counts.astype(np.float32)[None].copy()
        image = Image(data, u.adu, np.ones_like(data), meta=Meta(em_gain=em_gain * u.one))
        result = correct_nonlinearity(image, Table(table))
        # looked up in even steps, between which the bends of the table are rounded
        np.testing.assert_allclose(result.data[0], counts * factors[:, k], rtol=1e-5)
        assert np.all(result.variance > 0)
    between = np.sqrt(gains[3] * gains[4])
    data = np.array([[100.0, 1010.0, 20_000.0]], np.float32)
    image = Image(data.copy(), u.adu, meta=Meta(em_gain=between * u.one))
    factor = correct_nonlinearity(image, Table(table)).data / data
    ends = [np.interp(data[0], counts, factors[:, k]) for k in (3, 4)]
    np.testing.assert_allclose(factor[0], np.mean(ends, axis=0), rtol=1e-5)
