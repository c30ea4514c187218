"""The PSF file of Level 1: documented keywords, and back again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.time import Time

import csst_msc
from csstcore.api import Meta, Psf
from csstcore.definitions.load import load_definition
from csstcore.definitions.read import read_products
from csstcore.definitions.sources import Sources
from csstcore.definitions.validate import validate_file
from csstcore.definitions.write import write_product

PSF = load_definition(Path(csst_msc.__file__).parent / "definitions" / "l1_psf.toml")


def test_the_documented_keywords_are_written_and_the_product_comes_back(tmp_path) -> None:
    samples = np.random.default_rng(1).normal(size=(6, 71, 71)).astype(np.float32)
    meta = Meta(
        instrument="MSC", obs_id="10100000101", detector=8, file_type="SCIE",
        time=Time("2027-08-01T16:50:00"), end_time=Time("2027-08-01T16:52:30"),
    )  # fmt: skip
    psf = Psf(samples, 0.4928, 2, (4608.5, 4616.5), (9216.0, 9232.0), meta)
    metrics = {"psf_stars_loaded": 579, "psf_stars_accepted": 573, "psf_chi2": 1.128}
    path = write_product(PSF, psf, Sources(metrics=metrics), tmp_path)
    assert path.name.endswith("_10100000101_08_L1_V01_PSF.fits")
    header = fits.getheader(path, "PSF_DATA")
    expected = {
        "LOADED": 579, "ACCEPTED": 573, "CHI2": 1.128, "POLNAXIS": 2, "POLNAME1": "XWIN_IMAGE",
        "POLZERO1": 4608.5, "POLSCAL1": 9216.0, "POLNAME2": "YWIN_IMAGE", "POLZERO2": 4616.5,
        "POLSCAL2": 9232.0, "POLNGRP": 1, "POLDEG1": 2, "PSF_FWHM": -9999.0, "PSF_SAMP": 0.4928,
        "PSFNAXIS": 3, "PSFAXIS1": 71, "PSFAXIS2": 71, "PSFAXIS3": 6,
    }  # fmt: skip
    assert {keyword: header[keyword] for keyword in expected} == expected
    assert validate_file(PSF, path) == []
    (back,) = read_products(PSF, path).products
    assert back.samples.tobytes() == samples.tobytes()
    assert (back.step_pixel, back.degree, back.zero, back.scale) == (
        psf.step_pixel, psf.degree, psf.zero, psf.scale,
    )  # fmt: skip
    assert (back.meta.obs_id, back.meta.detector) == ("10100000101", 8)
