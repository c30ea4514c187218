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
RASTER = 'file_type = "OTFM"\nrows = 7\non_dumps = 14\noff_dumps = 8\n'
FAULTS = "faults = { dropped = [60], not_a_number = [70] }"
DATA = os.environ.get("CSST_TEST_DATA", "")
GREEN_BANK = Path(DATA) / "radio" / "gbt_gdigs_w43"
LIGHT_KMS, REST_HZ = 299792.458, 492.1607e9
BEAM_ARCSEC = 1.2 * LIGHT_KMS * 1e3 / REST_HZ / 2.0 * 180 * 3600 / np.pi
DILUTION = 400**2 / (400**2 + BEAM_ARCSEC**2)
CHANNEL_KMS = 73242.1875 / REST_HZ * LIGHT_KMS


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Night:
    """A target in two files half an orbit apart, a map of a point, and a target without loads."""
    site = Night(tmp_path_factory.mktemp("hstdm"))
    good = PLAN.format(name="orion", project="P0001", width=1.2, size=400.0)
    good += OBSERVATION.format(obs_id=FIRST, hour="00:00")
    good += OBSERVATION.format(obs_id=SECOND, hour="00:46") + FAULTS
    lacking = PLAN.format(name="unloaded", project="P0002", width=3.0, size=400.0)
    lacking += OBSERVATION.format(obs_id=UNLOADED, hour="02:00") + "load_dumps = 0\ncycles = 1\n"
    raster = PLAN.format(name="point", project="P0003", width=1.2, size=0.0)
    raster += OBSERVATION.format(obs_id=MAP, hour="03:00") + RASTER
    for name, text in (("good", good), ("lacking", lacking), ("raster", raster)):
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


def test_the_map_shows_the_point_through_beam_and_kernel(night: Night) -> None:
    with fits.open(night.result("*CUBE_P0003*")) as units:
        cube, header = np.array(units["T_MB"].data), units["T_MB"].header
        beam = units[0].header["BMAJ"] * 3600
    assert beam == pytest.approx(BEAM_ARCSEC * np.sqrt(1 + 1 / 9), rel=0.01)
    plane, row, column = np.unravel_index(np.nanargmax(cube), cube.shape)
    place = WCS(header).wcs_pix2world(column, row, plane, 0)
    assert place[0] == pytest.approx(83.82208, abs=12 / 3600)
    assert place[1] == pytest.approx(-5.39111, abs=12 / 3600)
    velocity = (1 - place[2] / REST_HZ) * LIGHT_KMS
    assert velocity == pytest.approx(9.0, abs=0.15)
    # a pixel half its width off the source loses 2 %
    assert 0.9 * 30.0 * 0.93 < cube[plane, row, column] < 0.9 * 30.0 * 1.04


@pytest.mark.data
@pytest.mark.skipif(not DATA, reason="CSST_TEST_DATA names no folder of real data")
def test_green_bank_spectra_are_written_as_the_observatory_has_them(tmp_path: Path) -> None:
    raw = GREEN_BANK / "gdigs-testdata.fits.gz"
    csstcore("run", "hstdm.gbt_position_switch", raw, "-o", tmp_path, "--no-figures")
    (path,) = (tmp_path / "products").rglob("*_switched.fits")
    found = fits.getdata(path, "SPECTRA")
    answer = fits.getdata(GREEN_BANK / "gdigs-testdata-getps-outputs.fits.gz", 1)
    assert len(found) == len(answer) == 6
    for row in answer:
        same = (found["WINDOW"] == row["IFNUM"]) & (found["POL"] == row["PLNUM"])
        (index,) = np.flatnonzero(same)
        assert np.abs(found["FLUX"][index] - row["DATA"]).max() < 1e-3
        assert found["TSYS"][index] == pytest.approx(row["TSYS"], rel=1e-3)
