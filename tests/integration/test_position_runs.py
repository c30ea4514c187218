"""Positions from the command line: three detectors, each alone, together, with a reference."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from scipy.spatial import cKDTree

from ..end_to_end.observatory import csstcore

pytestmark = pytest.mark.slow  # a minute of processes

OBS_IDS = ("10100000001", "10100000002")
DETECTORS = (8, 13, 23)
FAINT = 13
"""An NUV detector: few stars."""

PLAN = """name = "positions"
kind = "imaging"
readout = "920x608"
detectors = [8, 13, 23]
effects = { galaxies = false, cosmic_rays = false, charge_transfer = false, prnu = false }
sky = { stars_per_arcmin2 = 200.0, star_g_mag = [16.5, 21.0], star_slope = 0.1 }
"""

CATALOGUE = """[pipeline]
name = "quick_catalogue"
summary = "Catalogue of one detector without references"
group_by = ["obs_id", "detector"]

[requires]
csst-msc = ">=0.1,<0.2"
csst-calib = ">=0.1,<0.2"
csst-imaging = ">=0.1,<0.2"

[inputs]
image = { definition = "msc.l0" }

[[stage]]
use = "calib.subtract_overscan"
[[stage]]
use = "calib.apply_gain"
[[stage]]
use = "calib.estimate_variance"
[[stage]]
use = "calib.to_rate"
[[stage]]
use = "imaging.estimate_background"
[[stage]]
use = "imaging.detect_sources"
[[stage]]
use = "imaging.solve_position"
required = false
[[stage]]
use = "imaging.measure_photometry"

[outputs]
catalog = "msc.l1_catalog"
"""


@dataclass(frozen=True)
class Site:
    """Where everything lies."""

    folder: Path

    def run(self, pipeline: object, files: Path, name: str, *words: object) -> Path:
        """Run a pipeline with the reference stars; return its folder."""
        out = self.folder / name
        stars = next((self.folder / "sky").rglob("*reference_stars.fits"))
        given = ("--ref", f"imaging.stars={stars}", "--no-figures", "-j", 2)
        csstcore("run", pipeline, files, "-o", out, *given, *words)
        return out

    def truth(self, obs_id: str, detector: int) -> fits.FITS_rec:
        """Return the true sources of a frame."""
        folder = self.folder / "raw" / "products" / "sim.msc_imaging" / f"{obs_id}_{detector}"
        (path,) = folder.glob("*truth.fits")
        return fits.getdata(path, 1)


def error_mas(truth: fits.FITS_rec, header: fits.Header) -> float:
    """Return the error of a solution at the true stars, per axis."""
    header = header.copy()
    del header["NAXIS"]  # no pixels: astropy would warn
    ra, dec = WCS(header).all_pix2world(truth["x"], truth["y"], 1)
    east = (ra - truth["ra"]) * np.cos(np.radians(dec))
    return float(np.sqrt(np.mean([east**2, (dec - truth["dec"]) ** 2]))) * 3.6e6


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    folder = tmp_path_factory.mktemp("positions")
    text = PLAN
    for number, obs_id in enumerate(OBS_IDS):
        text += f'[[exposure]]\nobs_id = "{obs_id}"\ntime = 2028-01-01T00:{number}5:00Z\n'
        text += f"ra_deg = {180.0 + 0.001 * number}\ndec_deg = 30.0\n"
    (folder / "plan.toml").write_text(text)
    (folder / "quick_catalogue.toml").write_text(CATALOGUE)
    quiet = ("--no-figures", "-j", 2)
    csstcore("run", "sim.sky", folder / "plan.toml", "-o", folder / "sky", *quiet)
    csstcore("run", "sim.msc_imaging", folder / "plan.toml", "-o", folder / "raw", *quiet)
    found = Site(folder)
    found.run(folder / "quick_catalogue.toml", folder / "raw" / "products", "catalogues")
    found.run("mbi.position", folder / "catalogues" / "products", "together")
    return found


def heads(site: Site, name: str, obs_id: str) -> dict[int, tuple[fits.Header, Path]]:
    """Return the refined headers of an exposure, by detector, with the files."""
    found = {}
    for path in (site.folder / name / "products" / "mbi.position" / obs_id).glob("*_HEAD.fits"):
        found[int(fits.getheader(path)["DETECTOR"])] = (fits.getheader(path, 1), path)
    return found


def test_every_detector_gets_a_header_and_a_catalogue(site: Site) -> None:
    for obs_id in OBS_IDS:
        assert set(heads(site, "together", obs_id)) == set(DETECTORS)
    folder = site.folder / "together" / "products"
    files = sorted(folder.rglob("*.fits"))
    assert len(files) == 2 * len(OBS_IDS) * len(DETECTORS)
    reports = csstcore("validate", *files, "--json").json()
    assert {next(iter(report["definitions"])) for report in reports} == {
        "msc.l1_catalog",
        "msc.l1_head",
    }
    assert all(report["good"] for report in reports)


def test_solutions_are_right_and_say_how_good_they_are(site: Site) -> None:
    for obs_id in OBS_IDS:
        for detector, (header, _) in heads(site, "together", obs_id).items():
            if header["STA_POSI"]:
                assert (header["CTYPE1"], header["NS_POSI"]) == ("RA---TAN", -9999)
                continue
            assert header["CTYPE1"] == "RA---TPV"
            assert 0 < header["RA_RMS"] < 30.0
            assert header["NS_POSI"] >= 5
            assert error_mas(site.truth(obs_id, detector), header) < 15.0
        assert heads(site, "together", obs_id)[8][0]["STA_POSI"] == 0


def test_sources_have_the_coordinates_of_the_solution(site: Site) -> None:
    _, path = heads(site, "together", OBS_IDS[0])[8]
    catalog = Path(str(path).replace("_HEAD", "_CAT"))
    table = fits.getdata(catalog, 1)
    truth = site.truth(OBS_IDS[0], 8)
    place = np.stack([truth["x"], truth["y"]], axis=-1)
    distance, found = cKDTree(place).query(np.stack([table["X"], table["Y"]], axis=-1))
    good = distance < 0.1
    error = (table["DEC"] - truth["dec"][found])[good] * 3.6e6
    assert good.sum() > 40
    assert np.median(np.abs(error)) < 5.0
    assert fits.getheader(catalog)["CTYPE1"] == "RA---TPV"


def test_all_else_in_a_catalogue_survives(site: Site) -> None:
    """What the run says of itself and the coordinates change; photometry and columns do not."""
    changes = (
        "DATE|RUNID|PIPELINE|CONTEXT|CHECKSUM|DATASUM|REFINED|C(TYPE|RPIX|RVAL|RDER|D)\\d|PV\\d_"
    )
    for detector in DETECTORS:
        _, path = heads(site, "together", OBS_IDS[0])[detector]
        refined = Path(str(path).replace("_HEAD", "_CAT"))
        (alone,) = (site.folder / "catalogues").rglob(refined.name)
        for unit in (0, 1):
            before, after = fits.getheader(alone, unit), fits.getheader(refined, unit)
            kept = [key for key in before if key and not re.match(changes, key)]
            assert {key: after.get(key) for key in kept} == {key: before[key] for key in kept}
        assert fits.getheader(refined)["STA_PHOT"] == 0
        before, after = fits.getdata(alone, 1), fits.getdata(refined, 1)
        columns = [name for name in before.names if not name.startswith(("RA", "DEC"))]
        for name in columns:
            np.testing.assert_array_equal(after[name], before[name])


def test_refined_catalogues_lie_beside_those_they_came_from(site: Site) -> None:
    root = site.folder / "one_root"
    shutil.copytree(site.folder / "catalogues", root)
    site.run("mbi.position", root / "products", root.name)
    names = [path.name for path in root.rglob("*_CAT.fits")]
    assert len(names) == 2 * len(set(names)) == 2 * len(OBS_IDS) * len(DETECTORS)
    out = site.run("mbi.position", root / "products", "second")
    assert len(list(out.rglob("*_CAT.fits"))) == len(OBS_IDS) * len(DETECTORS)
    for path in out.rglob("*_CAT.fits"):
        (first,) = root.rglob(f"mbi.position/*/{path.name}")
        np.testing.assert_array_equal(fits.getdata(path, 1)["RA"], fits.getdata(first, 1)["RA"])


def test_a_reference_is_made_and_gives_every_detector_a_place(site: Site) -> None:
    store = site.folder / "references"
    stars = next((site.folder / "sky").rglob("*reference_stars.fits"))
    csstcore(
        *("refs", "make", "mbi.make_distortion", site.folder / "catalogues" / "products"),
        *("-o", site.folder / "made", "--refs", store, "--ref", f"imaging.stars={stars}"),
        *("--useafter", "always", "--match", "time="),
    )
    out = site.run(
        *("mbi.position", site.folder / "catalogues" / "products", "known"), "--refs", store
    )
    for obs_id in OBS_IDS:
        for detector, (header, _) in heads(site, "known", obs_id).items():
            assert header["STA_POSI"] == 0
            assert header["R_DISTOR"].endswith(".fits")
            assert error_mas(site.truth(obs_id, detector), header) < 15.0
    records = [json.loads(path.read_text()) for path in (out / "runs").rglob("jobs/*.json")]
    assert len(records) == len(OBS_IDS)
