from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
import pytest
from astropy.time import Time
from astropy.wcs import WCS

from csstcore.api import Image, Meta
from csstcore.definitions.load import load_definition
from csstcore.definitions.model import DefinitionModel

CAMERA = r"""
[definition]
name = "frame"
summary = "A frame of a made-up camera"
product = "Image"

[file]
name = "CAM_{obs_id}_{start}_{detector}.fits"
accept = ["OLD_{obs_id}.fits"]
[file.fields]
obs_id = { pattern = '\d{9}|\d{11}', from = "meta.obs_id" }
start = { pattern = '\d{14}', from = "meta.time", format = "%Y%m%d%H%M%S" }
detector = { pattern = '\d{2}', from = "meta.detector", format = "02d" }

[identify]
INSTRUME = ["CAM", "CAM2"]

[meta]
obs_id = ["OBSID", { file = "obs_id" }]
detector = { file = "detector", type = "int" }
time = { keyword = "DATE-OBS", time = "TIME-OBS" }
exposure_time = "EXPTIME"
temperature = { keyword = "TEMP", unit = "K" }
gain = { keywords = "GAIN{:02d}", count = 4 }
level = { value = 1 }

[flags]
bad = { value = 1, comment = "bad pixel" }
cosmic_ray = { value = 4 }

[[hdu]]
name = "PRIMARY"
[hdu.sections]
OBSID = "Observation"
[hdu.keywords]
INSTRUME = { type = "str", required = true, value = "CAM" }
OBSID = { type = "str", required = true, pattern='\d+', synonyms=["OBS_ID"], from="meta.obs_id" }
DATE-OBS = { type = "str", from = "meta.time" }
TIME-OBS = { type = "str" }
EXPTIME = { type = "float", unit = "s", minimum = 0, required = true, from = "meta.exposure_time" }
TEMP = { type = "float", unit = "K", from = "meta.temperature" }
MODE = { type = "str", choices = ["FAST", "SLOW"], from = "header.MODE" }
STA_BIAS = { type = "int", from = "status.subtract_bias", fill = 1 }
READY = { type = "bool", from = "metric.ready" }

[[hdu]]
name = "SCI"
synonyms = ["IMG"]
plane = "data"
dtype = "float32"
unit = "electron / s"
wcs = true
[hdu.keywords]
"GAIN{:02d}" = { type = "float", count = 4, synonyms = ["GAIN{}"], from = "meta.gain" }

[[hdu]]
name = "WHT"
plane = "variance"
form = "inverse_variance"
zero_where_flagged = true
required = false

[[hdu]]
name = "FLG"
plane = "flags"
dtype = "uint16"
required = false
"""

RAW = r"""
[definition]
name = "raw"
summary = "A raw frame"
product = "Image"
[file]
name = "RAW_{obs_id}.fits"
[file.fields]
obs_id = { pattern = '\d+', from = "meta.obs_id" }
[meta]
obs_id = { file = "obs_id" }
[[hdu]]
name = "PRIMARY"
[[hdu]]
name = "SCI"
plane = "data"
dtype = "uint16"
unit = "ADU"
"""

Define = Callable[[str], DefinitionModel]


@pytest.fixture
def define(tmp_path: Path) -> Define:
    """Make a definition of TOML text."""

    def make(text: str) -> DefinitionModel:
        path = tmp_path / "definition.toml"
        path.write_text(text)
        return load_definition(path)

    return make


@pytest.fixture
def camera_text() -> str:
    return CAMERA


@pytest.fixture
def camera(define: Define) -> DefinitionModel:
    return define(CAMERA)


@pytest.fixture
def raw(define: Define) -> DefinitionModel:
    return define(RAW)


def make_wcs() -> WCS:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.cunit = ["deg", "deg"]
    wcs.wcs.crval = [150.1234567890123, 2.25]
    wcs.wcs.crpix = [-267.0, 14746.0]
    wcs.wcs.cd = [[-8.17455836176e-06, -1.8860208370739e-05], [1.886e-05, -8.174e-06]]
    wcs.wcs.set()
    return wcs


def make_image(shape: tuple[int, int] = (5, 7), **changes: Any) -> Image:
    rng = np.random.default_rng(3)
    flags = np.zeros(shape, np.uint16)
    flags[0, 0], flags[1, 2] = 1, 16 | 1
    fields: dict[str, Any] = {
        "data": rng.normal(size=shape).astype(np.float32),
        "variance": (1 + rng.random(shape)).astype(np.float32),
        "flags": flags,
        "unit": u.electron / u.s,
        "wcs": make_wcs(),
        "meta": Meta(
            obs_id="10100000001",
            detector=7,
            time=Time("2027-01-02T03:04:05", scale="utc"),
            exposure_time=150 * u.s,
            gain=[1.1, 1.2, 1.3, 1.4] * u.electron / u.adu,
            level=1,
        ),
    }
    return Image(**{**fields, **changes})


@pytest.fixture
def image() -> Image:
    return make_image()


@pytest.fixture
def raw_image() -> Image:
    rng = np.random.default_rng(5)
    data = rng.integers(0, 65536, (33, 13)).astype(np.uint16)
    data[0, :4] = 0, 1, 32768, 65535
    return Image(data=data, unit=u.adu, meta=Meta(obs_id="7"))
