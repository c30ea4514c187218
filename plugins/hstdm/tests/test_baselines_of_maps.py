"""Baselines of maps with a bright source: no dump is wrong without a flag."""

from __future__ import annotations

from typing import Any

import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable

from csst_hstdm.baseline_error import determination, window_doubts
from csst_hstdm.baseline_fit import polynomials, sinusoids
from csst_hstdm.feature_separation import Features
from csst_hstdm.stages import subtract_baseline as stage
from csst_hstdm.stages.subtract_baseline import subtract_baseline
from csstcore.api import Spectra
from csstcore.notes import Notes, collecting

STEP_HZ, REST_HZ = 73242.1875, 492.1607e9
SIDE = 24


def subtracted(flux: np.ndarray, **settings: Any) -> tuple[Spectra, np.ndarray, Notes]:
    """Return dumps without baselines, and which of them carry no flag."""
    rows = QTable({"state": ["ON"] * len(flux), "flag": np.zeros(len(flux), np.int32)})
    rows["rest_frequency"] = REST_HZ * u.Hz
    axis = (REST_HZ + (np.arange(flux.shape[1]) - flux.shape[1] / 2) * STEP_HZ) * u.Hz
    dumps = Spectra(flux.astype(np.float32), axis, u.K, np.ones(flux.shape, np.float32), rows=rows)
    with collecting() as notes:
        subtract_baseline(dumps, **settings)
    return dumps, np.asarray(dumps.rows["flag"]) == 0, notes


def bright(width: float) -> np.ndarray:
    """A source in the middle of a map, dumps in rows; shape (dumps, 1)."""
    place = np.arange(SIDE) - (SIDE - 1) / 2
    radius2 = (place[:, None] ** 2 + place**2).ravel()[:, None]
    return np.exp(-4 * np.log(2) * radius2 / width**2)


def line(channels: int, width: float) -> np.ndarray:
    return np.exp(-4 * np.log(2) * ((np.arange(channels) - channels / 2) / width) ** 2)


def waves(rng: np.random.Generator, dumps: int, channels: int) -> np.ndarray:
    """Two slow standing waves whose phases drift."""
    at = np.arange(channels)
    phases = rng.uniform(0, 6, 2) + np.cumsum(rng.normal(0, 0.02, (dumps, 2)), axis=0)
    return sum(
        size * np.cos(2 * np.pi * at / period + phases[:, k : k + 1])
        for k, (size, period) in enumerate(((0.15, 1256.0), (0.08, 423.0)))
    )


@pytest.mark.parametrize("seed", [1, 2])
def test_no_dump_of_a_bright_continuum_is_wrong(seed: int) -> None:
    """A line of 400 K on 100 K that ripples by 2 %: the worst of 32 channels holds their noise."""
    rng, channels = np.random.default_rng(seed), 2048
    x = np.arange(channels) / channels
    ripple = [
        size * np.sin(2 * np.pi * cycles * x + rng.uniform(0, 6))
        for size, cycles in ((0.02, 1.9), (0.01, 4.3))
    ]
    spectrum = 100 * (1 + sum(ripple)) + 400 * line(channels, 52)
    flux = bright(4) * spectrum + 0.15 * np.cos(2 * np.pi * (2.1 * x + rng.random((SIDE**2, 1))))
    dumps, good, _ = subtracted(flux + rng.normal(0, 1, flux.shape))
    free = np.abs(np.arange(channels) - channels / 2) > 160
    left = dumps.flux[:, free][good]
    means = left[:, : left.shape[1] // 32 * 32].reshape(len(left), -1, 32).mean(axis=2)
    assert np.abs(means).max() < 1.2  # 6 times the noise
    assert good.all()


@pytest.mark.parametrize("peak", [5.0, 60.0])
def test_a_slow_wave_is_no_line_of_a_short_band(peak: float) -> None:
    kept = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        shape, source = line(580, 67), bright(3.5)
        flux = source * (peak * shape + peak / 5) + waves(rng, SIDE**2, 580)
        off = np.repeat(rng.normal(0, 0.45, (SIDE, 580)), SIDE, axis=0)
        dumps, _, notes = subtracted(flux - off + rng.normal(0, 0.9, flux.shape))
        inside = shape > 1e-3
        kept.append((source.T @ dumps.flux)[0, inside].sum() / (source**2).sum() / shape.sum())
        assert notes.metrics["standing_waves"] <= 1
    assert np.mean(kept) == pytest.approx(peak, abs=0.3)


def test_a_dump_whose_baseline_is_a_guess_is_flagged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows that leave one dump with a third of the band."""
    rng = np.random.default_rng(5)
    flux = rng.normal(0, 1, (12, 1024))
    windows = np.zeros(flux.shape, bool)
    windows[3, 350:] = True
    found = Features([], windows, False, [])
    monkeypatch.setattr(stage, "separate_features", lambda *_, **__: found)
    _, good, notes = subtracted(flux)
    assert list(np.flatnonzero(~good)) == [3]
    assert any("1 of 12 dumps" in text for text in notes.caveats)


def test_determination_is_what_the_free_channels_see() -> None:
    basis = np.concatenate([polynomials(600, 3, "legendre"), sinusoids(600, [5.3])], axis=1)
    every = np.ones((4, 600), bool)
    used = every.copy()
    used[1, 250:350], used[2, 100:], used[3] = False, False, False
    found = determination(basis, used, every)
    assert found[0] == pytest.approx(1)
    q = np.linalg.qr(basis)[0][used[1]]
    assert found[1] == pytest.approx(np.linalg.eigvalsh(q.T @ q)[0])
    assert found[2] < 1e-3
    assert found[3] == pytest.approx(0, abs=1e-9)
    assert determination(basis, used[2:3], used[2:3]) == pytest.approx(1)


def test_the_doubt_of_a_window_is_the_scatter_of_baselines_beneath_it() -> None:
    rng, basis = np.random.default_rng(4), polynomials(400, 3, "legendre")
    free = np.ones(400)
    free[120:300] = 0.0
    (low, high, doubt), *others = window_doubts(basis, free)
    assert (low, high, others) == (120, 300, [])
    used = free > 0
    noise = rng.normal(0, 1, (used.sum(), 3000))
    fits = basis[120:300] @ np.linalg.lstsq(basis[used], noise, rcond=None)[0]
    assert doubt == pytest.approx(fits.sum(axis=0).std() / np.sqrt(180), rel=0.05)
    assert window_doubts(basis, np.ones(400)) == []


@pytest.mark.parametrize(("width", "said"), [(60.0, 0), (700.0, 1)])
def test_a_line_that_may_be_a_slow_wave_is_said(width: float, said: int) -> None:
    """Of a third of the band, in every dump: a sinusoid explains as much."""
    rng = np.random.default_rng(6)
    flux = 0.6 * line(2048, width) + rng.normal(0, 1, (60, 2048))
    _, _, notes = subtracted(flux)
    texts = [text for text in notes.caveats if "nearly as much" in text]
    assert (len(texts) > 0) == bool(said), notes.caveats


@pytest.mark.parametrize("width", [80.0, 100.0])
def test_a_line_within_the_widest_is_not_called_too_wide(width: float) -> None:
    """Of 2048 channels that are eight times as wide as those of the axis."""
    step_km_s = STEP_HZ / REST_HZ * 299792.458 * 8
    rng = np.random.default_rng(7)
    for _ in range(2):
        flux = 2.0 * line(2048, width / step_km_s) + rng.normal(0, 1, (40, 2048))
        _, _, notes = subtracted(flux, widest_km_s=120.0 / 8)
        assert not any("or wider" in text for text in notes.caveats)
