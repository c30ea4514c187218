"""The observatory, made once for all tests."""

from __future__ import annotations

import fcntl
import os
import runpy
import shutil
from pathlib import Path

import pytest

from .observatory import DETECTOR, ROOT, SEED, Observatory, csstcore, finish, freeze_sources, start

MAKE_PLANS = ROOT / "examples" / "demo" / "make_plans.py"
STARS = """stars_per_arcmin2 = 200.0
star_g_mag = [16.5, 21.0]
star_slope = 0.1
galaxies_per_arcmin2 = 20.0
"""
"""Enough stars that Gaia would see on the 0.5 square arcminutes of the small detector."""


@pytest.fixture(scope="session", autouse=True)
def _sources(tmp_path_factory: pytest.TempPathFactory) -> None:
    freeze_sources(tmp_path_factory.mktemp("sources"))


@pytest.fixture(scope="session")
def observatory(tmp_path_factory: pytest.TempPathFactory) -> Observatory:
    """Simulate, make references, run ``mbi.l1``; processes of pytest-xdist share the result."""
    root = tmp_path_factory.getbasetemp()
    root = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root
    site, complete = Observatory(root / "observatory"), root / "observatory.complete"
    with (root / "observatory.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not complete.exists():
            shutil.rmtree(site.folder, ignore_errors=True)
            site.folder.mkdir()
            _build(site)
            complete.touch()
    return site


def _build(site: Observatory) -> None:
    plans = runpy.run_path(str(MAKE_PLANS))
    calibration, sky = plans["write_plans"](site.folder, plans["SMALL"], DETECTOR, SEED)
    sky.write_text(sky.read_text() + STARS)
    quiet = ("--no-figures",)
    simulated = [
        start("run", "sim.msc_calibration", calibration, "-o", site.calibration, "-j", 2, *quiet),
        start("run", "sim.sky", sky, "-o", site.folder / "sky", *quiet),
        start("run", "sim.msc_imaging", sky, "-o", site.raw, *quiet),
    ]
    for done in map(finish, simulated):
        assert done.code == 0, done.err
    stars = next((site.folder / "sky" / "products").rglob("*reference_stars.fits"))
    _add(site, "imaging.stars", stars)
    masters = site.folder / "masters"
    for name in ("gain", "bias", "nonlinearity", "dark", "flat"):
        words = ("run", f"calib.make_{name}", site.calibration / "products", "-o", masters)
        csstcore(*words, "--refs", site.references, *quiet)
        made = masters / "products" / f"calib.make_{name}" / str(DETECTOR)
        _add(site, f"calib.{name}", *made.glob("*.fits"))
    site.run_level1("-j", 2)


def _add(site: Observatory, kind: str, *files: Path) -> None:
    for file in files:
        csstcore("refs", "add", kind, file, "--useafter", "always", "--refs", site.references)
