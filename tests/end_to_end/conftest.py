"""The observatory, made once for all tests."""

from __future__ import annotations

import fcntl
import os
import runpy
import shutil
from pathlib import Path

import pytest

from .observatory import DETECTOR, ROOT, SEED, Observatory, csstcore, finish, freeze_sources, start

NOON = "2027-08-01T12:00:00"
"""Between the exposure of the standard field and that of the sky."""
MAKE_PLANS = ROOT / "examples" / "demo" / "make_plans.py"


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
    calibration, standard, sky = plans["write_plans"](site.folder, plans["SMALL"], DETECTOR, SEED)
    quiet = ("--no-figures",)
    simulated = [
        start("run", "sim.msc_calibration", calibration, "-o", site.calibration, "-j", 2, *quiet),
        start("run", "sim.sky", standard, sky, "-o", site.folder / "sky", *quiet),
        start("run", "sim.msc_imaging", standard, "-o", site.standard, *quiet),
        start("run", "sim.msc_imaging", sky, "-o", site.raw, *quiet),
    ]
    for done in map(finish, simulated):
        assert done.code == 0, done.err
    seen = site.folder / "sky" / "products" / "sim.sky"
    _add(site, "imaging.stars", *(seen / "standard").glob("*reference_stars.fits"))
    _add(site, "imaging.stars", *(seen / "sky").glob("*reference_stars.fits"), start=NOON)
    masters = site.folder / "masters"
    for name in ("gain", "bias", "nonlinearity", "dark", "flat"):
        words = ("run", f"calib.make_{name}", site.calibration / "products", "-o", masters)
        csstcore(*words, "--refs", site.references, *quiet)
        made = masters / "products" / f"calib.make_{name}" / str(DETECTOR)
        _add(site, f"calib.{name}", *made.glob("*.fits"))
    _make_colour_terms(site, *quiet)
    site.run_level1("-j", 2)


def _make_colour_terms(site: Observatory, *words: str) -> None:
    folder = site.standard / "level1"
    refs = ("--refs", site.references, *words)
    csstcore("run", "mbi.l1", site.standard / "products", "-o", folder, *refs)
    catalogs = (folder / "products").rglob("*_CAT.fits")
    csstcore("run", "mbi.make_colour_terms", *catalogs, "-o", folder, *refs)
    made = (folder / "products" / "mbi.make_colour_terms").rglob("*.fits")
    _add(site, "imaging.colour_terms", *made)


def _add(site: Observatory, kind: str, *files: Path, start: str = "always") -> None:
    for file in files:
        csstcore("refs", "add", kind, file, "--useafter", start, "--refs", site.references)
