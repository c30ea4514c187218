"""Terahertz spectra from a plan to Level 1 and 2, against what the simulator put in."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray
from scipy.optimize import curve_fit

from csstcore.run.record import JobRecord, load_record

from .observatory import csstcore

PLAN = """
name = "{name}"
kind = "hstdm"
project_id = "{project}"
channels = 512
tuned_velocity_kms = 9.0
instrument_seed = 4
effects = {{ load_couplings = false }}

[[source]]
peak_kelvin = 30.0
fwhm_kms = {width}
velocity_kms = 9.0
size_arcsec = {size}
"""
OBSERVATION = """
[[observation]]
obs_id = "{obs_id}"
time = 2028-03-01T{hour}:00Z
load_interval_s = 60.0
"""
FIRST, SECOND, UNLOADED, MAP = "50000000001", "50000000002", "50000000011", "50000000021"
OTHER_LINE_HZ = 492.5e9
OTHER_LINE = "line_ghz = 492.5"
RASTER = """
file_type = "OTFM"
rows = 21
row_spacing_arcsec = 14.0
dump_spacing_arcsec = 14.0
on_dumps = 22
off_dumps = 10
"""
FAULTS = "faults = { dropped = [60], not_a_number = [70] }"
DATA = os.environ.get("CSST_TEST_DATA", "")
GREEN_BANK = Path(DATA) / "radio" / "gbt_gdigs_w43"
LIGHT_KMS, REST_HZ = 299792.458, 492.1607e9
BEAM_ARCSEC = 1.2 * LIGHT_KMS * 1e3 / REST_HZ / 2.0 * 180 * 3600 / np.pi
POINT_KELVIN = 200.0
DILUTION = 400**2 / (400**2 + BEAM_ARCSEC**2)
CHANNEL_KMS = 73242.1875 / REST_HZ * LIGHT_KMS


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Night:
    """A target in two files half an orbit apart, a map of a point, two lines of one target, and a
    target without loads."""
    site = Night(tmp_path_factory.mktemp("hstdm"))
    good = PLAN.format(name="orion", project="P0001", width=1.2, size=400.0)
    good += OBSERVATION.format(obs_id=FIRST, hour="00:00")
    good += OBSERVATION.format(obs_id=SECOND, hour="00:46") + FAULTS
    lacking = PLAN.format(name="unloaded", project="P0002", width=3.0, size=400.0)
    lacking += OBSERVATION.format(obs_id=UNLOADED, hour="02:00") + "load_dumps = 0\ncycles = 1\n"
    raster = PLAN.format(name="point", project="P0003", width=1.2, size=0.0)
    raster += OBSERVATION.format(obs_id=MAP, hour="03:00") + RASTER
    raster = raster.replace("peak_kelvin = 30.0", f"peak_kelvin = {POINT_KELVIN}")
    texts = {"good": good, "lacking": lacking, "raster": raster}
    for number, line in enumerate(("", OTHER_LINE)):
        text = PLAN.format(name="galaxy", project="P0004", width=2.0, size=400.0)
        text = text.replace('kind = "hstdm"', f'kind = "hstdm"\n{line}')
        if line:
            text += "rest_frequency_ghz = 492.5\n"
        texts[f"line{number}"] = text + OBSERVATION.format(
            obs_id=f"5000000003{number}", hour=f"04:{10 * number:02d}"
        )
    for name, text in texts.items():
        (site.folder / f"{name}.toml").write_text(text)
    plans = sorted(site.folder.glob("*.toml"))
    csstcore("run", "sim.hstdm", *plans, "-o", site.raw, "--no-figures")
    measured = site.truth(FIRST, "sideband_gain*")
    store = ("--refs", site.folder / "references")
    csstcore("refs", "add", "hstdm.sideband_gain", measured, "--useafter", "always", *store)
    words = ("run", "hstdm.l1", site.raw / "products", "-o", site.level1, *store, "--no-figures")
    csstcore(*words, code=4)
    for name in ("target", "otf"):
        words = ("run", f"hstdm.l2_{name}", site.level1 / "products", "-o", site.level2, *store)
        csstcore(*words, "--no-figures")
    return site


class Night:
    """Where everything lies."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.raw, self.level1, self.level2 = (folder / name for name in ("raw", "l1", "l2"))

    def truth(self, obs_id: str, ending: str) -> Path:
        """A file of the simulator."""
        (path,) = (self.raw / "products" / "sim.hstdm" / obs_id).glob(f"*{ending}.fits")
        return path

    def product(self, pattern: str) -> Path:
        """A file of Level 1."""
        (path,) = (self.level1 / "products" / "hstdm.l1" / "P0001").glob(pattern)
        return path

    def record(self, job: str) -> JobRecord:
        (folder,) = (self.level1 / "runs").iterdir()
        return load_record(folder / "jobs" / f"{job}.json")

    def result(self, pattern: str) -> Path:
        """A file of Level 2."""
        (path,) = (self.level2 / "products").rglob(pattern)
        return path

    def dumps(self, obs_id: str) -> tuple[fits.FITS_rec, NDArray[Any]]:
        """Rows of Level 1, and the frequencies in Hz."""
        with fits.open(self.product(f"*{obs_id}*"), memmap=False) as units:
            return units["SPECTRA"].data, np.array(units["FREQUENCY"].data, float)


def test_receiver_temperatures_are_the_true_ones(night: Night) -> None:
    loads = fits.getdata(night.product("*LOAD*"), "LOADS")
    true = fits.getdata(night.truth(FIRST, "receiver_truth"), 1)["t_rec"].mean()
    times, offsets = [], []
    for name in (FIRST, SECOND):
        times.append(fits.getdata(night.truth(name, "L0_V01"), 1)["MJD"])
        offsets.append(fits.getdata(night.truth(name, "dump_truth"), 1)["t_rec_offset"])
    warm = np.interp(loads["MJD"], np.concatenate(times), np.concatenate(offsets))
    assert len(loads) >= 6
    ratio = np.nanmean(loads["TREC"], axis=1) / (true + warm)
    assert ratio.mean() == pytest.approx(1, abs=1e-3)


def test_the_line_comes_out_as_bright_wide_and_fast_as_it_went_in(night: Night) -> None:
    for name in (FIRST, SECOND):
        rows, frequency_hz = night.dumps(name)
        weight = 1 / np.nanmedian(rows["SIGMA"], axis=1) ** 2
        good = (rows["FLAGS"] == 0) & np.isfinite(rows["FLUX"])
        spectrum = np.ma.average(np.ma.array(rows["FLUX"], mask=~good), axis=0, weights=weight)
        velocity = (1 - frequency_hz / REST_HZ) * LIGHT_KMS
        with fits.open(night.truth(name, "sky_truth")) as units:
            axis, sky = units["FREQUENCY"].data, units["SPECTRA"].data["brightness"][0]
        # main-beam to antenna temperature
        line = np.interp(frequency_hz, axis, sky) * 0.80 / 0.96
        here = line > 0.01 * line.max()
        flux = (spectrum - np.ma.median(spectrum[line < 1e-3 * line.max()]))[here]
        assert np.sum(flux * line[here]) / np.sum(line[here] ** 2) == pytest.approx(1, abs=0.01)
        assert flux.sum() / line[here].sum() == pytest.approx(1, abs=0.01)
        centroid = np.sum(velocity[here] * flux) / flux.sum()
        assert centroid == pytest.approx(9.0, abs=0.5 * CHANNEL_KMS)


def test_dumps_lost_and_broken_are_left_out_and_said(night: Night) -> None:
    rows, _ = night.dumps(SECOND)
    broken = rows["FLAG"] != 0
    raw = fits.getdata(night.truth(SECOND, "L0_V01"), 1)
    lost = np.isnan(raw["COUNTS"]).all(axis=1)
    assert lost.sum() == 1
    for index in np.flatnonzero(lost & (raw["STATE"] == "ON")):
        assert broken[np.argmin(np.abs(rows["MJD"] - raw["MJD"][index]))]
    assert "1 dumps are missing inside scans" in str(night.record("P0001"))


def test_a_project_without_loads_fails_with_the_cause(night: Night) -> None:
    record = night.record("P0002")
    assert not (night.level1 / "products" / "hstdm.l1" / "P0002").exists()
    assert "no pair of loads: 0 blocks of HOT, 0 of COLD" in record.why


def test_the_average_spectrum_has_the_line_and_its_name(night: Night) -> None:
    (line,) = fits.getdata(night.result("*LINES_P0001*"), "LINES")
    assert line["NAME"].startswith("[CI]")
    assert line["PEAK"] == pytest.approx(30.0 * DILUTION, rel=0.01)
    assert line["FLUX"] == pytest.approx(30.0 * DILUTION * 1.2 * 1.0645, rel=0.01)
    velocity = (1 - line["FREQ"] / REST_HZ) * LIGHT_KMS
    assert velocity == pytest.approx(9.0, abs=0.1 * CHANNEL_KMS)
    assert line["FWHM"] == pytest.approx(1.2, rel=0.01)


def test_two_lines_of_one_target_are_two_spectra(night: Night) -> None:
    found = {}
    for path in (night.level2 / "products").rglob("*LINES_P0004*"):
        (line,) = fits.getdata(path, "LINES")
        (spectrum,) = (fits.getdata(each, 1) for each in path.parent.glob("*_SPC_*"))
        found[float(spectrum["RESTFREQ"][0])] = line
    assert set(found) == {REST_HZ, OTHER_LINE_HZ}
    for rest_hz, line in found.items():
        assert line["PEAK"] == pytest.approx(30.0 * DILUTION, rel=0.02)
        velocity = (1 - line["FREQ"] / rest_hz) * LIGHT_KMS
        assert velocity == pytest.approx(9.0, abs=0.2 * CHANNEL_KMS)
        assert line["FWHM"] == pytest.approx(2.0, rel=0.02)


def gaussian(place: Any, peak: float, x: float, y: float, width: float) -> Any:
    return peak * np.exp(-4 * np.log(2) * np.hypot(place[0] - x, place[1] - y) ** 2 / width**2)


def test_the_map_shows_the_point_through_beam_and_kernel(night: Night) -> None:
    """Peak and width by the theory of Gaussians, flux as in the simulator's true map."""
    with fits.open(night.result("*CUBE_P0003*")) as units:
        cube, header = np.array(units["T_MB"].data, float), units["T_MB"].header
        flags = np.array(units["FLAGS"].data)
        beam = units[0].header["BMAJ"] * 3600
    assert beam == pytest.approx(BEAM_ARCSEC * np.sqrt(1 + 1 / 9), rel=0.01)
    wcs = WCS(header)
    pixel = header["CD2_2"] * 3600
    frequency_hz = wcs.spectral.wcs_pix2world(np.arange(len(cube)), 0)[0]
    velocity = (1 - frequency_hz / REST_HZ) * LIGHT_KMS
    line = np.abs(velocity - 9.0) < 1.8
    good = (flags[line] == 0).all(axis=0)
    moment = cube[line].sum(axis=0) * CHANNEL_KMS
    y, x = np.nonzero(good)
    start = (moment[good].max(), x.mean(), y.mean(), beam / pixel)
    (peak, x0, y0, width), _ = curve_fit(gaussian, (x, y), moment[good], p0=start)
    area = 1.2 * np.sqrt(np.pi / (4 * np.log(2)))
    assert peak / area == pytest.approx(0.9 * POINT_KELVIN, rel=0.02)
    assert width * pixel / BEAM_ARCSEC == pytest.approx(np.sqrt(1 + 1 / 9), rel=0.02)
    ra, dec = wcs.celestial.wcs_pix2world(x0, y0, 0)
    assert ra == pytest.approx(83.82208, abs=1 / 3600)
    assert dec == pytest.approx(-5.39111, abs=1 / 3600)
    with fits.open(night.truth(MAP, "map_truth")) as units:
        true, header = np.array(units[1].data, float), units[1].header
    step = header["CD2_2"] * 3600
    true_flux = true.sum() * CHANNEL_KMS * step**2
    assert moment[good].sum() * pixel**2 == pytest.approx(true_flux, rel=0.005)


def test_errors_of_the_map_are_honest_at_its_border(night: Night) -> None:
    with fits.open(night.result("*CUBE_P0003*")) as units:
        cube, rms, flags = (np.array(units[name].data) for name in ("T_MB", "RMS", "FLAGS"))
        header = units["T_MB"].header
    frequency_hz = WCS(header).spectral.wcs_pix2world(np.arange(len(cube)), 0)[0]
    velocity = (1 - frequency_hz / REST_HZ) * LIGHT_KMS
    free = np.abs(velocity - 9.0) > 4.0
    pull = cube[free] / rms[free]
    for border in (False, True):
        here = np.isfinite(pull) & ((flags[free] != 0) == border)
        assert here.any()
        assert np.std(pull[here]) == pytest.approx(1.0, abs=0.05)


@pytest.mark.data
@pytest.mark.skipif(not DATA, reason="CSST_TEST_DATA names no folder of real data")
def test_green_bank_spectra_are_written_as_the_observatory_has_them(tmp_path: Path) -> None:
    raw = GREEN_BANK / "gdigs-testdata.fits.gz"
    csstcore("run", "hstdm.gbt_position_switch", raw, "-o", tmp_path, "--no-figures")
    found = {}
    for path in (tmp_path / "products").rglob("*_switched.fits"):
        for row in fits.getdata(path, "SPECTRA"):
            found[row["WINDOW"], row["POL"]] = row
    answer = fits.getdata(GREEN_BANK / "gdigs-testdata-getps-outputs.fits.gz", 1)
    assert len(found) == len(answer) == 6
    for row in answer:
        ours = found[row["IFNUM"], row["PLNUM"]]
        assert np.abs(ours["FLUX"] - row["DATA"]).max() < 1e-3
        assert ours["TSYS"] == pytest.approx(row["TSYS"], rel=1e-3)
