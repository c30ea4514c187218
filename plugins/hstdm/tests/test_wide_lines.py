"""Lines of all widths beside standing waves: none is taken for a part of the baseline."""

from __future__ import annotations

from typing import Any

import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable

from csst_hstdm.line_list import Line, LineList
from csst_hstdm.stages.average_spectra import average_spectra
from csst_hstdm.stages.find_lines import find_lines
from csst_hstdm.stages.subtract_baseline import subtract_baseline
from csstcore.api import Spectra, UnprocessableData
from csstcore.notes import Notes, collecting

REST_HZ, KM_S = 461.0407682e9, 299792.458
CHANNELS, BAND_HZ = 2048, 1.2e9
STEP_KM_S = BAND_HZ / CHANNELS / REST_HZ * KM_S
AREA = np.sqrt(np.pi / (4 * np.log(2)))
LINES = LineList("a test", 400.0, [Line("CO 4-3", REST_HZ)])


def velocity() -> np.ndarray:
    return STEP_KM_S * (CHANNELS / 2 - np.arange(CHANNELS))


def spectra(flux: np.ndarray) -> Spectra:
    """Dumps of the whole band with channels eight times as wide, noise 1 K."""
    rows = QTable({"state": ["ON"] * len(flux), "frame": ["LSRK"] * len(flux)})
    rows["rest_frequency"] = REST_HZ * u.Hz
    rows["exposure_time"], rows["t_sys"] = 1.0 * u.s, 300.0 * u.K
    axis = (REST_HZ * (1 - velocity() / KM_S)) * u.Hz
    return Spectra(flux.astype(np.float32), axis, u.K, np.ones(flux.shape, np.float32), rows=rows)


def sky(rng: np.random.Generator, line: np.ndarray, dumps: int = 60, waves: float = 0.6) -> Spectra:
    """A line in noise, with cubics and two standing waves that differ in each dump."""
    x = np.arange(CHANNELS) / CHANNELS
    base = np.stack([np.polyval(rng.normal(0, 3, 4), x - 0.5) for _ in range(dumps)])
    for cycles, size in ((rng.uniform(5, 15), waves), (rng.uniform(15, 50), waves / 2)):
        base += size * np.cos(2 * np.pi * (cycles * x + rng.random((dumps, 1))))
    return spectra(line + base + rng.normal(0, 1, base.shape))


def gaussian(peak: float, centre: float, width: float) -> np.ndarray:
    return peak * np.exp(-4 * np.log(2) * ((velocity() - centre) / width) ** 2)


def subtracted(dumps: Spectra, **settings: Any) -> tuple[Spectra, Notes]:
    with collecting() as notes:
        subtract_baseline(dumps, **settings)
        return average_spectra([dumps]), notes


def flux(spectrum: Spectra, centre: float, width: float) -> float:
    inside = np.abs(velocity() - centre) < 1.5 * width
    return float(spectrum.flux[0, inside].sum(dtype=float) * STEP_KM_S)


@pytest.mark.parametrize("width", [5.0, 20.0, 40.0, 60.0, 100.0])
def test_a_bright_line_of_any_width_keeps_its_flux(width: float) -> None:
    peak = 300 * np.sqrt(3 / (60 * width / STEP_KM_S))
    kept = []
    for seed in range(2):
        rng = np.random.default_rng(seed)
        centre = rng.uniform(-150, 150)
        spectrum, notes = subtracted(sky(rng, gaussian(peak, centre, width)))
        assert notes.metrics["standing_waves"] == 2
        kept.append(flux(spectrum, centre, width) / (peak * width * AREA))
    assert np.mean(kept) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("width", [20.0, 60.0, 100.0])
def test_errors_hold_how_far_the_baseline_is_uncertain(width: float) -> None:
    """A line of 40 times its noise, 12 times: pulls of fitted and summed flux are about 1."""
    peak, pulls = 40 * np.sqrt(3 / (10 * width / STEP_KM_S)), []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        spectrum, _ = subtracted(sky(rng, gaussian(peak, 20.0, width), dumps=10))
        found = find_lines(spectrum, LINES).table[0]
        truth = peak * width * AREA
        pulls.append(
            [(found[n].value - truth) / found[f"{n}_error"].value for n in ("flux", "flux_sum")]
        )
    size = np.sqrt(np.mean(np.square(pulls), axis=0))
    assert np.all((size > 0.5) & (size < 1.5)), size


def test_the_error_of_a_wide_line_is_mostly_that_of_its_baseline() -> None:
    spectrum, _ = subtracted(sky(np.random.default_rng(1), gaussian(2.0, 20.0, 100.0)))
    known = find_lines(spectrum, LINES).table["flux_error"][0]
    spectrum.rows.remove_columns(["baseline_degree", "baseline_periods"])
    assert known > 1.3 * find_lines(spectrum, LINES).table["flux_error"][0]


def test_a_line_wider_than_is_searched_is_said() -> None:
    rng = np.random.default_rng(3)
    _, notes = subtracted(sky(rng, gaussian(2.0, 0.0, 60.0)), widest_km_s=20.0)
    assert any("or wider" in text for text in notes.caveats)
    _, notes = subtracted(sky(np.random.default_rng(3), gaussian(2.0, 0.0, 60.0)))
    assert not notes.caveats


def test_a_galaxy_needs_its_window_and_gets_a_caveat() -> None:
    """A line of 200 km/s in 780: the cubic beneath it is hardly known."""
    line = gaussian(0.5, 0.0, 200.0)
    spectrum, notes = subtracted(
        sky(np.random.default_rng(5), line, waves=0.0), windows_km_s=[(-250.0, 250.0)]
    )
    assert any("is uncertain by" in text for text in notes.caveats)
    found = find_lines(spectrum, LINES, widest_km_s=300.0).table[0]
    error = found["flux_error"].value
    assert found["flux"].value == pytest.approx(0.5 * 200.0 * AREA, abs=3 * error)


def test_a_window_that_is_given_keeps_a_faint_line() -> None:
    """Three times its noise: found in few spectra only; the window takes it out of all fits."""
    width, kept = 40.0, []
    peak = 3 * np.sqrt(3 / (60 * width / STEP_KM_S))
    for seed in range(2):
        one, other = (
            subtracted(
                sky(np.random.default_rng(seed), gaussian(size, 0.0, width)),
                windows_km_s=[(-60.0, 60.0)],
            )[0]
            for size in (peak, 0.0)
        )
        kept.append((flux(one, 0.0, width) - flux(other, 0.0, width)) / (peak * width * AREA))
    assert kept == pytest.approx([1.0] * 2, abs=0.01)


def test_windows_are_refused_where_they_mean_nothing() -> None:
    dumps = sky(np.random.default_rng(1), np.zeros(CHANNELS), dumps=3)
    with pytest.raises(UnprocessableData, match="lower end first"):
        subtract_baseline(dumps, windows_km_s=[(5.0, -5.0)])
    dumps.axis = np.repeat(dumps.axis[None], 3, axis=0)
    with pytest.raises(UnprocessableData, match="needs one axis"):
        subtract_baseline(dumps, windows_km_s=[(-5.0, 5.0)])


@pytest.mark.parametrize("value", [0.0, 3.0])
def test_spectra_without_noise_stay_as_they_are(value: float) -> None:
    dumps = spectra(np.full((4, CHANNELS), value))
    subtract_baseline(dumps)
    assert dumps.flux == pytest.approx(0, abs=1e-5)
