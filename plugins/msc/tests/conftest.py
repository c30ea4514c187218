from __future__ import annotations

import astropy.units as u
import numpy as np
import pytest
from astropy.time import Time
from astropy.wcs import WCS

import csst_msc.plugin
from csstcore.api import Image, Meta
from csstcore.definitions.catalog import Definitions
from csstcore.plugins.registry import Registry


@pytest.fixture(scope="session")
def registry() -> Registry:
    return Registry.of({"msc": csst_msc.plugin})


@pytest.fixture(scope="session")
def definitions(registry: Registry) -> Definitions:
    return Definitions(registry)


@pytest.fixture
def meta() -> Meta:
    return Meta(
        telescope="CSST",
        instrument="MSC",
        obs_id="10100300001",
        file_type="SCIE",
        detector=6,
        readout="920x608",
        filter="y",
        time=Time("2028-01-01T00:00:00", scale="utc"),
        end_time=Time("2028-01-01T00:02:30", scale="utc"),
        exposure_time=150 * u.s,
        gain=np.linspace(1.05, 1.15, 16) * u.electron / u.adu,
        read_noise=np.full(16, 5.0) * u.electron,
        pixel_scale=0.074 * u.arcsec,
        right_ascension=150.1 * u.deg,
        declination=-2.3 * u.deg,
    )


@pytest.fixture
def wcs() -> WCS:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.cunit = ["deg", "deg"]
    wcs.wcs.crval = [150.1, -2.3]
    wcs.wcs.crpix = [-267, 14746]
    wcs.wcs.cd = [
        [-8.17455836176e-06, -1.8860208370739e-05],
        [1.88602083707394e-05, -8.17455836176e-06],
    ]
    wcs.wcs.set()
    return wcs


@pytest.fixture
def raw(meta: Meta, wcs: WCS) -> Image:
    data = np.random.default_rng(1).integers(900, 1100, (608, 920)).astype(np.uint16)
    return Image(data=data, unit=u.adu, wcs=wcs, meta=meta)


@pytest.fixture
def calibrated(meta: Meta, wcs: WCS) -> Image:
    rng = np.random.default_rng(2)
    data = rng.normal(0.06, 0.04, (576, 576)).astype(np.float32)
    flags = np.zeros(data.shape, np.uint16)
    flags[5, 6], flags[7, 8] = 16, 9
    variance = np.full(data.shape, 0.0016, np.float32)
    return Image(
        data=data, unit=u.electron / u.s, variance=variance, flags=flags, wcs=wcs, meta=meta
    )
