"""The simulations from the command line: one plan makes many jobs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

PLAN = """
name = "night"
kind = "{kind}"
readout = "920x608"

[[exposure]]
obs_id = "10100000001"
time = 2028-01-01T00:00:00
ra_deg = 180.0
dec_deg = 30.0
detectors = [7, 13]
file_type = "{first}"

[[exposure]]
obs_id = "10100000002"
time = 2028-01-01T00:05:00
detectors = [7, 13]
file_type = "{second}"
lamp_electron_per_s = 100.0
"""


def run(pipeline: str, plan: Path, output: Path) -> list[Path]:
    """Run a pipeline in a process of its own; the files it makes."""
    program = [sys.executable, "-m", "csstcore.cli.main", "run", pipeline, str(plan)]
    done = subprocess.run(
        [*program, "-o", str(output), "--no-figures"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return sorted((output / "products").rglob("*.fits"))


@pytest.fixture
def imaging_plan(tmp_path: Path) -> Path:
    path = tmp_path / "night.toml"
    path.write_text(PLAN.format(kind="imaging", first="SCIE", second="SCIE"))
    return path


def test_every_exposure_and_detector_is_a_job(imaging_plan: Path, tmp_path: Path) -> None:
    files = run("sim.msc_imaging", imaging_plan, tmp_path / "out")
    assert len(files) == 4 * 4
    raw = [path for path in files if "_L0_" in path.name]
    assert len(raw) == 4
    frames = [fits.getdata(path, 1) for path in raw]
    assert {frame.shape for frame in frames} == {(608, 920)}
    assert not np.array_equal(frames[0], frames[1])


def test_reference_stars_are_written_by_the_definition_of_imaging(
    imaging_plan: Path, tmp_path: Path
) -> None:
    files = run("sim.sky", imaging_plan, tmp_path / "out")
    names = [path.name for path in files]
    assert names == ["night_true_galaxies.fits", "night_true_stars.fits", "reference_stars.fits"]
    assert len(fits.getdata(files[2], 1)) > 10


def test_calibration_frames_are_level_0_of_their_kind(tmp_path: Path) -> None:
    path = tmp_path / "calibration.toml"
    path.write_text(PLAN.format(kind="calibration", first="DARK", second="FLAT"))
    files = run("sim.msc_calibration", path, tmp_path / "out")
    kinds = [fits.getheader(path)["FILETYPE"] for path in files if "_L0_" in path.name]
    assert sorted(kinds) == ["DARK", "DARK", "FLAT", "FLAT"]
