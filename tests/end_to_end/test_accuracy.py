"""Level 1 against the truth of the simulator, on the small detector.

The simulator shares no code with the stages. Its sources as drawn, without noise, are the truth
of the pixels; its catalogue that of positions; its cosmic-ray frame that of flags.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pytest
from astropy.io import fits
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from csst_sim.direct import shot_of
from csst_sim.stages.scene import draw_scene
from csstcore.products import DEFAULT_FLAG_BITS

from .observatory import DETECTOR, SKY_OBS_ID, Observatory

SOURCE_FREE_ELECTRON_PER_S = 0.002
"""Light of sources below 1/30 of the noise."""
HIT_ELECTRON = 30.0
"""Charge of a pixel hit by a cosmic ray, five times the noise of the frame."""


@dataclass(frozen=True)
class Truth:
    """The exposure as simulated."""

    observatory: Observatory

    @cached_property
    def rate(self) -> NDArray[np.float64]:
        """Light of the sources, electron/s."""
        image, _ = draw_scene(shot_of(self.observatory.plan, SKY_OBS_ID, DETECTOR))
        return image.data.astype(float)

    @cached_property
    def sky(self) -> float:
        """Sky, electron/s per pixel."""
        shot = shot_of(self.observatory.plan, SKY_OBS_ID, DETECTOR)
        assert shot.filter is not None
        return shot.filter.sky_electron_per_s * shot.exposure.throughput

    @cached_property
    def deposit(self) -> NDArray[np.float32]:
        """Charge of cosmic rays, electron."""
        return np.asarray(fits.getdata(self.observatory.truth("cosmic_rays")))

    @cached_property
    def flags(self) -> NDArray[np.uint16]:
        """Flags of Level 1."""
        return np.asarray(fits.getdata(self.observatory.product("FLG")))

    @cached_property
    def gains(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Measured over true gain of every channel, and its error."""
        (path,) = self.observatory.references.rglob("*_gain_*.fits")
        measured, settings = fits.getdata(path), fits.getdata(self.observatory.truth("settings"))
        return measured["gain"] / settings["gain"], measured["gain_error"] / settings["gain"]

    @property
    def empty(self) -> NDArray[np.bool_]:
        """Pixels without flags, sources and cosmic rays."""
        free = (self.rate < SOURCE_FREE_ELECTRON_PER_S) & (self.deposit == 0)
        return np.asarray((self.flags == 0) & free)


@pytest.fixture(scope="module")
def truth(observatory: Observatory) -> Truth:
    return Truth(observatory)


def test_pixels_are_right_within_their_errors(observatory: Observatory, truth: Truth) -> None:
    image = fits.getdata(observatory.product("IMG")).astype(float)
    weight = fits.getdata(observatory.product("WHT")).astype(float)
    empty = truth.empty
    assert empty.sum() > 100_000
    # Eight small flats give the mean gain to 0.3 %; what channels differ by is in the flat.
    scale = truth.gains[0].mean()
    pull = (image - scale * (truth.sky + truth.rate))[empty] * np.sqrt(weight[empty])
    assert abs(pull.mean()) < 0.02
    assert 0.97 < pull.std() < 1.03
    assert abs(np.mean(pull > 0) - 0.5) < 0.02


def test_gains_are_right_within_their_errors(truth: Truth) -> None:
    ratio, error = truth.gains
    assert np.abs((ratio - 1) / error).max() < 3.5
    assert abs(ratio.mean() - 1) < 3 * np.sqrt(np.mean(error**2) / ratio.size)
    assert error.mean() < 0.02


def test_cosmic_rays_are_found(truth: Truth) -> None:
    flagged = (truth.flags & DEFAULT_FLAG_BITS["cosmic_ray"]) != 0
    other = (truth.flags & ~np.uint16(DEFAULT_FLAG_BITS["cosmic_ray"])) != 0
    hit = truth.deposit > HIT_ELECTRON
    assert hit.sum() > 200
    assert (flagged | other)[hit].mean() > 0.95
    # The edges of bleeding stars are no fair place for a network that never saw any.
    fair = distance_transform_edt((truth.flags & DEFAULT_FLAG_BITS["saturated"]) == 0) > 4.0
    assert (truth.deposit > 0)[flagged & fair].mean() > 0.97


def test_positions_are_those_of_the_true_stars(observatory: Observatory, truth: Truth) -> None:
    catalogue = fits.getdata(observatory.product("CAT"))
    stars = fits.getdata(observatory.truth("truth"))
    bright = (stars["type"] == "star") & (stars["signal_to_noise"] > 100)
    bright &= stars["saturated"] == 0
    stars = stars[bright]
    x, y = (catalogue[name][None, :] - stars[name.lower()][:, None] for name in ("X", "Y"))
    near = np.hypot(x, y).argmin(axis=1)
    rows = np.arange(len(stars))
    found = np.hypot(x, y)[rows, near] < 0.5
    assert found.mean() > 0.9
    cos = np.cos(np.deg2rad(stars["dec"]))
    east = (catalogue["RA"][near] - stars["ra"])[found] * cos[found] * 3.6e6
    north = (catalogue["DEC"][near] - stars["dec"])[found] * 3.6e6
    assert found.sum() >= 20
    for error in (east, north):
        assert np.sqrt(np.mean(error**2)) < 3.0


def test_zero_point_and_magnitudes_are_true(observatory: Observatory) -> None:
    header = fits.getheader(observatory.product("IMG"), 1)
    stars = fits.getdata(observatory.truth("truth"))
    bright = (stars["type"] == "star") & (stars["saturated"] == 0)
    stars = stars[bright & (stars["signal_to_noise"] > 50)]
    true = np.median(stars["mag"] + 2.5 * np.log10(stars["flux"]))
    # The optics are not the nominal ones; a hundred stars and another hundred that gave the colour
    # terms leave about a hundredth.
    assert abs(header["ZP"] - true) < 3 * header["ZPERR"] < 0.05
    assert header["ZP"] < 26.26 - 0.02
    catalogue = fits.getdata(observatory.product("CAT"))
    x, y = (catalogue[name][None, :] - stars[name.lower()][:, None] for name in ("X", "Y"))
    near = np.hypot(x, y).argmin(axis=1)
    found = catalogue[near][np.hypot(x, y).min(axis=1) < 0.5]
    difference = found["Mag_Total"] - stars["mag"][np.hypot(x, y).min(axis=1) < 0.5]
    assert abs(np.median(difference)) < 3 * header["ZPERR"]
    assert np.median(found["MagErr_Total"]) < 0.03
