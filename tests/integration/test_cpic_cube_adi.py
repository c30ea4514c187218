"""Cubes of other telescopes, as archives deliver them, by the command."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

FRAMES, SIDE, FWHM = 14, 71, 4.2
START, END = 145.0, -150.0
"""Parallactic angles; the field turned by 65 deg across 180 deg."""
NORTH_OFFSET = -30.0
SEPARATION, ANGLE, CONTRAST = 20.0, 80.0, 3e-3


def gaussian(x: float, y: float, flux: float) -> np.ndarray[Any, Any]:
    rows, columns = np.indices((SIDE, SIDE)) - SIDE // 2
    square = (columns - x) ** 2 + (rows - y) ** 2
    return flux * np.exp(-4 * np.log(2) * square / FWHM**2)


def cube() -> np.ndarray[Any, Any]:
    """A star with a halo, and a planet that turns with the field."""
    rng = np.random.default_rng(4)
    planes = []
    for angle in START + 65.0 * np.arange(FRAMES) / (FRAMES - 1):
        turn = np.radians(ANGLE - angle)
        plane = gaussian(0.0, 0.0, 1e5)
        place = -SEPARATION * np.sin(turn), SEPARATION * np.cos(turn)
        plane += gaussian(*place, CONTRAST * 1e5)
        planes.append(plane + rng.normal(0.0, 20.0, plane.shape))
    return np.array(planes)


def reduced(folder: Path, planes: np.ndarray[Any, Any], angles: str | None = None, **cards: Any):
    """Write the files, run the pipeline and return the record and the companions."""
    header = fits.Header()
    if angles is None:
        header["HIERARCH ESO TEL PARANG START"] = START
        header["HIERARCH ESO TEL PARANG END"] = END
    else:
        (folder / "star_angles.csv").write_text(angles)
    fits.PrimaryHDU(planes.astype(np.float32), header).writeto(folder / "star_cube.fits")
    star = fits.PrimaryHDU(gaussian(0.0, 0.0, 1e5).astype(np.float32), fits.Header(cards))
    star.writeto(folder / "star_psf.fits")
    settings = {
        "orient_frames.plate_scale_mas": 20,
        "orient_frames.north_offset_deg": NORTH_OFFSET,
        "fit_star_centres.method": "gaussian",
        "fit_star_centres.fwhm_pixel": FWHM,
        "subtract_psf.fwhm_pixel": FWHM,
        "subtract_psf.outer_radius_pixel": 30,
        "subtract_psf.components": 3,
        "contrast_curve.step_fwhm": 4,
    }
    words = ["run", "cpic.cube_adi", str(folder), "-o", str(folder / "out")]
    for name, value in settings.items():
        words += ["--set", f"{name}={value}"]
    done = subprocess.run(
        [sys.executable, "-m", "csstcore.cli.main", *words],
        capture_output=True,
        text=True,
        check=False,
    )
    (path,) = (folder / "out").glob("runs/*/jobs/*.json")
    found = list((folder / "out").glob("products/*/*/*_COMP_*"))
    assert found, done.stdout + done.stderr
    return json.loads(path.read_text()), Table.read(found[0], hdu=1)


def assert_the_planet_is_there(companions: Table) -> None:
    row = companions[np.argmax(companions["SNR"])]
    assert row["SEP_MAS"] == pytest.approx(20 * SEPARATION, abs=4)
    assert row["PA_DEG"] == pytest.approx(ANGLE + NORTH_OFFSET, abs=0.6)
    assert row["CONTRAST"] == pytest.approx(CONTRAST, rel=0.06)


def value_at_the_planet(product: Path, unit: str) -> float:
    image = fits.getdata(product, unit)
    turn = np.radians(ANGLE + NORTH_OFFSET)
    row, column = (side // 2 for side in image.shape)
    return float(
        image[round(row + SEPARATION * np.cos(turn)), round(column - SEPARATION * np.sin(turn))]
    )


def test_angles_of_a_header_that_cross_180_deg_keep_the_planet(tmp_path: Path) -> None:
    """Counts of the star are taken as they are: its image alone has an exposure time."""
    record, companions = reduced(tmp_path, cube(), EXPTIME=0.2)
    assert_the_planet_is_there(companions)
    for kind in ("RESI", "COAD"):
        (product,) = tmp_path.glob(f"out/products/*/*/*_{kind}_*")
        assert value_at_the_planet(product, 1) > 0.5 * CONTRAST * 1e5
    assert "across 180 deg, the short way" in str(record["caveats"])
    assert "the frames have no exposure time" in str(record["caveats"])


def test_lost_frames_are_left_out_and_named(tmp_path: Path) -> None:
    """One without a value, one without an angle; the text has a line of names."""
    planes = cube()
    planes[7] = np.nan
    listed = [str(angle) for angle in START + 65.0 * np.arange(FRAMES) / (FRAMES - 1)]
    listed[3] = "nan"
    record, companions = reduced(tmp_path, planes, "\n".join(["PARANG", *listed]))
    assert_the_planet_is_there(companions)
    assert "without an angle: 3" in str(record["caveats"])
    assert "7 (no star)" in str(record["caveats"])
    assert "above 40 times their error" in str(record["caveats"])
    assert "leave out the noise of companions' own photons" in str(record["caveats"])
