"""Simulated coronagraph frames through ``cpic.l1`` on the command line, against their truth."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable
from numpy.typing import NDArray

from csst_cpic.detector import Detector
from csst_cpic.stages.bias_level import subtract_bias_level
from csst_sim.cpic.calibration import true_references
from csst_sim.cpic.direct import SimulatedFrames, simulate_frames
from csst_sim.cpic.series import hit_mask
from csstcore.api import Image, replace
from csstcore.definitions.catalog import Definitions
from csstcore.definitions.read import merge_products, read_products
from csstcore.definitions.sources import Sources
from csstcore.definitions.write import write_product
from csstcore.plugins.discovery import discover
from csstcore.run.record import JobRecord, load_record
from csstcore.testing.references import FakeReferences

READOUT, EM_GAIN, FRAMES, SECONDS = "176x136", 1000.0, 40, 10.0
GOOD = "40100000001"
SHAPE = (128, 128)


def rate() -> NDArray[np.float32]:
    """Electrons per second: a faint background, a smooth glow and a planet."""
    y, x = np.indices(SHAPE)
    glow = 0.02 * np.exp(-np.hypot(y - 63.5, x - 63.5) / 25)
    planet = 0.3 * np.exp(-((y - 40) ** 2 + (x - 80) ** 2) / 6)
    return (0.001 + glow + planet).astype(np.float32)


@dataclass
class Site:
    """What the runs made."""

    folder: Path
    definitions: Definitions
    good: SimulatedFrames

    def record(self, obs_id: str) -> JobRecord:
        """The record of an observation's job."""
        (path,) = self.folder.glob(f"out/runs/*/jobs/{obs_id}.json")
        return load_record(path)

    def product(self, name: str, obs_id: str = GOOD) -> Path:
        """A file of an observation."""
        (path,) = (self.folder / "out/products/cpic.l1" / obs_id).glob(f"*{name}.fits")
        return path

    def frames(self) -> list[Image]:
        """Level 1 with errors."""
        parts = [
            read_products(self.definitions.get(name), self.product(ending))
            for name, ending in (("cpic.l1", "_V01"), ("cpic.l1_error", "_ERR"))
        ]
        return merge_products(parts)


def shipped_detector(readout: str) -> Detector:
    """The numbers that Level 1 is given."""
    text = (files("csst_cpic") / f"references/detector_{readout}.toml").read_text()
    return Detector(**tomllib.loads(text))


def named(frames: list[Image], **facts: Any) -> list[Image]:
    """Frames with other facts."""
    facts = {"filter": "f661", "telescope": "CSST"} | facts
    return [replace(frame, meta=replace(frame.meta, **facts)) for frame in frames]


def write_references(site: Site, store: FakeReferences) -> None:
    """Fill the store: the bias from frames, everything else from the camera's truth."""
    detector = shipped_detector(READOUT)
    zero = {"exposure_time_s": 0.0, "file_type": "BIAS", "seed": 5, "obs_id": "40100000009"}
    dark = simulate_frames(0.0, frames=40, em_gain=EM_GAIN, **zero).frames
    planes = [subtract_bias_level(frame, detector)[0].data for frame in dark]
    meta = replace(site.good.frames[0].meta, frame=None, filter="f661")
    products = true_references(site.good.device, site.good.readout, meta, [1, 10, 100, 1000, 9000])
    variance = np.full(SHAPE, 25 * np.pi / 2 / len(planes), np.float32)
    flags = np.zeros(SHAPE, np.uint16)
    median = np.median(planes, axis=0).astype(np.float32)
    products["bias"] = Image(median, u.adu, variance, flags, meta=meta)
    for name, product in products.items():
        definition = site.definitions.get(f"cpic.{name}")
        path = write_product(definition, product, Sources(), site.folder / "masters")
        store.add(f"cpic.{name}", path)


def write_bad_series(site: Site) -> None:
    """One file or more for each way in which a series can be wrong."""
    raw, folder = site.definitions.get("cpic.l0"), site.folder / "raw"
    few = simulate_frames(rate(), frames=6, em_gain=EM_GAIN, seed=3).frames

    def write(frames: list[Image]) -> Path:
        return write_product(raw, frames, Sources(), folder)

    later = few[0].meta.time + 1 * u.h
    write(named(few[:3], obs_id="40100000011"))
    gain = 50.0 * u.dimensionless_unscaled
    write(named(few[3:], obs_id="40100000011", em_gain=gain, time=later, end_time=later + 1 * u.h))
    lost = named(few, obs_id="40100000012")
    lost[2] = replace(lost[2], data=np.zeros_like(lost[2].data))
    write(lost)
    shape = [replace(frame, data=frame.data[:100, :100].copy()) for frame in few]
    write(named(shape, obs_id="40100000013"))
    full = [replace(frame, data=np.full_like(frame.data, 65535)) for frame in few]
    write(named(full, obs_id="40100000014"))
    write(named(few[:1], obs_id="40100000015"))
    torn = named(few, obs_id="40100000018")
    rows = torn[1].data.copy()
    rows[20:50], rows[60, 80:] = 0, 17
    torn[1] = replace(torn[1], data=rows)
    write(torn)
    copied = named(few[:3], obs_id="40100000019")
    write(copied)
    write_product(raw, copied, Sources(), folder / "copy")
    with fits.open(write(named(few, obs_id="40100000016"))) as units:
        data = units[1].data.astype(np.float32)
        data[0, 0, 0] = np.nan
        units[1].data = data
        units.writeto(units.filename(), overwrite=True)
    with fits.open(write(named(few, obs_id="40100000017"))) as units:
        units[1].data = None
        units.writeto(units.filename(), overwrite=True)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Every series through one run of the real command."""
    folder = tmp_path_factory.mktemp("cpic")
    good = simulate_frames(rate(), frames=FRAMES, em_gain=EM_GAIN, exposure_time_s=SECONDS)
    made = Site(folder, Definitions(discover()), good)
    write_product(
        made.definitions.get("cpic.l0"), named(good.frames, obs_id=GOOD), Sources(), folder / "raw"
    )
    write_bad_series(made)
    store = FakeReferences(folder / "references")
    write_references(made, store)
    words = ["run", "cpic.l1", folder / "raw", "-o", folder / "out", "--refs", store.folder]
    done = subprocess.run(
        [sys.executable, "-m", "csstcore.cli.main", *map(str, words), "--figures"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 4, done.stdout + done.stderr  # the bad ones
    return made


def test_the_mean_of_the_frames_is_the_true_light(site: Site) -> None:
    frames = site.frames()
    good = np.array([frame.flags == 0 for frame in frames])
    data = np.where(good, [frame.data for frame in frames], 0.0)
    number = good.sum(axis=0)
    usable = number > FRAMES // 2
    error = np.sqrt(frames[0].variance[usable] / number[usable])
    difference = (data.sum(axis=0)[usable] / number[usable]) - SECONDS * rate()[usable]
    assert abs(difference.mean()) < 4 * np.sqrt(np.mean(error**2) / usable.sum())
    assert 0.95 < np.std(difference / error) < 1.05
    star = np.zeros(SHAPE, np.bool_)
    star[36:45, 76:85] = True
    star &= number > FRAMES // 2
    mean = data.sum(axis=0)[star] / number[star]
    assert mean.sum() == pytest.approx(SECONDS * rate()[star].sum(), rel=0.05)


def test_the_errors_are_the_scatter_of_the_frames(site: Site) -> None:
    frames = site.frames()
    variance = frames[0].variance
    truth = SECONDS * rate()
    pulls = [
        ((frame.data - truth) / np.sqrt(variance))[frame.flags == 0].ravel() for frame in frames
    ]
    assert 0.95 < np.std(np.concatenate(pulls)) < 1.05


def test_counted_photons_give_the_same_light_with_less_noise(site: Site) -> None:
    (image,) = read_products(site.definitions.get("cpic.l1_rate"), site.product("_RATE")).products
    truth = SECONDS * rate()
    usable = (image.flags == 0) & (truth < 0.5)
    difference, variance = (image.data - truth)[usable], image.variance[usable]
    assert abs(difference.mean()) < 4 * np.sqrt(variance.mean() / usable.sum())
    # In 40 frames one photon or none is counted: errors are those of one, and a fifth too large.
    assert 0.8 < np.std(difference) / np.sqrt(variance.mean()) < 1.05
    assert np.var(difference) < 0.8 * site.frames()[0].variance[usable].mean() / FRAMES


def test_what_cosmic_rays_hit_is_flagged(site: Site) -> None:
    found, bright, marked, right = 0, 0, 0, 0
    for number, frame in enumerate(site.frames()):
        table = site.good.hit_truth
        hit = hit_mask(table, number, SHAPE, deposit_electron=20.0)
        flagged = frame.flagged("cosmic_ray", "saturated", "hot", "bad", "warm")
        bright += int(hit.sum())
        found += int((hit & flagged).sum())
        left = hit_mask(table, number, SHAPE, deposit_electron=1.0, tail_electron=2.0)
        trail = hit_mask(table, number, SHAPE, deposit_electron=1000.0)
        # charge that transfers left behind a hit, above it, is the particle's too
        for row in range(1, 9):
            left[row:] |= trail[:-row]
        marked += int(frame.flagged("cosmic_ray").sum())
        right += int((frame.flagged("cosmic_ray") & left).sum())
    assert bright > 200
    assert found > 0.97 * bright
    assert right > 0.98 * marked


def test_the_header_says_what_was_done(site: Site) -> None:
    with fits.open(site.product("_V01")) as units:
        assert len(units) == 1 + FRAMES
        assert units[1].data.shape == (2, *SHAPE)
        header, last = units[1].header, units[-1].header
        true = site.good.em_gain
        assert units[0].header["EMGAIN"] == pytest.approx(true, rel=1e-3)
        assert units[0].header["EMGAINC"] == EM_GAIN
    assert header["STA_PIPE"] == header["STA_QC0"] == header["STA_QC1"] == 0
    assert header["B_NAM"].startswith("CPIC_EMCCD_bias")
    assert header["B_MEAN"] == pytest.approx(site.good.series.offset_adu[0], abs=2.0)
    assert header["B_STD"] == pytest.approx(5.0, rel=0.15)
    assert header["CTEH_VAL"] == pytest.approx(1 - site.good.device.cti_horizontal, abs=1e-7)
    assert header["I_STD"] > 0
    assert [header[f"FLAG{k}"] for k in range(1, 8)] == [0, 1, 2, 4, 8, 16, 32]
    assert (header["FRAME"], last["FRAME"]) == (0, FRAMES - 1)
    assert last["DATE-OBS"].startswith("2028-01-01T00:06:33.9")


def test_the_numbers_of_flags_in_the_header_are_those_of_the_truth(site: Site) -> None:
    table, frames = site.good.hit_truth, site.frames()
    with fits.open(site.product("_V01")) as units:
        headers = [unit.header for unit in units[1:]]
    for header, frame in zip(headers, frames, strict=True):
        assert header["CR_NUM"] == frame.flagged("cosmic_ray").sum()
        assert header["SP_NUM"] == frame.flagged("saturated").sum()
        assert header["BP_NUM"] == frame.flagged("bad", "hot", "warm").sum()
    bright = touched = 0
    for number, frame in enumerate(frames):
        bright += int(hit_mask(table, number, SHAPE, deposit_electron=4.0).sum())
        hit = hit_mask(table, number, SHAPE, deposit_electron=0.0)
        touched += int((frame.flagged("cosmic_ray") & hit).sum())
    found = sum(header["CR_NUM"] for header in headers)
    assert found + sum(header["SP_NUM"] for header in headers) > bright > 300
    assert touched > 0.9 * found


def test_names_are_as_documented(site: Site) -> None:
    path = site.product("_V01")
    assert path.name.startswith("CSST_CPIC_VIS_SCI_2028")
    with fits.open(path) as units:
        assert units[0].header["FILENAME"] == path.name.removesuffix(".fits")
        assert units[1].header["NAME"] == path.name.removesuffix(".fits")
        assert not any("CONTINUE" in unit.header for unit in units)
        assert units[1].header["BG_NAM"] == "none"


def test_the_dark_in_the_header_is_that_of_its_unflagged_pixels(site: Site) -> None:
    (path,) = (site.folder / "masters").glob("*_dark_*.fits")
    (dark,) = read_products(site.definitions.get("cpic.dark"), path).products
    header = fits.getheader(site.product("_V01"), 1)
    assert header["D_MEAN"] == pytest.approx(dark.data[~dark.flagged()].mean(), rel=1e-5)


def test_a_background_that_is_not_there_is_one_caveat(site: Site) -> None:
    told = [caveat for caveat in site.record(GOOD).caveats if "not subtracted" in caveat]
    assert told == [
        "stage subtract_background: the background is not subtracted: there is no reference"
    ]


def test_the_noise_and_the_pulls_of_a_good_series_are_within_their_limits(site: Site) -> None:
    checks = {check.id: check for check in site.record(GOOD).checks}
    assert checks["model"].ok
    assert checks["pull"].ok


def test_lost_rows_are_flagged_and_harm_nothing_else(site: Site) -> None:
    record = site.record("40100000018")
    assert any(
        "frame 1: 5376 pixels in 31 of 136 rows hold a value that noise cannot give" in caveat
        for caveat in record.caveats
    )
    torn, whole = (
        read_products(site.definitions.get("cpic.l1"), site.product("_V01", obs_id)).products
        for obs_id in ("40100000018", "40100000012")
    )
    lost = np.zeros(SHAPE, np.bool_)
    lost[18:48], lost[58, 48:] = True, True
    assert np.all(torn[1].flagged("bad")[lost])
    assert not np.isfinite(torn[1].data[lost]).any()
    usable = (torn[1].flags == 0) & (whole[1].flags == 0)
    assert np.mean(usable[~lost]) > 0.8
    assert abs(np.mean(torn[1].data[usable] - whole[1].data[usable])) < 0.002
    assert np.array_equal(torn[0].flagged("bad"), whole[0].flagged("bad"))


def test_the_quality_of_every_frame_is_in_a_table_and_in_pictures(site: Site) -> None:
    table = QTable.read(site.product("_QUAL"), unit_parse_strict="silent")
    assert table["FRAME"].tolist() == list(range(FRAMES))
    assert 0.9 < np.median(table["PULL"]) < 1.1
    offsets = site.good.series.offset_adu
    assert np.corrcoef(table["BIAS"].value, offsets)[0, 1] > 0.9
    drawn = {figure.name for figure in site.record(GOOD).figures}
    assert {"cpic.l1-calib.image_with_flags", "cpic.l1_quality-cpic.frame_quality"} <= drawn


@pytest.mark.parametrize(
    ("obs_id", "cause"),
    [
        ("40100000011", "stage check_series: the frames have 2 different EM gains: 1000.0, 50.0"),
        ("40100000013", "the frame has shape (100, 100); expected (136, 176)"),
        ("40100000014", "no frame of 6 holds anything: all pixels are 65535"),
        ("40100000016", "found float32, expected uint16"),
        ("40100000017", "HDU SCI"),
        ("40100000019", "V01.fits are copies or versions of one file"),
    ],
    ids=["mixed EM gains", "wrong shape", "saturated through", "NaN", "empty", "copies"],
)
def test_a_series_that_cannot_be_used_is_refused(site: Site, obs_id: str, cause: str) -> None:
    record = site.record(obs_id)
    assert record.status == "failed"
    assert cause in record.why
    assert not (site.folder / "out/products/cpic.l1" / obs_id).exists()


@pytest.mark.parametrize(
    ("obs_id", "frames", "cause"),
    [
        ("40100000012", 5, "frame 2 is left out: all its pixels are 0"),
        ("40100000015", 1, "1 of 3 frames wanted to tell cosmic rays from light"),
    ],
    ids=["a frame missing", "one frame"],
)
def test_a_series_with_a_fault_is_processed_with_a_caveat(
    site: Site, obs_id: str, frames: int, cause: str
) -> None:
    record = site.record(obs_id)
    assert record.status == "done with caveats"
    assert any(cause in caveat for caveat in record.caveats)
    with fits.open(site.product("_V01", obs_id)) as units:
        assert len(units) == 1 + frames


def test_bias_levels_follow_the_truth() -> None:
    """Drift, stripes, fixed pattern, charge made in the register, cosmic rays with tails."""
    detector = shipped_detector("1080x1050")
    seen = simulate_frames(0.002, frames=6, em_gain=EM_GAIN, readout="1080x1050")
    found = [
        subtract_bias_level(frame, detector)[1].table["level"].to_value(u.adu)[0]
        for frame in seen.frames
    ]
    error = np.array(found) - seen.series.offset_adu
    read_noise_adu = seen.device.read_noise / seen.device.gain
    # The pattern of the columns is in every frame: it is part of the master bias.
    assert np.std(error) < 0.02 * read_noise_adu
    assert abs(np.mean(error)) < 0.1 * read_noise_adu
