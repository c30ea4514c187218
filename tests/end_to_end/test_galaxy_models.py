"""Galaxy models from the command line, after Level 1."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from astropy.io import fits

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


def test_without_a_psf_the_job_fails_and_says_so(observatory: Observatory, tmp_path: Path) -> None:
    files = tmp_path / "files"
    files.mkdir()
    for ending in ("IMG", "WHT", "FLG", "CAT"):
        shutil.copy(observatory.product(ending), files)
    done = csstcore("run", "mbi.galaxy_models", files, "-o", tmp_path / "out", code=5)
    assert "input psf: no file (msc.l1_psf)" in done.out + done.err
