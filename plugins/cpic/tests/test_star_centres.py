"""Where the star is, found from nothing."""

from __future__ import annotations

import os
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits

from csst_cpic.stages.star_centres import fit_star_centres
from csst_cpic.star.star_centre import spot_centre
from csstcore.api import Image, Meta, UnprocessableData, replace

FWHM = 4.0


def frame(light, number=0, seed=1):
    """Photons of an expected image."""
    photons = np.random.default_rng(seed + number).poisson(light).astype(np.float32)
    return Image(photons, u.electron, meta=Meta(obs_id="1", frame=number))


def grid(shape, centre):
    """Offsets (y, x) from a centre (row, column)."""
    y, x = np.indices(shape)
    return y - centre[0], x - centre[1]


def gauss(shape, centre, flux, fwhm=FWHM):
    y, x = grid(shape, centre)
    return flux * np.exp(-4 * np.log(2) * (x**2 + y**2) / fwhm**2)


def test_an_unocculted_star_is_found_anywhere():
    places = np.random.default_rng(2).uniform((12, 12), (60, 80), (8, 2))
    frames = [frame(20 + gauss((72, 92), place, 2000.0, 4.4), k) for k, place in enumerate(places)]
    frames[3].data[5, 5] = 1e6  # a cosmic ray that nobody flagged
    table = fit_star_centres(frames, fwhm_pixel=FWHM, method="gaussian").table
    dx, dy = table["x"].value - 1 - places[:, 1], table["y"].value - 1 - places[:, 0]
    assert np.hypot(dx, dy).max() < 0.05
    pulls = np.concatenate([dx / table["x_error"].value, dy / table["y_error"].value])
    assert 0.5 < np.sqrt(np.mean(pulls**2)) < 1.6


def test_satellite_spots_tell_the_star_behind_a_mask():
    shape, errors = (101, 111), []
    for k in range(6):
        centre = np.array([50.0, 55.0]) + np.random.default_rng(k).uniform(-4, 4, 2)
        y, x = grid(shape, centre)
        light = 400 / (1 + (x**2 + y**2) / 200.0) * (1 + 0.1 * np.tanh(x / 20))
        for angle in np.radians(33.0 + 90 * np.arange(4)):
            spot = centre + 27.3 * np.array([np.sin(angle), np.cos(angle)])
            light = light + gauss(shape, spot, 800.0)
        table = fit_star_centres(
            [frame(light, k)], fwhm_pixel=FWHM, method="spots", spot_radius_pixel=27.0
        ).table
        errors.append([table["y"][0].value - 1 - centre[0], table["x"][0].value - 1 - centre[1]])
    assert np.abs(errors).max() < 0.05


def test_a_symmetric_halo_tells_the_star():
    shape, errors = (96, 90), []
    for k in range(6):
        centre = np.array([47.0, 44.0]) + np.random.default_rng(k).uniform(-5, 5, 2)
        y, x = grid(shape, centre)
        rings = np.cos(np.hypot(x, y) / 2) + np.cos(x / 3) * np.cos(y / 2.5)
        light = 3000 * (2 + rings) / (1 + (x**2 + y**2) / 100.0)
        image = frame(light, k)
        image.set_flag("saturated", np.hypot(x, y) < 3)
        image.data[image.flagged()] = 1e6
        table = fit_star_centres([image], fwhm_pixel=FWHM, outer_radius_pixel=35.0).table
        errors.append([table["y"][0].value - 1 - centre[0], table["x"][0].value - 1 - centre[1]])
    assert np.abs(errors).max() < 0.05


def test_frames_without_a_star_are_told_apart():
    good = frame(20 + gauss((60, 60), (30.0, 31.0), 1000.0), 0)
    empty = frame(np.full((60, 60), 20.0), 1)
    dead = frame(np.full((60, 60), 20.0), 2)
    dead.set_flag("bad", np.ones((60, 60), bool))
    table = fit_star_centres([good, empty, dead], fwhm_pixel=FWHM, method="gaussian").table
    assert np.array_equal(np.isfinite(table["x"].value), [True, False, False])
    with pytest.raises(UnprocessableData, match="in none of 2 frames"):
        fit_star_centres([empty, dead], fwhm_pixel=FWHM, method="gaussian")


def test_missing_spots_are_told():
    light = 20 + gauss((80, 80), (20.0, 40.0), 900.0) + gauss((80, 80), (60.0, 40.0), 900.0)
    image, valid = light.astype(float), np.ones((80, 80), bool)
    with pytest.raises(UnprocessableData, match="of 4 satellite spots were found"):
        spot_centre(image, valid, FWHM, 20.0, (40.0, 40.0))
    with pytest.raises(UnprocessableData, match="needs spot_radius_pixel"):
        fit_star_centres([frame(light)], fwhm_pixel=FWHM, method="spots")


@pytest.mark.data
@pytest.mark.skipif("CSST_TEST_DATA" not in os.environ, reason="CSST_TEST_DATA is not set")
def test_the_centre_of_a_real_star_behind_a_coronagraph():
    """SPHERE/IRDIS with four spots; the frame was centred on pixel 256 of 511."""
    path = Path(os.environ["CSST_TEST_DATA"]) / "coronagraph/sphere_satspots.fits.gz"
    image = Image(fits.getdata(path).astype(np.float32), u.adu)
    table = fit_star_centres([image], fwhm_pixel=FWHM, method="spots", spot_radius_pixel=48.0).table
    assert table["x"][0].value == pytest.approx(256, abs=0.05)
    assert table["y"][0].value == pytest.approx(256, abs=0.05)
    assert table["x_error"][0].value < 0.05


def test_faint_frames_of_one_observation_share_a_centre():
    places = {"1": np.array([31.3, 29.2]), "2": np.array([28.4, 30.9])}
    frames = []
    for obs_id, place in places.items():
        for k in range(30):
            light = 0.2 + gauss((60, 60), place, 10.0)
            image = frame(light, k, seed=int(obs_id) * 100)
            image = replace(image, meta=replace(image.meta, obs_id=obs_id))
            image.data[k, k] = 1e4
            image.set_flag("cosmic_ray", image.data > 1e3)
            frames.append(image)
    table = fit_star_centres(frames, fwhm_pixel=FWHM, method="gaussian", together=True).table
    for obs_id, place in places.items():
        rows = table[table["obs_id"] == obs_id]
        assert len(rows) == 30
        assert np.ptp(rows["x"].value) == 0
        assert rows["y"][0].value - 1 == pytest.approx(place[0], abs=0.1)
        assert rows["x"][0].value - 1 == pytest.approx(place[1], abs=0.1)
    with pytest.raises(UnprocessableData, match="differ in shape"):
        fit_star_centres(
            [frames[0], replace(frames[1], data=frames[1].data[1:], flags=None)],
            fwhm_pixel=FWHM,
            together=True,
        )


def test_errors_of_symmetry_are_those_of_photon_noise():
    pulls = []
    for k in range(12):
        centre = np.array([48.0, 46.0]) + np.random.default_rng(k).uniform(-3, 3, 2)
        y, x = grid((96, 92), centre)
        halo = frame(200 / (1 + (x**2 + y**2) / 225.0), k, seed=50)
        row = fit_star_centres([halo], fwhm_pixel=FWHM, outer_radius_pixel=35.0).table[0]
        pulls.append((row["x"].value - 1 - centre[1]) / row["x_error"].value)
        pulls.append((row["y"].value - 1 - centre[0]) / row["y_error"].value)
    assert 0.75 < np.sqrt(np.mean(np.square(pulls))) < 1.4
