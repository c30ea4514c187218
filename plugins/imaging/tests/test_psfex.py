"""Files of PSFEx: theirs read here, ours read by its formula."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

import csst_imaging
from csst_imaging.psf.render import render_psf
from csst_imaging.stages.psf import model_psf
from csstcore.api import Psf
from csstcore.definitions.load import load_definition
from csstcore.definitions.read import read_products
from csstcore.definitions.sources import Sources
from csstcore.definitions.validate import validate_file
from csstcore.definitions.write import write_product
from csstcore.notes import collecting

PSFEX = load_definition(Path(csst_imaging.__file__).parent / "definitions" / "psfex.toml")

LANCZOS, LANCZOS_ERROR = 4, 5e-3
"""PSFEx's kernel, and its own error for samples as coarse as these, relative to the peak."""


def by_the_formula(path: Path, x: float, y: float, size: int, kernel_reach: int | None):
    """Evaluate a file as PSFEx documents it, slowly, from bare FITS.

    The polynomial of the scaled context parameters, all powers of the first within each power
    of the second, sums the planes; a Lanczos kernel (or, without reach, the cardinal sine)
    takes the sums to the pixels.
    """
    with fits.open(path) as units:
        header, planes = units["PSF_DATA"].header, units["PSF_DATA"].data["PSF_MASK"][0]
    u = (x - header["POLZERO1"]) / header["POLSCAL1"]
    v = (y - header["POLZERO2"]) / header["POLSCAL2"]
    degree = header["POLDEG1"]
    powers = [(i, j) for j in range(degree + 1) for i in range(degree + 1 - j)]
    assert len(powers) == header["PSFAXIS3"] == len(planes)
    samples = sum(u**i * v**j * plane for (i, j), plane in zip(powers, planes, strict=True))

    def weights(start: float, at: float, count: int):
        pixel = np.floor(start + 0.5) - size // 2 + np.arange(size)
        place = (pixel - at) / header["PSF_SAMP"] + (count - 1) / 2
        distance = place[:, None] - np.arange(count)[None, :]
        if kernel_reach is None:
            return np.sinc(distance)
        taper = np.sinc(distance / kernel_reach) * (np.abs(distance) < kernel_reach)
        kernel = np.sinc(distance) * taper
        return kernel / kernel.sum(axis=1, keepdims=True)

    rows, columns = samples.shape
    return weights(y, y, rows) @ samples @ weights(x, x, columns).T


def compare(psf: Psf, path: Path, reaches: dict[int | None, float]) -> None:
    """Compare stamps with the formula, to a part of the peak for each reach of the kernel."""
    rng = np.random.default_rng(3)
    for x, y in rng.uniform(300, 1500, (12, 2)):
        stamp = render_psf(psf, np.array([x]), np.array([y]), 15)[0]
        for reach, tolerance in reaches.items():
            expected = by_the_formula(path, x, y, 15, reach)
            np.testing.assert_allclose(stamp, expected, atol=tolerance * expected.max())


@pytest.fixture(scope="module")
def ours(field):
    with collecting() as notes:
        psf = model_psf(field.image, field.sources, field.background)
    return psf, notes.metrics


def test_our_file_is_as_psfex_documents_its_own(ours, tmp_path) -> None:
    psf, metrics = ours
    path = write_product(PSFEX, psf, Sources(metrics=metrics, record={"job": "ours"}), tmp_path)
    assert path.name == "ours.psf"
    compare(psf, path, {None: 1e-3, LANCZOS: LANCZOS_ERROR})
    header = fits.getheader(path, 1)
    assert header["ACCEPTED"] == metrics["psf_stars_accepted"]
    assert header["LOADED"] == metrics["psf_stars_loaded"]
    assert header["PSF_FWHM"] == pytest.approx(metrics["psf_fwhm_pixel"])
    assert [header[f"PSFAXIS{n}"] for n in (1, 2, 3)] == [71, 71, len(psf.samples)]
    assert validate_file(PSFEX, path) == []


def test_our_file_comes_back_bit_for_bit(ours, tmp_path) -> None:
    psf, _ = ours
    path = write_product(PSFEX, psf, Sources(record={"job": "ours"}), tmp_path)
    (back,) = read_products(PSFEX, path).products
    assert back.samples.tobytes() == psf.samples.tobytes()
    for name in ("step_pixel", "degree", "zero", "scale"):
        assert getattr(back, name) == getattr(psf, name)


@pytest.mark.oracle
def test_a_file_of_psfex_is_read_and_agrees(ours, field, tmp_path) -> None:
    if shutil.which("psfex") is None or shutil.which("source-extractor") is None:
        pytest.skip("needs psfex and source-extractor")
    light = (field.image.data - field.background.data)[:1600, :1600]
    fits.PrimaryHDU(light).writeto(tmp_path / "image.fits")
    names = "XWIN_IMAGE YWIN_IMAGE VIGNET(19,19) FLUX_RADIUS SNR_WIN FLUX_APER(1) FLUXERR_APER(1)"
    (tmp_path / "se.param").write_text("\n".join([*names.split(), "ELONGATION", "FLAGS"]) + "\n")
    (tmp_path / "empty").write_text("")
    extract = (
        "source-extractor image.fits -c empty -CATALOG_NAME se.cat -CATALOG_TYPE FITS_LDAC "
        "-PARAMETERS_NAME se.param -FILTER N -BACK_TYPE MANUAL -BACK_VALUE 0 -GAIN 1 "
        "-PHOT_APERTURES 16 -DETECT_THRESH 3 -VERBOSE_TYPE QUIET"
    )
    model = (
        "psfex se.cat -c empty -PSF_SIZE 25,25 -PSFVAR_KEYS XWIN_IMAGE,YWIN_IMAGE -CENTER_KEYS "
        "XWIN_IMAGE,YWIN_IMAGE -PSFVAR_DEGREES 1 -SAMPLE_MINSN 300 -CHECKPLOT_TYPE NONE "
        "-CHECKIMAGE_TYPE NONE -WRITE_XML N -VERBOSE_TYPE QUIET -NTHREADS 1"
    )
    for command in (extract, model):
        subprocess.run(command.split(), cwd=tmp_path, check=True, capture_output=True)
    (theirs,) = read_products(PSFEX, tmp_path / "se.psf").products
    assert theirs.degree == 1
    compare(theirs, tmp_path / "se.psf", {LANCZOS: LANCZOS_ERROR})
    psf, _ = ours
    x, y = np.random.default_rng(5).uniform(300, 1500, (2, 30))
    mine, other = render_psf(psf, x, y, 15), render_psf(theirs, x, y, 15)
    # theirs lies about the windowed centroid, ours about the first moment: shift by slopes
    for one, two in zip(mine, other / other.sum((1, 2))[:, None, None], strict=True):
        one = one / one.sum()
        slopes = np.column_stack([axis.ravel() for axis in np.gradient(one)])
        rest = (two - one).ravel()
        rest -= slopes @ np.linalg.lstsq(slopes, rest, rcond=None)[0]
        assert np.linalg.norm(rest) < 0.03 * np.linalg.norm(one)
