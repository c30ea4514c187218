"""World coordinates of a cube: two axes on the sky and a spectral one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from csstcore.definitions.load import load_definition
from csstcore.definitions.read import read_products
from csstcore.definitions.sources import Sources
from csstcore.definitions.validate import validate_file
from csstcore.definitions.write import write_product
from csstcore.products import Cube

TEXT = """
[definition]
name = "cube"
summary = "A cube"
product = "Cube"

[file]
name = "cube.fits"

[[hdu]]
name = "CUBE"
plane = "data"
wcs = true
"""


@pytest.mark.parametrize(("kind", "unit"), [("FREQ", "Hz"), ("VRAD", "m/s"), ("AWAV", "m")])
def test_the_spectral_axis_comes_back(kind: str, unit: str, tmp_path: Path) -> None:
    wcs = WCS(naxis=3)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN", kind]
    wcs.wcs.cunit = ["deg", "deg", unit]
    wcs.wcs.crpix, wcs.wcs.crval = [2.0, 2.5, 1.0], [83.8, -5.4, 4.9e11]
    wcs.wcs.cdelt = [-0.005, 0.005, 73242.1875]
    wcs.wcs.restfrq, wcs.wcs.specsys, wcs.wcs.radesys = 4.921607e11, "LSRK", "ICRS"
    (tmp_path / "cube.toml").write_text(TEXT)
    definition = load_definition(tmp_path / "cube.toml")
    product = Cube(np.zeros((5, 4, 3), np.float32), wcs=wcs)
    path = write_product(definition, product, Sources(), tmp_path)
    assert validate_file(definition, path) == []
    (back,) = read_products(definition, path).products
    pixels = [[0.0, 0.0, 0.0], [2.0, 3.0, 4.0]]
    sky = wcs.wcs_pix2world(pixels, 0)
    assert back.wcs.wcs_pix2world(pixels, 0) == pytest.approx(sky, rel=1e-14)
    assert back.wcs.wcs.ctype[2] == kind
    assert (back.wcs.wcs.specsys, back.wcs.wcs.restfrq) == ("LSRK", 4.921607e11)
    plain = WCS(fits.getheader(path, "CUBE"))  # readable by others
    assert plain.wcs_pix2world(pixels, 0) == pytest.approx(sky, rel=1e-14)
