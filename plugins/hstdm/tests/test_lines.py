"""Lines, moment maps and shared OFFs against spectra drawn with hidden parameters."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.stats import mad_std
from astropy.table import QTable
from astropy.wcs import WCS

from csst_hstdm.line_list import Line, LineList
from csst_hstdm.shared_offs import shared_off_factor
from csst_hstdm.spectral_map import SpectralMap
from csst_hstdm.stages.find_lines import find_lines
from csst_hstdm.stages.make_moments import make_moments
from csst_hstdm.weighted_sums import Contributions
from csstcore.api import NotApplicable, Spectra, Table, UnprocessableData
from csstcore.notes import collecting

DATA = os.environ.get("CSST_TEST_DATA", "")
real = pytest.mark.skipif(not DATA, reason="CSST_TEST_DATA names no folder of real data")

REST_HZ, STEP_HZ = 461.0407682e9, 73242.1875
KM_S = 299792.458
SIGMA = 0.1
LINES = LineList(
    "a test", 200.0, [Line("CO 4-3", REST_HZ), Line("other", 461.15e9), Line("far", 470e9)]
)


def frequency(channels: int) -> np.ndarray:
    return (6_294_743 - channels // 2 + np.arange(channels)) * STEP_HZ


def velocity(channels: int) -> np.ndarray:
    return KM_S * (1 - frequency(channels) / REST_HZ)


def spectrum(flux: np.ndarray, sigma: float = SIGMA, **columns: Any) -> Spectra:
    rows = QTable(
        {"state": ["ON"], "frame": ["LSRK"], "rest_frequency": [REST_HZ] * u.Hz} | columns
    )
    variance = np.full((1, len(flux)), sigma**2, np.float32)
    axis = frequency(len(flux)) * u.Hz
    return Spectra(flux[None].astype(np.float32), axis, u.K, variance=variance, rows=rows)


def gaussian(v: np.ndarray, peak: float, centre: float, width: float) -> np.ndarray:
    return peak * np.exp(-4 * np.log(2) * ((v - centre) / width) ** 2)


def test_lines_are_measured_within_their_errors() -> None:
    """60 spectra with a line of hidden strength, place and width: bias and pulls."""
    rng = np.random.default_rng(3)
    pulls, ratios = [], []
    v = velocity(1024)
    for _ in range(60):
        peak, centre, width = rng.uniform(0.8, 3), rng.uniform(-5, 5), rng.uniform(1, 5)
        flux = gaussian(v, peak, centre, width) + rng.normal(0, SIGMA, len(v))
        found = find_lines(spectrum(flux), LINES).table
        assert len(found) == 1
        area = peak * width * np.sqrt(np.pi / (4 * np.log(2)))
        truth = {"peak": peak, "velocity": centre, "fwhm": width, "flux": area, "flux_sum": area}
        pulls.append(
            [(found[n][0].value - t) / found[f"{n}_error"][0].value for n, t in truth.items()]
        )
        ratios.append(found["flux"][0].value / area)
    assert np.mean(ratios) == pytest.approx(1, abs=0.01)
    assert np.abs(np.mean(pulls, axis=0)).max() < 0.4
    assert np.std(pulls, axis=0) == pytest.approx(1, abs=0.25)


def test_noise_has_no_lines_and_an_empty_table() -> None:
    rng = np.random.default_rng(4)
    numbers = [
        len(find_lines(spectrum(rng.normal(0, SIGMA, 2048)), LINES).table) for _ in range(50)
    ]
    assert sum(numbers) <= 1
    empty = find_lines(spectrum(np.zeros(256)), LINES).table
    assert len(empty) == 0
    assert empty["flux_error"].unit == u.K * u.km / u.s


def test_neighbours_absorption_and_names() -> None:
    v = velocity(4096)
    truth = {"CO 4-3": (2.0, 3.0, 2.0), "": (1.5, 15.0, 3.0)}
    flux = sum(gaussian(v, *line) for line in truth.values())
    other_km_s = KM_S * (1 - 461.15e9 / REST_HZ)
    flux = flux + gaussian(v, -1.0, other_km_s, 4.0)
    flux += np.random.default_rng(5).normal(0, SIGMA, len(v))
    flux[100:110] = np.nan
    found = find_lines(spectrum(flux), LINES).table
    assert len(found) == 3
    found.sort("frequency")
    assert list(found["name"]) == ["CO 4-3", "CO 4-3", "other"]
    assert found["velocity"].value == pytest.approx([15.0, 3.0, 0.0], abs=0.15)
    assert found["peak"].value == pytest.approx([1.5, 2.0, -1.0], abs=0.15)


def test_a_line_that_may_be_several_is_said() -> None:
    """HCO+ and CS of a galaxy: 100 km/s apart, and a line in between."""
    first, second = 440.8e9, 440.95e9
    several = LineList("a test", 300.0, [Line("first", first), Line("second", second)])
    v = velocity(1024)
    shifted = spectrum(gaussian(v, 2.0, 0.0, 3.0))
    shifted.rows["rest_frequency"] = second * u.Hz
    shifted.axis = shifted.axis - (REST_HZ - second) * u.Hz
    with collecting() as notes:
        (line,) = find_lines(shifted, several).table
    between = KM_S * (1 - second / first)
    assert (line["name"], line["others"]) == ("second", f"first {between:+.0f} km/s")
    assert any("it may be first -102 km/s" in text for text in notes.caveats)
    (line,) = find_lines(shifted, several, source_velocity_km_s=-90.0).table
    assert (line["name"], line["velocity"].value) == ("first", pytest.approx(between, abs=0.1))
    (line,) = find_lines(shifted, several, source_velocity_km_s=280.0).table
    assert (line["name"], line["others"]) == ("second", "")


def test_noise_that_channels_share_makes_errors_larger() -> None:
    flux = gaussian(velocity(512), 2.0, 0.0, 3.0)
    alone = find_lines(spectrum(flux), LINES).table
    shared = find_lines(spectrum(flux, resampled_variance=[0.64]), LINES).table
    ratio = shared["flux_error"][0] / alone["flux_error"][0]
    assert float(ratio) == pytest.approx(1.25, rel=1e-3)


def test_several_spectra_are_refused() -> None:
    one = spectrum(np.zeros(64))
    two = Spectra(np.zeros((2, 64), np.float32), one.axis, u.K, rows=QTable({"state": ["ON"] * 2}))
    with pytest.raises(UnprocessableData, match="found 2 spectra"):
        find_lines(two, LINES)


def rotating_cube(rng: np.random.Generator, channels: int = 400) -> tuple[SpectralMap, np.ndarray]:
    """A line whose velocity changes along x and whose strength changes along y."""
    v = velocity(channels)[:, None, None]
    y, x = np.mgrid[:12, :10]
    truth = np.stack([0.3 * (y + 1.0), 0.4 * (x - 5.0), np.full(x.shape, 2.0)])
    data = gaussian(v, *truth) + rng.normal(0, SIGMA, (channels, 12, 10))
    wcs = WCS(naxis=3)
    wcs.wcs.ctype, wcs.wcs.cunit = ["RA---TAN", "DEC--TAN", "FREQ"], ["deg", "deg", "Hz"]
    wcs.wcs.crval, wcs.wcs.cdelt = [10.0, 41.0, frequency(channels)[0]], [-0.005, 0.005, STEP_HZ]
    wcs.wcs.crpix, wcs.wcs.restfrq = [5.0, 6.0, 1.0], REST_HZ
    wcs.wcs.set()
    variance = np.full(data.shape, SIGMA**2, np.float32)
    flags = np.zeros(data.shape, np.uint16)
    cube = SpectralMap(data.astype(np.float32), u.K, variance, flags, wcs)
    return cube, truth


def test_moments_are_the_true_ones_within_their_errors() -> None:
    cube, (peak, centre, width) = rotating_cube(np.random.default_rng(6))
    cube.data[:, 0, 0] = np.nan
    cube.flags[:, 3, 3] = 2
    lines = find_lines(spectrum(np.nanmean(cube.data, axis=(1, 2)), 0.02), LINES)
    moments = make_moments(cube, lines)
    area = peak * width * np.sqrt(np.pi / (4 * np.log(2)))
    good = moments.flags == 0
    assert good.sum() > 100
    assert moments.flags[0, 0] == 1
    assert moments.flags[3, 3] == 2
    pull = ((moments.moment_0.value - area) / moments.moment_0_error.value)[good]
    assert np.std(pull) == pytest.approx(1, abs=0.2)
    assert (moments.moment_0.value[good] / area[good]).mean() == pytest.approx(1, abs=0.01)
    bright = good & (peak > 1)
    pull = ((moments.moment_1.value - centre) / moments.moment_1_error.value)[bright]
    assert abs(pull.mean()) < 0.3
    assert np.std(pull) == pytest.approx(1, abs=0.2)
    assert moments.moment_2.value[bright].mean() == pytest.approx(width[0, 0] / 2.3548, rel=0.05)
    spread = moments.moment_2.value - moments.moment_2.value[bright].mean()
    pull = (spread / moments.moment_2_error.value)[bright]
    assert np.std(pull) == pytest.approx(1, abs=0.25)
    assert moments.wcs.naxis == 2
    assert moments.line == "CO 4-3"


def test_without_lines_there_are_no_moments() -> None:
    cube, _ = rotating_cube(np.random.default_rng(7), 64)
    none = find_lines(spectrum(np.zeros(64)), LINES)
    with pytest.raises(NotApplicable, match="no line was found"):
        make_moments(cube, none)
    some = find_lines(spectrum(gaussian(velocity(1024), 2.0, 20.0, 3.0)), LINES)
    with pytest.raises(NotApplicable, match="HCN"):
        make_moments(cube, some, line="HCN 5-4")
    with pytest.raises(UnprocessableData, match="0 channels"):
        make_moments(cube, Table(some.table))


@pytest.mark.parametrize("drift", [0.0, 0.5])
def test_the_noise_of_shared_offs_is_that_of_many_realisations(drift: float) -> None:
    """Six ONs between two OFFs, four times over; with a drift, they do not share all channels."""
    rng = np.random.default_rng(9)
    ons, cycles, channels = 6, 4, 40000
    weight = np.tile((np.arange(ons) + 0.5) / ons, cycles)
    before = np.repeat(np.arange(cycles), ons)
    off = rng.normal(0, 0.5, (cycles + 1, channels))
    shift = drift * np.arange(ons * cycles)
    flux = rng.normal(0, 1.0, (ons * cycles, channels))
    for k, (low, share) in enumerate(zip(before, weight, strict=True)):
        flux[k] -= np.roll((1 - share) * off[low] + share * off[low + 1], round(shift[k]))
    squares = (1 - weight) ** 2 + weight**2
    variance = 1 + 0.25 * squares
    rows = QTable({"state": ["ON"] * len(flux), "off_weight": weight})
    rows["off_before"], rows["off_after"] = before * 1000, (before + 1) * 1000
    rows["off_fraction"] = 0.25 * squares / variance
    axis = frequency(channels) * u.Hz
    rows["velocity_shift"] = shift * STEP_HZ / axis.value.mean() * KM_S * u.km / u.s
    plane = np.repeat(variance[:, None], channels, axis=1).astype(np.float32)
    dumps = Spectra(flux.astype(np.float32), axis, u.K, plane, rows=rows)
    parts = [Contributions.to_one(np.arange(len(flux)))]
    factor = shared_off_factor([dumps], parts, [1 / variance], 1)
    mean = np.average(flux, axis=0, weights=1 / variance)
    assert np.var(mean) == pytest.approx(factor[0] / np.sum(1 / variance), rel=0.03)


@pytest.mark.data
@real
def test_moments_of_l1448_agree_with_sums_by_hand() -> None:
    """FCRAO map of the COMPLETE survey: the cloud is at 4.5 km/s (Ridge et al. 2006)."""
    with fits.open(Path(DATA) / "radio" / "l1448_13co.fits.gz") as units:
        data, header = units[0].data.astype(np.float32), units[0].header
    v = (header["CRVAL3"] + (np.arange(len(data)) + 1 - header["CRPIX3"]) * header["CDELT3"]) / 1e3
    rest_hz = 110.201354e9
    wcs = WCS(naxis=3)
    wcs.wcs.ctype, wcs.wcs.cunit = ["RA---TAN", "DEC--TAN", "VRAD"], ["deg", "deg", "m/s"]
    wcs.wcs.crval, wcs.wcs.cdelt = [51.0, 30.7, v[0] * 1e3], [-0.006, 0.006, header["CDELT3"]]
    wcs.wcs.crpix, wcs.wcs.restfrq = [1.0, 1.0, 1.0], rest_hz
    wcs.wcs.set()
    noise = mad_std(np.diff(data[:8], axis=0), ignore_nan=True) / np.sqrt(2)
    cube = SpectralMap(
        data, u.K, np.full_like(data, noise**2), np.zeros(data.shape, np.uint16), wcs
    )
    row = {"name": ["13CO 1-0"], "rest_frequency": [rest_hz] * u.Hz}
    row |= {"velocity": [4.5] * u.km / u.s, "fwhm": [1.5] * u.km / u.s}
    lines = Table(QTable(row))
    moments = make_moments(cube, lines, clip=0)
    bright = moments.moment_0.value > 20 * moments.moment_0_error.value
    inside = (v >= moments.lowest_km_s - 1e-3) & (v <= moments.highest_km_s + 1e-3)
    total = data[inside].sum(axis=0)
    by_hand = (data[inside] * v[inside][:, None, None]).sum(axis=0) / total
    assert bright.sum() > 1000
    assert np.median(moments.moment_1.value[bright]) == pytest.approx(4.5, abs=0.5)
    assert moments.moment_1.value[bright] == pytest.approx(by_hand[bright], abs=0.01)
    step = abs(header["CDELT3"]) / 1e3
    assert moments.moment_0.value[bright] == pytest.approx(total[bright] * step, rel=1e-3)
