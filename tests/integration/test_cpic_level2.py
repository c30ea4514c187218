"""Simulated rolls of a star from Level 0 to its planets by commands, against their truth."""

from __future__ import annotations

import os
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
from astropy.wcs import WCS

from csst_cpic.detector import Detector
from csst_cpic.stages.bias_level import subtract_bias_level
from csst_sim.cpic.calibration import true_references
from csst_sim.cpic.direct import simulate_frames
from csstcore.api import Image, replace
from csstcore.definitions.catalog import Definitions
from csstcore.definitions.sources import Sources
from csstcore.definitions.write import write_product
from csstcore.plugins.discovery import discover
from csstcore.testing.references import FakeReferences

pytestmark = pytest.mark.slow  # seven commands

PLAN = Path(__file__).parents[2] / "examples" / "cpic" / "target.toml"
PLANETS = tomllib.loads(PLAN.read_text())["star"][0]["planet"]
READOUT, EM_GAIN = "176x136", 300.0
ATTENUATION = 1e-4
SETTINGS = {
    "register_frames.size_pixel": 121,
    "subtract_psf.outer_radius_pixel": 58,
    "measure_star.transmission": ATTENUATION,
    "measure_star.size_pixel": 31,
}


@dataclass(frozen=True)
class Site:
    """What the runs made."""

    folder: Path

    def table(self, pipeline: str, kind: str) -> QTable:
        """The rows of a product."""
        return QTable.read(self.product(pipeline, kind))

    def product(self, pipeline: str, kind: str) -> Path:
        """A file of Level 2."""
        (path,) = (self.folder / "l2" / "products" / pipeline).rglob(f"*_{kind}_*.fits")
        return path


def csstcore(*words: object) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "csstcore.cli.main", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def write_references(folder: Path) -> FakeReferences:
    """Fill a store with what perfect calibration of the camera of the plan would find."""
    store, definitions = FakeReferences(folder / "references"), Definitions(discover())
    text = (files("csst_cpic") / f"references/detector_{READOUT}.toml").read_text()
    detector = Detector(**tomllib.loads(text))
    dark = simulate_frames(
        0.0, frames=30, em_gain=EM_GAIN, exposure_time_s=0.0, file_type="BIAS", instrument_seed=1
    )
    planes = [subtract_bias_level(frame, detector)[0].data for frame in dark.frames]
    meta = replace(dark.frames[0].meta, frame=None, filter="f661")
    products: dict[str, Any] = true_references(dark.device, dark.readout, meta, [1, 300, 1000])
    median = np.median(planes, axis=0).astype(np.float32)
    variance = np.full(median.shape, 25 * np.pi / 2 / len(planes), np.float32)
    flags = np.zeros(median.shape, np.uint16)
    products["bias"] = Image(median, u.adu, variance, flags, meta=meta)
    for name, product in products.items():
        definition = definitions.get(f"cpic.{name}")
        store.add(f"cpic.{name}", write_product(definition, product, Sources(), folder / "masters"))
    return store


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Plan to Level 0 to Level 1; a library of the reference star; both ways to Level 2."""
    folder = tmp_path_factory.mktemp("cpic")
    store = write_references(folder)
    refs = ("--refs", store.folder)
    csstcore("run", "sim.cpic", PLAN, "-o", folder / "raw", "--no-figures")
    csstcore("run", "cpic.l1", folder / "raw/products", "-o", folder / "l1", *refs, "--no-figures")
    level1 = folder / "l1/products/cpic.l1"
    chosen = [f"--set={name}={value}" for name, value in SETTINGS.items()]
    words = ("run", "cpic.make_library", level1 / "41000000005", "-o", folder / "library", *refs)
    csstcore(*words, chosen[0], "--no-figures")
    (library,) = (folder / "library").rglob("*_library_*.fits")
    store.add("cpic.library", library)
    series = [level1 / f"4100000000{k}" for k in (1, 2, 3, 4, 6)]
    for pipeline in ("cpic.l2_adi", "cpic.l2_rdi"):
        csstcore("run", pipeline, *series, "-o", folder / "l2", *refs, *chosen, "--figures")
    return Site(folder)


@pytest.mark.parametrize("pipeline", ["cpic.l2_adi", "cpic.l2_rdi"])
def test_the_planets_of_the_plan_are_found_with_contrast_and_place(
    site: Site, pipeline: str
) -> None:
    table, limits = site.table(pipeline, "COMP"), site.table(pipeline, "CONT")
    bright = [p for p in PLANETS if p["contrast"] > 1.3 * limit_at(limits, p["separation_mas"])]
    assert bright
    assert len(bright) <= len(table) <= len(PLANETS)
    assert np.all(table["CONVERGD"])
    for planet in bright:
        away = table["SEP_MAS"].to_value(u.mas) - planet["separation_mas"]
        row = table[np.argmin(np.abs(away))]
        assert abs(row["CONTRAST"] - planet["contrast"]) < 3.5 * row["E_CONTR"]
        assert row["E_CONTR"] < 0.2 * planet["contrast"]
        assert np.abs(away).min() < max(3.5 * row["E_SEP"].value, 1.6)
        turn = row["PA_DEG"].value - planet["position_angle_deg"]
        assert abs(turn) < max(3.5 * row["E_PA"].value, 0.2)


@pytest.mark.parametrize("pipeline", ["cpic.l2_adi", "cpic.l2_rdi"])
def test_the_residual_image_shows_them_north_up(site: Site, pipeline: str) -> None:
    with fits.open(site.product(pipeline, "RESI")) as units:
        data, header = units["RESIDUAL"].data, units["RESIDUAL"].header
        settings = units["SETTINGS"].data
        assert settings["mode"][0].strip() == pipeline[-3:]
        assert units["SNR"].data.shape == data.shape
    wcs = WCS(header)
    star = wcs.pixel_to_world(data.shape[1] // 2, data.shape[0] // 2)
    for row in site.table(pipeline, "COMP"):
        place = wcs.pixel_to_world(row["X"].value - 1, row["Y"].value - 1)
        assert star.separation(place).to_value(u.mas) == pytest.approx(
            row["SEP_MAS"].value, rel=1e-3
        )
        angle = star.position_angle(place).to_value(u.deg)
        assert angle == pytest.approx(row["PA_DEG"].value, abs=0.1)
        y, x = round(row["Y"].value) - 1, round(row["X"].value) - 1
        assert data[y, x] > 0.8 * np.nanmax(data[y - 2 : y + 3, x - 2 : x + 3])


@pytest.mark.parametrize("pipeline", ["cpic.l2_adi", "cpic.l2_rdi"])
def test_the_contrast_curve_is_that_of_the_dark_zone(site: Site, pipeline: str) -> None:
    limits = site.table(pipeline, "CONT")
    known = np.isfinite(limits["CONTRAST"])
    assert known.sum() > 0.7 * len(limits)
    throughput = limits["THROUGH"][known]
    assert np.all((throughput > 0.3) & (throughput < 1.1))
    assert 1e-9 < limit_at(limits, 500.0) < 3e-8
    assert np.all(limits["CONTR95"][known] > limits["CONTRAST"][known])


def limit_at(limits: QTable, separation_mas: float) -> float:
    """The contrast of a curve, between its rows."""
    known = np.isfinite(limits["CONTRAST"])
    where = limits["SEP_MAS"].to_value(u.mas)[known]
    return float(np.interp(separation_mas, where, limits["CONTRAST"][known]))


def test_the_report_has_the_pictures(site: Site) -> None:
    pictures = {path.name.split("-")[-1] for path in (site.folder / "l2").rglob("*.png")}
    assert {"cpic.residual_with_companions.png", "cpic.contrast_curve.png"} <= pictures
