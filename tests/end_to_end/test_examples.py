"""An unknown camera and a radio telescope, on real data, without a change in the core."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from numpy.typing import NDArray

from .observatory import csstcore

pytestmark = pytest.mark.data
DATA = os.environ.get("CSST_TEST_DATA", "")
needs_data = pytest.mark.skipif(not DATA, reason="CSST_TEST_DATA names no folder of real data")
CAFOS = Path(DATA) / "imaging" / "caha_cafos"
SDFITS = Path(DATA) / "radio" / "gbt_gdigs_w43"
FRAMES = ("ngc2420_B_0026", "ngc2420_B_0027")


@pytest.fixture(scope="module")
def cafos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the masters, and reduce two science frames; return the folder of their products."""
    pytest.importorskip("cafos")
    folder = tmp_path_factory.mktemp("cafos")
    store = ("--refs", folder / "references")
    (folder / "references").mkdir()
    for kind, files in (("bias", "bias_*"), ("flat", "flat_*")):
        words = ("run", f"cafos.make_{kind}", *sorted(CAFOS.glob(files)), "-o", folder / "masters")
        csstcore(*words, *store, "--no-figures")
        (master,) = (folder / "masters" / "products" / f"cafos.make_{kind}").rglob("*.fits")
        csstcore("refs", "add", f"calib.{kind}", master, "--useafter", "always", *store)
    science = [CAFOS / f"{name}.fits.gz" for name in FRAMES]
    csstcore("run", "cafos.science", *science, "-o", folder / "science", "-j", 2, *store)
    return folder / "science" / "products"


@needs_data
def test_cafos_frames_are_reduced_with_the_masters(cafos: Path) -> None:
    images = list(cafos.rglob("cafos_*[0-9].fits"))
    assert len(images) == 2
    for path in images:
        with fits.open(path) as hdus:
            assert hdus[0].header["BIASFILE"].startswith("CAFOS")
            assert hdus[0].header["FLATFILE"].startswith("CAFOS")
            assert hdus["SCI"].data.shape == (1024, 1024)
            assert (hdus["VAR"].data[hdus["FLAGS"].data == 0] > 0).all()


@needs_data
def test_fluxes_of_the_same_stars_agree_within_their_errors(cafos: Path) -> None:
    first, second = (fits.getdata(path) for path in sorted(cafos.rglob("*sources.fits")))
    assert min(len(first), len(second)) > 100
    one, two = match(first, second)
    flux = [first["flux_3"][one], second["flux_3"][two]]
    error = [first["flux_error_3"][one], second["flux_error_3"][two]]
    clean = (first["flags"][one] == 0) & (second["flags"][two] == 0)
    clean &= (flux[0] > 20 * error[0]) & (flux[1] > 20 * error[1])
    assert clean.sum() > 50
    ratio = np.median((flux[1] / flux[0])[clean])
    assert 0.9 < ratio < 1.1
    pull = ((flux[1] - ratio * flux[0]) / np.hypot(error[1], ratio * error[0]))[clean]
    spread = 1.4826 * np.median(np.abs(pull - np.median(pull)))
    assert 0.7 < spread < 1.4


def match(first: fits.FITS_rec, second: fits.FITS_rec) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return rows of the same stars; the telescope may have moved by up to 40 pixels."""
    x, y = (second[name][None, :] - first[name][:, None] for name in ("x", "y"))
    edges = np.arange(-40.5, 41.0)
    counts, _, _ = np.histogram2d(x.ravel(), y.ravel(), bins=(edges, edges))
    i, j = np.unravel_index(counts.argmax(), counts.shape)
    distance = np.hypot(x - edges[i] - 0.5, y - edges[j] - 0.5)
    near = distance.argmin(axis=1)
    found = distance[np.arange(len(first)), near] < 1.5
    return np.flatnonzero(found), near[found]


@needs_data
def test_position_switched_spectra_are_those_of_the_observatory() -> None:
    position_switch = pytest.importorskip("sdfits.position_switch")
    reader = pytest.importorskip("sdfits.reader")
    _, (dumps,) = reader.read(SDFITS / "gdigs-testdata.fits.gz")
    calibrated = position_switch.calibrate_position_switch(dumps)
    answer = fits.getdata(SDFITS / "gdigs-testdata-getps-outputs.fits.gz", 1)
    rows = calibrated.rows
    assert len(answer) == len(rows) == 6
    for wanted in answer:
        (index,) = np.flatnonzero(
            (rows["IFNUM"] == wanted["IFNUM"]) & (rows["PLNUM"] == wanted["PLNUM"])
        )
        np.testing.assert_allclose(rows["TSYS"][index].value, wanted["TSYS"], rtol=1e-3)
        difference = np.abs(calibrated.flux[index] - wanted["DATA"])
        assert np.nanmax(difference) < 1e-3


@needs_data
def test_averaged_spectra_are_written(tmp_path: Path) -> None:
    pytest.importorskip("sdfits")
    raw = SDFITS / "gdigs-testdata.fits.gz"
    csstcore("run", "sdfits.position_switch", raw, "-o", tmp_path, "--no-figures")
    (path,) = (tmp_path / "products").rglob("*_spectra.fits")
    assert csstcore("validate", path, "--definition", "sdfits.spectra", "--json").json()[0]["good"]
    with fits.open(path) as hdus:
        assert hdus["SPECTRA"].data.shape == hdus["FREQUENCY"].data.shape == (3, 8192)
        assert np.isfinite(hdus["SPECTRA"].data).all()
        assert 10 < hdus[0].header["TSYS"] < 200
