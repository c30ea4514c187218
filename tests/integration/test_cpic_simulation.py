"""Simulated coronagraph files from the command line, as an observatory would have them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from csst_sim.cpic.plan import LAMP_TYPES, STAR_TYPES, read_plan

EXAMPLES = Path(__file__).parents[2] / "examples" / "cpic"
PLAN = """
name = "night"
kind = "cpic"
readout = "176x136"
effects = { cosmic_rays = false }

[[star]]
name = "target"
magnitude = 1.0
ra_deg = 86.82
dec_deg = -51.07

[[star.planet]]
separation_mas = 500.0
position_angle_deg = 40.0
contrast = 1e-7

[[observation]]
obs_id = "41000000001"
time = 2028-03-01T00:00:00
star = "target"
frames = 4
em_gain = 300.0
position_angle_deg = 25.0

[[observation]]
obs_id = "40200000002"
time = 2028-03-01T01:00:00
file_type = "DARK"
frames = 3
exposure_time_s = 30.0
em_gain = 300.0
effects = { cosmic_rays = true }
"""


def csstcore(*words: object) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-m", "csstcore.cli.main", *map(str, words)]
    return subprocess.run(program, capture_output=True, text=True, check=False)


def simulate(plan: Path, output: Path, *words: object) -> dict[str, Path]:
    """Run sim.cpic; the files it makes by name."""
    done = csstcore("run", "sim.cpic", plan, "-o", output, "--no-figures", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    return {path.name: path for path in sorted((output / "products").rglob("*.fits"))}


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("plan") / "night.toml"
    path.write_text(PLAN)
    return path


@pytest.fixture(scope="module")
def files(plan: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return simulate(plan, tmp_path_factory.mktemp("out"), "--seed", 5)


def test_every_observation_is_a_file_of_frames_with_its_truth(files: dict[str, Path]) -> None:
    dark, science = "CPIC_40200000002", "CPIC_41000000001"
    kinds = ("truth", "frame_truth", "hit_truth")
    assert set(files) == {
        *(f"{name}_{kind}.fits" for name in (dark, science) for kind in kinds),
        f"{science}_planet_truth.fits",
        "CSST_CPIC_VIS_DAR_20280301010000_20280301010130_40200000002_X_L0_V01.fits",
        "CSST_CPIC_VIS_SCI_20280301000000_20280301000040_41000000001_X_L0_V01.fits",
    }
    done = csstcore("validate", *files.values())
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(": good (cpic.l0)") == 2


def test_header_is_the_documented_one(files: dict[str, Path]) -> None:
    path = next(path for name, path in files.items() if "_SCI_" in name)
    with fits.open(path, do_not_scale_image_data=True) as hdus:
        primary, image = hdus[0].header, hdus[1].header
    assert f"{primary['FILENAME']}.fits" == path.name
    assert len(primary["FILENAME"]) <= 68
    assert (primary["INSTRUME"], primary["FILETYPE"], primary["OBSID"]) == (
        "CPIC", "SCIE", "41000000001",
    )  # fmt: skip
    assert (image["BITPIX"], image["BSCALE"], image["BZERO"]) == (16, 1, 32768)
    assert (image["NAXIS1"], image["NAXIS2"], image["NAXIS3"]) == (176, 136, 4)
    assert (image["BUNIT"], image["CHIPLAB"], image["BDARK"]) == ("ADU", "EMCCD", 2)
    assert (image["DETSIZE"], image["DATASEC"]) == ("176x136", "128x128")
    assert image["EMGAIN"] == 300
    assert primary["POS_ANG"] == 25


def test_truth_is_of_the_same_frames(files: dict[str, Path]) -> None:
    with fits.open(files["CPIC_41000000001_truth.fits"]) as hdus:
        truth = hdus[0].header
        assert [hdu.name for hdu in hdus[1:]] == ["RATE", "FLAT", "DARK", "CIC"]
        assert {hdu.data.shape for hdu in hdus[1:]} == {(128, 128)}
        rate = hdus["RATE"].data
    assert 0.01 < abs(truth["TRUEGAIN"] / 300 - 1) < 0.07
    name = next(name for name in files if "_SCI_" in name)
    raw = fits.getdata(files[name], 1)
    assert raw.dtype == np.uint16
    light = raw[:, 2:130, 32:160].mean() - raw[:, :, :32].mean()
    assert light * truth["GAIN"] / truth["TRUEGAIN"] > 5 * rate.mean()
    planet = fits.getdata(files["CPIC_41000000001_planet_truth.fits"], 1)[0]
    assert planet["separation"] == 500
    brightest = rate[round(planet["y"]) - 3 :, round(planet["x"]) - 3 :][:5, :5].max()
    assert brightest > 2 * np.median(rate[40:90, 40:90])
    frames = fits.getdata(files["CPIC_41000000001_frame_truth.fits"], 1)
    np.testing.assert_allclose(np.diff(frames["time"]) * 86400, 10.1, atol=1e-3)
    science = fits.getdata(files["CPIC_41000000001_hit_truth.fits"], 1)
    dark = fits.getdata(files["CPIC_40200000002_hit_truth.fits"], 1)
    assert not (science["deposit"] > 0).any()
    assert (dark["deposit"] > 0).any()


def test_the_seed_makes_the_frames_whatever_the_workers(
    plan: Path, files: dict[str, Path], tmp_path: Path
) -> None:
    again = simulate(plan, tmp_path, "--seed", 5, "-j", 2)
    for name in [name for name in files if "_L0_" in name]:
        np.testing.assert_array_equal(fits.getdata(files[name], 1), fits.getdata(again[name], 1))


def test_a_plan_with_errors_is_refused_with_the_cause(tmp_path: Path) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(PLAN.replace('star = "target"', 'star = "nobody"'))
    done = csstcore("run", "sim.cpic", path, "-o", tmp_path / "out")
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert "no star is called 'nobody'; the plan has target" in done.stdout + done.stderr


def test_example_plans_have_every_kind_of_file() -> None:
    kinds = set()
    for path in EXAMPLES.glob("*.toml"):
        _, (plan,) = read_plan(path)
        kinds |= {each.file_type for each in plan.observation}
    assert kinds == {*STAR_TYPES, *LAMP_TYPES, "BIAS", "CIC", "DARK"}
