"""One exposure of many detectors: a job for each with resume, joint positions, one report."""

from __future__ import annotations

import re
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.time import Time

from csstcore.api import Image, Meta
from csstcore.definitions.catalog import Definitions
from csstcore.definitions.sources import Sources
from csstcore.definitions.write import write_product
from csstcore.plugins.registry import Registry
from csstcore.run.record import load_record

from .observatory import csstcore

OBS_ID = "10100000201"
IMAGING = (6, 7, 8, 9, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 22, 23, 24, 25)
SHAPE = (576, 576)
"""Active pixels of the small readout."""
PLAN = f"""
name = "exposure"
kind = "imaging"
readout = "920x608"
instrument_seed = 5
detectors = {{detectors}}

[[exposure]]
obs_id = "{OBS_ID}"
time = 2027-08-01T16:50:00Z
ra_deg = 150.1
dec_deg = 2.2

[effects]
bias_structure = false
prnu = false
illumination = false
dark = false
hot_pixels = false
dead_pixels = false
nonlinearity = false
charge_transfer = false
cosmic_rays = false

[sky]
seed = 5
stars_per_arcmin2 = 200.0
star_g_mag = [16.5, 21.0]
star_slope = 0.1
galaxies_per_arcmin2 = 20.0
"""
REFERENCES = {
    "bias": (0.0, u.electron),
    "dark": (0.0, u.electron / u.s),
    "flat": (1.0, u.dimensionless_unscaled),
}


def write_references(folder: Path, registry: Registry) -> list[str]:
    """Write references of a detector without effects; return options that take them for all."""
    meta = Meta(
        instrument="MSC",
        detector=8,
        filter="g",
        readout="920x608",
        time=Time("2027-08-01T00:00:00"),
        end_time=Time("2027-08-01T01:00:00"),
        exposure_time=300.0 * u.s,
    )
    words = []
    for name, (value, unit) in REFERENCES.items():
        plane = np.full(SHAPE, value, np.float32)
        image = Image(plane, unit, np.zeros_like(plane), np.zeros(SHAPE, np.uint16), meta=meta)
        definition = Definitions(registry).get(f"calib.{name}")
        path = write_product(definition, image, Sources(), folder)
        words += ["--ref", f"calib.{name}={path}"]
    return words


@pytest.mark.parametrize(
    "detectors",
    [(7, 8, 11), pytest.param(IMAGING, marks=pytest.mark.slow)],
    ids=["three", "eighteen"],
)
def test_an_exposure_of_many_detectors(
    detectors: tuple[int, ...], tmp_path: Path, installed_plugins: Registry
) -> None:
    plan = tmp_path / "exposure.toml"
    plan.write_text(PLAN.format(detectors=list(detectors)))
    store, level1 = tmp_path / "references", tmp_path / "level1"
    csstcore("run", "sim.sky", plan, "-o", tmp_path / "sky", "--no-figures")
    csstcore("run", "sim.msc_imaging", plan, "-o", tmp_path / "raw", "-j", 2, "--no-figures")
    for stars in (tmp_path / "sky").rglob("*reference_stars.fits"):
        csstcore("refs", "add", "imaging.stars", stars, "--useafter", "always", "--refs", store)
    references = ["--refs", store, *write_references(tmp_path / "made", installed_plugins)]

    def run_level1(*words: object) -> dict[str, bool]:
        """Run Level 1; return for each job whether it was kept."""
        raw = tmp_path / "raw" / "products"
        options = ("-o", level1, *references, "-j", 2, "--no-figures", "--json", *words)
        jobs = csstcore("run", "mbi.l1", raw, *options).json()["jobs"]
        assert {job["status"] for job in jobs} <= {"done", "done with caveats"}
        return {job["job"]: job["kept"] for job in jobs}

    begun = run_level1("--shard", "1/2")
    done = run_level1()
    assert done == {f"{OBS_ID}_{d}": f"{OBS_ID}_{d}" in begun for d in detectors}
    assert 0 < len(begun) < len(detectors)

    for job in (level1 / "runs").glob("*-mbi.l1-*/jobs/*.json"):
        (trails,) = [s.metrics for s in load_record(job).stages if s.id == "flag_trails"]
        assert trails["trails"] == 0  # stars in line are none

    catalogs = sorted((level1 / "products" / "mbi.l1").rglob("*_CAT.fits"))
    assert len(catalogs) == len(detectors)
    joint = csstcore("run", "mbi.position", *catalogs, "-o", level1, "--refs", store, "--json")
    assert [job["job"] for job in joint.json()["jobs"]] == [OBS_ID]
    refined = sorted((level1 / "products" / "mbi.position" / OBS_ID).glob("*_CAT.fits"))
    assert len(refined) == len(detectors)

    report = max((level1 / "runs").glob("*-mbi.l1-*")) / "report.html"
    page = report.read_text()
    assert "Focal plane" in page
    shown = re.findall(r"<title>detector (\d+) \(\w+\): status", page)
    assert sorted(map(int, shown)) == sorted(detectors)
    assert "fwhm" in re.findall(r'<label for="map[\d-]+">([^<]+)<', page)
