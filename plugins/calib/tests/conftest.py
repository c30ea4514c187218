"""A small detector of 4 x 2 channels, and images on it."""

from collections.abc import Callable

import astropy.units as u
import numpy as np
import pytest
from astropy.time import Time

from csst_calib.readout import Readout
from csstcore.api import Image, Meta


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20270810)


@pytest.fixture
def readout() -> Readout:
    return Readout(
        channel_columns=64,
        channel_rows=96,
        channels_x=4,
        channels_y=2,
        prescan_columns=9,
        overscan_columns=16,
        overscan_rows=5,
        corners=tuple(
            f"{vertical}_{side}"
            for vertical in ("lower", "upper")
            for side in ("left", "left", "right", "right")
        ),
    )


@pytest.fixture
def make_image(readout: Readout) -> Callable[..., Image]:
    """Image of the small detector: data or a constant, unit, exposure time and other facts."""

    def make(
        data: float | np.ndarray = 0.0,
        unit: u.UnitBase = u.electron,
        seconds: float = 100.0,
        **meta,
    ) -> Image:
        facts = {
            "instrument": "TEST",
            "detector": 7,
            "time": Time("2027-08-10T08:19:50", scale="utc"),
            "exposure_time": seconds * u.s,
            "gain": np.full(readout.channels, 1.1) * u.electron / u.adu,
            "read_noise": 5.0 * u.electron,
        }
        plane = np.empty(readout.shape, np.float32)
        plane[:] = data
        return Image(plane, unit, meta=Meta(**{**facts, **meta}))

    return make
