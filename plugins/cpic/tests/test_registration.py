"""Frames chosen, put on top of each other, and added."""

from __future__ import annotations

import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable
from astropy.time import Time

from csst_cpic.camera.frame_key import frame_keys
from csst_cpic.stages import select_frames as selection
from csst_cpic.stages.coadd import coadd
from csst_cpic.stages.register_frames import register_frames
from csst_cpic.stages.select_frames import select_frames
from csstcore.api import Image, Meta, Table, UnprocessableData, replace

SHAPE, FWHM = (50, 54), 3.5
PLACES = np.array([[24.3, 26.8], [25.9, 25.1], [23.6, 27.45], [24.0, 27.0], [25.5, 26.5]])


def star(place, flux=1000.0, shape=SHAPE):
    """A Gaussian star, rows and columns from 0."""
    y, x = np.indices(shape)
    square = (y - place[0]) ** 2 + (x - place[1]) ** 2
    return (flux * np.exp(-4 * np.log(2) * square / FWHM**2)).astype(np.float32)


def series(places=PLACES, flux=1000.0, angle_step=0.0):
    """Frames of a star, with the table of its centres."""
    frames = [
        Image(
            star(place, flux) + np.float32(10),
            u.electron,
            np.full(SHAPE, 4.0, np.float32),
            np.zeros(SHAPE, np.uint16),
            meta=Meta(
                obs_id="40100000001",
                frame=k,
                position_angle=k * angle_step * u.deg,
                exposure_time=10 * u.s,
                time=Time("2028-01-01") + 10 * k * u.s,
                pixel_scale=0.016 * u.arcsec,
                right_ascension=30 * u.deg,
                declination=-20 * u.deg,
            ),
        )
        for k, place in enumerate(places)
    ]
    table = QTable({"obs_id": ["40100000001"] * len(frames), "frame": np.arange(len(frames))})
    table["x"], table["y"] = (places[:, 1] + 1) * u.pix, (places[:, 0] + 1) * u.pix
    return frames, Table(table)


def test_stars_come_to_the_central_pixel_with_their_flux():
    frames, centres = series()
    cube, table = register_frames(frames, centres)
    side = cube.data.shape[1]
    assert cube.data.shape == (5, side, side)
    assert side % 2 == 1
    expected = star((side // 2, side // 2), shape=(side, side)) + 10
    for plane in cube.data:
        np.testing.assert_allclose(plane, expected, atol=1.5)
        assert plane.sum() == pytest.approx(expected.sum(), rel=2e-4)
    np.testing.assert_allclose(cube.variance, 4.0, rtol=1e-6)
    assert not cube.flags.any()
    assert table.table["frame"].tolist() == [0, 1, 2, 3, 4]
    assert table.table["exposure_time"].unit == u.s
    assert (table.table["weight"] == 1).all()
    assert cube.meta.time == frames[0].meta.time


def test_flagged_pixels_are_carried_and_do_not_ring():
    frames, centres = series()
    frames[1].data[25:28, 30] = 1e6
    frames[1].set_flag("cosmic_ray", frames[1].data > 1e5)
    frames[2].data[12, 18] = np.nan
    cube, _ = register_frames(frames, centres, size_pixel=31)
    clean, _ = register_frames(*series(), size_pixel=31)
    flagged = cube.flags != 0
    assert (cube.flags[1] & cube.flag_bits["cosmic_ray"]).any()
    assert 6 <= flagged[1].sum() <= 8
    assert np.isnan(cube.data[flagged]).all()
    assert np.isnan(cube.variance[flagged]).all()
    assert flagged[2].any()
    assert not flagged[[0, 3, 4]].any()
    np.testing.assert_allclose(cube.data[~flagged], clean.data[~flagged], atol=12)


def test_beyond_the_border_there_is_nothing():
    frames, centres = series()
    cube, _ = register_frames(frames, centres, size_pixel=71)
    bad = cube.flags & cube.flag_bits["bad"] != 0
    assert np.array_equal(bad, np.isnan(cube.data))
    assert 0.2 < bad.mean() < 0.6
    assert not bad[:, 15:-15, 15:-15].any()


def test_centres_are_found_by_observation_and_frame_number():
    frames, centres = series()
    few, _ = register_frames([frames[3], frames[1]], centres, size_pixel=31)
    both, _ = register_frames(frames, centres, size_pixel=31)
    np.testing.assert_array_equal(few.data, both.data[[3, 1]])
    other = replace(frames[0], meta=replace(frames[0].meta, obs_id="40100000002"))
    with pytest.raises(UnprocessableData, match="1 of 1 frames have no row in the table centres"):
        register_frames([other], centres)
    with pytest.raises(UnprocessableData, match="two frames are number 0"):
        frame_keys([frames[0], frames[0]])


def test_frames_that_cannot_be_stacked_are_refused():
    frames, centres = series()
    small = replace(frames[1], data=frames[1].data[1:], variance=None, flags=None)
    with pytest.raises(UnprocessableData, match="differ in shape"):
        register_frames([frames[0], small], centres)
    with pytest.raises(UnprocessableData, match="differ in unit"):
        register_frames([frames[0], replace(frames[1], unit=u.adu)], centres)
    centres.table["x"][1] = 60 * u.pix
    with pytest.raises(UnprocessableData, match=r"star of frame 1 is at x = 60\.0"):
        register_frames(frames, centres)


def test_frames_unlike_the_others_are_left_out(monkeypatch):
    told = []
    monkeypatch.setattr(selection, "caveat", told.append)
    places = np.tile([24.5, 26.5], (12, 1)) + np.random.default_rng(1).normal(0, 0.1, (12, 2))
    frames, centres = series(places)
    frames[2].data *= np.float32(0.5)
    frames[5].data[:] = np.random.default_rng(2).normal(10, 80, SHAPE)
    centres.table["x"][7] += 3 * u.pix
    centres.table["x"][9] = np.nan * u.pix
    kept = select_frames(frames, centres, outer_radius_pixel=15.0)
    assert [k for k, frame in enumerate(kept) if frame is None] == [2, 5, 7, 9]
    assert kept[0] is frames[0]
    assert told[0].startswith("4 of 12 frames are left out, by number: 2 (its light: -")
    assert "9 (no star)" in told[0]


def test_few_frames_and_frames_alike_are_all_kept():
    frames, centres = series()
    frames[0].data *= 2
    assert all(select_frames(frames[:4], centres, outer_radius_pixel=15.0))
    alike, centres = series(np.tile(PLACES[0], (9, 1)))
    assert all(select_frames(alike, centres, outer_radius_pixel=15.0))


def test_without_any_star_no_frame_is_left():
    frames, centres = series()
    centres.table["x"] = np.full(5, np.nan) * u.pix
    with pytest.raises(UnprocessableData, match="none of 5 frames is usable: no star"):
        select_frames(frames, centres, outer_radius_pixel=15.0)


def test_frames_are_added_on_the_sky_with_their_weights():
    frames, centres = series(np.tile([25.0, 27.0], (5, 1)), angle_step=18.0)
    for k, frame in enumerate(frames):
        turn = np.radians(90.0 - 18.0 * k)
        place = (25 + 12 * np.cos(turn), 27 - 12 * np.sin(turn))
        frame.data += star(place, 200.0)
    frames[1].data += np.float32(100)
    frames[1].variance[:] = 4e6
    cube, table = register_frames(frames, centres)
    image = coadd(cube, table)
    middle = image.shape[0] // 2
    assert image.data[middle, middle - 12] == pytest.approx(210, rel=0.01)  # East is left
    assert image.data[middle + 12, middle] == pytest.approx(10, abs=1)
    assert image.variance[middle, middle] == pytest.approx(1.0, rel=1e-3)
    ra, dec = image.wcs.wcs_pix2world(middle - 12, middle, 0)
    assert (ra - 30) * np.cos(np.radians(-20)) * 3600 == pytest.approx(12 * 0.016, rel=1e-3)
    assert dec == pytest.approx(-20, abs=1e-6)
    table.table["position_angle"] += 9.0 * u.deg
    turned = coadd(cube, table)
    corner = np.isnan(turned.data)
    assert np.array_equal(corner, turned.flagged("bad"))
    assert corner[0, 0]


def test_without_variances_the_exposure_weighs():
    frames, centres = series()
    bare = [replace(frame, variance=None) for frame in frames]
    bare[0] = replace(bare[0], meta=replace(bare[0].meta, exposure_time=40 * u.s))
    bare[0].data[:] += np.float32(80)
    cube, table = register_frames(bare, centres)
    image = coadd(cube, table)
    assert image.variance is None
    assert image.data[4, 4] == pytest.approx(10 + 80 * 40 / 80, rel=1e-3)


def test_a_table_of_other_frames_or_without_angles_is_refused():
    cube, table = register_frames(*series())
    with pytest.raises(UnprocessableData, match="5 planes, its table of frames 4 rows"):
        coadd(cube, Table(table.table[:4]))
    table.table["position_angle"][2] = np.nan * u.deg
    with pytest.raises(UnprocessableData, match="plane 2 of the cube has no position angle"):
        coadd(cube, table)
