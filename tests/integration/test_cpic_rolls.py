"""Level 1 files of a star at many rolls through ``cpic.l2_adi`` on the command line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable
from astropy.time import Time

from csst_sim.cpic.direct import simulate_cube
from csstcore.api import Image, Meta
from csstcore.definitions.catalog import Definitions
from csstcore.definitions.sources import Sources
from csstcore.definitions.write import write_product
from csstcore.plugins.discovery import discover

SCALE_MAS = 20.0
PLANET = (24.0, 70.0, 2e-8)
START = Time("2028-03-01T00:00:00", scale="utc")


def write_level_1(folder: Path) -> None:
    """A frame at each of 14 rolls, with its errors, and one beside the mask through a filter."""
    simulated = simulate_cube(
        [PLANET], frames=14, size=91, rotation_deg=100.0, pixel_lambda_d=0.35, drift_frames=20.0
    )
    definitions = Definitions(discover())
    frame, error = (definitions.get(f"cpic.{name}") for name in ("l1", "l1_error"))
    exposures = [(plane, "SCIE") for plane in simulated.cube]
    exposures.append((simulated.psf * np.float32(1e-4), "PSF"))
    angles = [*simulated.angles_deg, 0.0]
    for number, ((data, kind), angle) in enumerate(zip(exposures, angles, strict=True)):
        meta = Meta(
            telescope="CSST",
            instrument="CPIC",
            detector="EMCCD",
            readout="176x136",
            filter="f661",
            obs_id=f"410000000{number + 1:02d}",
            object="star",
            target="054716-510412",
            file_type=kind,
            level=1,
            frame=0,
            time=START + number * u.min,
            end_time=START + (number + 0.5) * u.min,
            exposure_time=10.0 * u.s,
            em_gain=300.0 * u.one,
            gain=8.0 * u.electron / u.adu,
            read_noise=40.0 * u.electron,
            pixel_scale=SCALE_MAS / 1e3 * u.arcsec,
            right_ascension=86.82 * u.deg,
            declination=-51.07 * u.deg,
            position_angle=(angle % 360.0) * u.deg,
        )
        flags = np.zeros(data.shape, np.uint16)
        image = Image(data, u.electron, np.maximum(data, 1.0), flags, meta=meta)
        write_product(frame, [image], Sources(), folder)
        write_product(error, image, Sources(), folder)


@pytest.fixture(scope="module")
def products(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rolls")
    write_level_1(folder / "l1")
    settings = {
        "fit_star_centres.fwhm_pixel": 3.6,
        "subtract_psf.fwhm_pixel": 3.6,
        "register_frames.size_pixel": 81,
        "subtract_psf.outer_radius_pixel": 38,
        "subtract_psf.annulus_width_pixel": 8,
        "subtract_psf.components": 5,
        "fit_star_centres.outer_radius_pixel": 38,
        "select_frames.outer_radius_pixel": 38,
        "measure_star.transmission": 1e-4,
        "fit_companions.centre_error_pixel": 0.02,
    }
    chosen = [f"--set={name}={value}" for name, value in settings.items()]
    words = ["run", "cpic.l2_adi", str(folder / "l1"), "-o", str(folder / "out"), "--no-figures"]
    done = subprocess.run(
        [sys.executable, "-m", "csstcore.cli.main", *words, *chosen],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "out" / "products"


def table(products: Path, kind: str) -> QTable:
    (path,) = products.rglob(f"CSST_CPIC_VIS_{kind}_41000000001_L2_V01.fits")
    return QTable.read(path)


def test_the_planet_is_found_where_it_is(products: Path) -> None:
    (row,) = table(products, "COMP")
    separation, angle, contrast = PLANET
    assert row["CONVERGD"]
    assert abs(row["CONTRAST"] - contrast) < 3.5 * row["E_CONTR"]
    assert row["E_CONTR"] < 0.15 * contrast
    assert abs(row["SEP_MAS"].value - separation * SCALE_MAS) < 3.5 * row["E_SEP"].value
    assert abs(row["PA_DEG"].value - angle) < 3.5 * row["E_PA"].value
    assert row["E_SEP"].value < 0.15 * SCALE_MAS


def test_every_product_is_there_with_the_settings(products: Path) -> None:
    (path,) = products.rglob("*_RESI_*.fits")
    settings = QTable.read(path, hdu="SETTINGS")
    assert settings["components"][0] == 5
    assert settings["outer_radius_pixel"][0] == 38 * u.pix
    assert len(list(products.rglob("*_COAD_*.fits"))) == 1
    limits = table(products, "CONT")
    assert np.all(limits["CONTRAST"][1:-1] < PLANET[2])
    assert np.all(limits["THROUGH"][1:-1] > 0.5)
