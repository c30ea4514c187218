"""Baselines, averages, lines and moments against spectra drawn with hidden parameters."""

from __future__ import annotations

from typing import Any

import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable

from csst_hstdm.baseline_fit import fit, polynomials, subtract
from csst_hstdm.stages import average_spectra as averaging
from csst_hstdm.stages import subtract_baseline as baselines
from csst_hstdm.stages.average_spectra import average_spectra
from csst_hstdm.stages.subtract_baseline import subtract_baseline
from csstcore.api import Spectra, UnprocessableData

STEP_HZ = 73242.1875
CHANNELS = 1024
SIGMA = 0.5


@pytest.fixture
def metrics(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for module in (baselines, averaging):
        monkeypatch.setattr(module, "metric", found.__setitem__)
    return found


def spectra(flux: np.ndarray, sigma: Any = SIGMA, **changes: Any) -> Spectra:
    rows = QTable({"state": ["ON"] * len(flux), "flag": np.zeros(len(flux), np.int32)})
    rows["rest_frequency"], rows["frame"] = 461.0407682e9 * u.Hz, "LSRK"
    rows["exposure_time"], rows["t_sys"] = 1.0 * u.s, 300.0 * u.K
    variance = np.broadcast_to(np.asarray(sigma, np.float32) ** 2, flux.shape).copy()
    axis = (6_294_700 + np.arange(flux.shape[1])) * STEP_HZ * u.Hz
    values = {"variance": variance, "flags": np.zeros(flux.shape, np.uint16)} | changes
    return Spectra(flux.astype(np.float32), axis, u.K, rows=rows, **values)


def waves(rng: np.random.Generator, dumps: int, channels: int) -> np.ndarray:
    """Cubic baselines and two standing waves of fixed periods, all different in each dump."""
    x = np.arange(channels) / channels
    flux = np.stack([np.polyval(rng.normal(0, 3, 4), x - 0.5) for _ in range(dumps)])
    for cycles, size in ((5.37, 0.6), (14.2, 0.3)):
        flux += size * np.cos(2 * np.pi * (cycles * x + rng.random((dumps, 1))))
    return flux


def lines(channels: int, *places: tuple[float, float, float]) -> np.ndarray:
    at = np.arange(channels)
    return sum(p * np.exp(-4 * np.log(2) * ((at - c) / w) ** 2) for p, c, w in places)


def test_the_flux_of_faint_lines_is_kept_and_baselines_vanish(metrics: dict[str, Any]) -> None:
    """Lines that no single dump shows: their windows come from averages, the fits do not."""
    rng = np.random.default_rng(11)
    line = lines(CHANNELS, (1.2, 300.0, 25.0), (-0.7, 700.0, 12.0))
    noise = rng.normal(0, SIGMA, (600, CHANNELS))
    dumps = spectra(line + noise + waves(rng, 600, CHANNELS))
    subtract_baseline(dumps)
    assert metrics["standing_waves"] == 2
    left = dumps.flux - line - noise
    free = np.abs(line) < 1e-3
    assert np.sqrt(np.mean(left[:, free] ** 2)) < 0.15 * SIGMA  # 8 terms: sqrt(8 / 1024) = 0.09
    assert np.abs(left.mean(axis=0)).max() < 0.1 * SIGMA
    assert np.abs(left.mean(axis=0)[free]).max() < 0.03 * SIGMA
    assert np.std(dumps.flux[:, free]) == pytest.approx(SIGMA, rel=0.02)
    for centre, width in ((300, 25), (700, 12)):
        window = np.abs(np.arange(CHANNELS) - centre) < 1.5 * width
        assert left[:, window].mean(axis=0).sum() == pytest.approx(
            0, abs=0.01 * abs(line[window].sum())
        )


def test_a_bright_line_in_single_dumps_is_kept(metrics: dict[str, Any]) -> None:
    """Bright, wide and moving through the map: no two dumps have the same line."""
    rng = np.random.default_rng(12)
    line = np.stack([lines(CHANNELS, (20.0, c, 40.0)) for c in rng.uniform(200, 800, 40)])
    noise = rng.normal(0, SIGMA, line.shape)
    dumps = spectra(line + noise + waves(rng, 40, CHANNELS))
    subtract_baseline(dumps)
    left = (dumps.flux - line - noise).astype(float)
    bias = (left * (line > 0.1)).sum(axis=1) / line.sum(axis=1)
    assert abs(bias.mean()) < 0.002
    assert np.abs(bias).max() < 0.02


def test_noise_alone_has_no_standing_wave_and_stays_noise(metrics: dict[str, Any]) -> None:
    for seed in range(20):
        flux = np.random.default_rng(seed).normal(0, SIGMA, (20, 512))
        dumps = spectra(flux)
        subtract_baseline(dumps)
        assert metrics["standing_waves"] == 0
        assert metrics["line_fraction"] < 0.5
        assert dumps.flux.std() == pytest.approx(SIGMA, rel=0.03)


def test_flagged_samples_and_other_dumps_are_left_alone() -> None:
    rng = np.random.default_rng(3)
    flux = rng.normal(5.0, SIGMA, (6, 256)).astype(np.float32)
    flux[0, 10:20] = 1e6
    flux[1, :200] = np.nan
    flux[2] = np.nan
    dumps = spectra(flux)
    dumps.flags[0, 10:20] = 4
    dumps.rows["flag"][3] = 64
    dumps.rows["state"] = ["ON", "ON", "ON", "ON", "SKIP", "ON"]
    subtract_baseline(dumps, degree=1, standing_waves=0)
    assert abs(dumps.flux[0, 20:].mean()) < 0.3
    assert abs(dumps.flux[1, 200:].mean()) < 0.3
    assert dumps.flux[3:5].tobytes() == flux[3:5].tobytes()
    assert list(dumps.rows["flag"] != 0) == [False, False, True, True, False, False]


def test_spectra_without_a_good_channel_are_refused() -> None:
    with pytest.raises(UnprocessableData, match="good channels"):
        subtract_baseline(spectra(np.full((3, 256), np.nan)))
    with pytest.raises(UnprocessableData, match="good channels"):
        subtract_baseline(spectra(np.zeros((3, 12))))


@pytest.mark.parametrize("kind", ["legendre", "chebyshev"])
def test_fits_are_those_of_numpy(kind: Any) -> None:
    rng = np.random.default_rng(8)
    flux = rng.normal(0, 1, (5, 300)).astype(np.float32)
    used = rng.random((5, 300)) < 0.7
    basis = polynomials(300, 4, kind)
    residual = subtract(flux, fit(flux, used, basis), basis)
    x = np.linspace(-1, 1, 300)
    for k in range(5):
        expected = np.polynomial.Polynomial.fit(x[used[k]], flux[k][used[k]], 4)(x)
        assert flux[k] - residual[k] == pytest.approx(expected, abs=1e-5)


def test_the_noise_of_an_average_is_that_of_the_radiometer(metrics: dict[str, Any]) -> None:
    """Dumps of all qualities, ten of them in each of three files, lines in the band."""
    rng = np.random.default_rng(21)
    sigma = rng.uniform(0.3, 3.0, (30, 1))
    flux = rng.normal(0, 1, (30, 8192)) * sigma + lines(8192, (3.0, 4000.0, 200.0))
    flags = (rng.random(flux.shape) < 0.02).astype(np.uint16)
    flux[flags != 0] = np.nan
    series = [
        spectra(flux[k : k + 10], sigma[k : k + 10], flags=flags[k : k + 10]) for k in (0, 10, 20)
    ]
    for k, dumps in enumerate(series):
        dumps.rows["t_sys"] = 300 * sigma[10 * k : 10 * k + 10, 0] * u.K
    spectrum = average_spectra(series)
    predicted = np.sqrt(1 / np.sum(sigma**-2.0))
    assert metrics["rms_predicted_kelvin"] == pytest.approx(predicted, rel=0.02)
    assert metrics["rms_over_prediction"] == pytest.approx(1.0, abs=0.03)
    free = lines(8192, (1.0, 4000.0, 200.0)) < 1e-6
    pull = spectrum.flux[0, free] / np.sqrt(spectrum.variance[0, free])
    assert np.std(pull) == pytest.approx(1.0, abs=0.03)
    assert spectrum.flux[0, 4000] == pytest.approx(3.0, abs=4 * predicted)
    assert spectrum.rows["exposure_time"][0] == 30 * u.s


def test_without_variances_weights_follow_from_the_system_temperature() -> None:
    dumps = spectra(np.array([[1.0], [4.0]]) * np.ones((2, 64)), variance=None)
    dumps.rows["t_sys"] = [100.0, 200.0] * u.K
    dumps.rows["exposure_time"] = [1.0, 2.0] * u.s
    spectrum = average_spectra([dumps])
    assert spectrum.flux == pytest.approx((1.0 + 4.0 * 2 / 4) / 1.5)
    one = 100.0**2 / STEP_HZ
    assert spectrum.variance == pytest.approx(1 / (1 / one + 1 / (2 * one)))


def test_the_brightness_of_a_dump_is_no_weight() -> None:
    """Variances that hold the dump's own brightness would draw the mean to the fainter ones."""
    rng = np.random.default_rng(6)
    level = rng.uniform(0, 300, (200, 1))
    dumps = spectra(level * np.ones((200, 64)), (300 + level) / 300)
    spectrum = average_spectra([dumps])
    assert spectrum.flux == pytest.approx(level.mean(), rel=1e-5)
    variance = np.mean(((300 + level) / 300) ** 2) / 200
    assert spectrum.variance == pytest.approx(variance, rel=1e-4)


def test_dumps_without_a_system_temperature_are_weighted_on_the_same_scale() -> None:
    """One dump, or one file: they count as their variances say beside the others."""
    flux = np.array([[1.0], [1.0], [4.0], [4.0]]) * np.ones((4, 64))
    one = spectra(flux)
    one.rows["t_sys"][2:] = np.nan * u.K
    assert average_spectra([one]).flux == pytest.approx(2.5)
    first, second = spectra(flux[:2]), spectra(flux[2:])
    second.rows.remove_column("t_sys")
    assert average_spectra([first, second]).flux == pytest.approx(2.5)


def test_an_average_of_nothing_is_refused() -> None:
    dumps = spectra(np.ones((2, 64)))
    dumps.rows["flag"] = 1
    with pytest.raises(UnprocessableData, match="without flag"):
        average_spectra([dumps])
    with pytest.raises(UnprocessableData, match="every sample"):
        average_spectra([spectra(np.full((2, 64), np.nan))])
    other = spectra(np.ones((2, 64)))
    other.rows["rest_frequency"] = 492e9 * u.Hz
    with pytest.raises(UnprocessableData, match="rest_frequency has 2 values"):
        average_spectra([spectra(np.ones((2, 64))), other])
