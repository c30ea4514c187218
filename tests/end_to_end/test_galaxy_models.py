"""Galaxy models from the command line, after Level 1."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from .observatory import JOB, Observatory, csstcore


def test_galaxies_are_modelled_from_the_files_of_level_1(
    observatory: Observatory, tmp_path: Path
) -> None:
    csstcore("run", "mbi.galaxy_models", observatory.level1 / "products", "-o", tmp_path)
    (path,) = (tmp_path / "products" / "mbi.galaxy_models" / JOB).glob("*_MODEL.fits")
    (report,) = csstcore("validate", path, "--json").json()
    assert (list(report["definitions"]), report["good"]) == (["msc.l1_models"], True)
    models, catalog = fits.getdata(path, 1), fits.getdata(observatory.product("CAT"), 1)
    assert (models["ID"] == catalog["ID"]).all()
    galaxies = models["Flux_Disk"] > 0
    assert galaxies.sum() >= 3
    total = models["Flux_Model"][galaxies]
    parts = models["Flux_Bulge"][galaxies] + models["Flux_Disk"][galaxies]
    np.testing.assert_allclose(parts, total)
    assert (
        np.hypot(models["X_Model"] - catalog["X"], models["Y_Model"] - catalog["Y"])[galaxies] < 4.3
    ).all()
    header = fits.getheader(path, 0)
    assert header["STA_MODL"] == 0
    assert header["NS_GALAX"] >= galaxies.sum()


@pytest.mark.slow
def test_models_take_the_refined_coordinates(observatory: Observatory, tmp_path: Path) -> None:
    """The refined catalogue lies beside that of `mbi.l1`, under one root."""
    root = tmp_path / "level1"
    shutil.copytree(observatory.level1 / "products", root / "products")
    stars = next(file.path for file in observatory.record.references if "stars" in file.name)
    quiet = ("--ref", f"imaging.stars={stars}", "--no-figures")
    csstcore("run", "mbi.position", root / "products", "-o", root, *quiet)
    csstcore("run", "mbi.galaxy_models", root / "products", "-o", tmp_path / "out", "--no-figures")
    (path,) = (tmp_path / "out").rglob("*_MODEL.fits")
    (head,) = root.rglob("*_HEAD.fits")
    models, header = fits.getdata(path, 1), fits.getheader(head, 1)
    del header["NAXIS"]  # no pixels: astropy would warn
    fitted = models["X_Model"] > 0
    ra, dec = WCS(header).all_pix2world(models["X_Model"], models["Y_Model"], 1)
    assert fitted.sum() >= 3
    np.testing.assert_allclose(models["RA_Model"][fitted], ra[fitted], rtol=0, atol=1e-9)
    np.testing.assert_allclose(models["DEC_Model"][fitted], dec[fitted], rtol=0, atol=1e-9)


def test_without_a_psf_the_job_fails_and_says_so(observatory: Observatory, tmp_path: Path) -> None:
    files = tmp_path / "files"
    files.mkdir()
    for ending in ("IMG", "WHT", "FLG", "CAT"):
        shutil.copy(observatory.product(ending), files)
    done = csstcore("run", "mbi.galaxy_models", files, "-o", tmp_path / "out", code=5)
    assert "input psf: no file (msc.l1_psf)" in done.out + done.err
