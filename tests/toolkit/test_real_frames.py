"""Masters and read noise of real frames against plain numpy."""

from __future__ import annotations

import os
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from numpy.typing import NDArray

from csst_calib.readout import Readout
from csst_calib.stages.overscan import subtract_overscan
from csstcore.api import Image
from csstcore.notes import collecting

from ..end_to_end.observatory import csstcore

DATA = os.environ.get("CSST_TEST_DATA", "")
pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(not DATA, reason="CSST_TEST_DATA names no folder of real data"),
]
CAFOS = Path(DATA) / "imaging" / "caha_cafos"
SAAO = Path(DATA) / "imaging" / "ccd" / "saao_ste3_a8280271.fits"


def electrons(path: Path) -> NDArray[np.float64]:
    """Return a raw frame of CAFOS in electrons."""
    with fits.open(path) as hdus:
        return np.asarray(hdus[0].data, float) * float(hdus[0].header["CCDSENS"])


def test_masters_of_cafos_equal_plain_numpy(tmp_path: Path) -> None:
    pytest.importorskip("cafos")
    references, made = tmp_path / "references", tmp_path / "made"
    references.mkdir()
    found = {}
    for kind in ("bias", "flat"):
        frames = sorted(CAFOS.glob(f"{kind}_*"))
        words = ("run", f"cafos.make_{kind}", *frames, "-o", made, "--refs", references)
        csstcore(*words, "--no-figures")
        (master,) = (made / "products" / f"cafos.make_{kind}").rglob("*.fits")
        words = ("refs", "add", f"calib.{kind}", master, "--useafter", "always")
        csstcore(*words, "--refs", references)
        found[kind] = fits.getdata(master, "SCI")
    biases = [electrons(path) for path in sorted(CAFOS.glob("bias_*"))]
    bias = np.mean(biases, axis=0)
    np.testing.assert_allclose(found["bias"], bias, rtol=1e-6)
    (path,) = CAFOS.glob("flat_*")
    flat = electrons(path) - bias
    sample = flat[::7, ::7]
    level = sample[np.abs(sample / np.median(sample) - 1) <= 0.5].mean()
    full = fits.getdata(path) == 65535
    assert np.count_nonzero(full) < 100
    np.testing.assert_allclose(found["flat"][~full], (flat / level)[~full], rtol=1e-5, atol=1e-6)
    assert np.all(found["flat"][full] == 0)


def test_overscan_and_read_noise_of_a_frame_of_saao() -> None:
    """The header tells the section, a gain of 1.9 and a read noise of 5.0 e-; it is 5.8 e-."""
    with fits.open(SAAO) as hdus:
        raw, header = hdus[0].data, hdus[0].header
    assert header["BIASSEC"].replace(" ", "") == "[4:13,1:520]"
    section = raw[:, 3:13].astype(float)
    readout = Readout(512, 520, 1, 1, overscan_columns=13, corners=("lower_right",))
    frame = Image(np.ascontiguousarray(raw[:, 3:528]), u.adu)
    with collecting() as notes:
        image = subtract_overscan(frame, readout, skip_columns=3)
    error = section.std() / np.sqrt(2 * section.size)
    assert notes.metrics["overscan_noise"] == pytest.approx(section.std(), abs=error)
    assert notes.metrics["overscan_level"] == pytest.approx(
        section.mean(), abs=3 * section.std() / np.sqrt(section.size)
    )
    assert image.data == pytest.approx(raw[:, 16:528] - section.mean(), abs=1.0)
    read_noise = header["GAIN"] * float(notes.metrics["overscan_noise"])
    assert read_noise == pytest.approx(5.76, abs=3 * header["GAIN"] * error)
    assert read_noise > header["RDNOISE"] + 5 * header["GAIN"] * error
