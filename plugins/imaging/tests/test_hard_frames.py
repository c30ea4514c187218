"""Frames on which nothing can be measured, and crowded ones: no crash, no wrong number."""

from __future__ import annotations

import time

import astropy.units as u
import numpy as np
import pytest
from scipy.spatial import cKDTree

from csst_imaging.stages.background import estimate_background
from csst_imaging.stages.detection import detect_sources
from csst_imaging.stages.photometry import measure_photometry
from csstcore.api import Image, Table, UnprocessableData, replace
from csstcore.notes import collecting

SHAPE = (300, 260)


def frame(data, variance=25.0, flags=None):
    data = np.asarray(data, np.float32)
    return Image(
        data,
        unit=u.electron,
        variance=np.full(data.shape, variance, np.float32),
        flags=np.zeros(data.shape, np.uint16) if flags is None else flags,
    )


def test_constant_frame_has_its_level_and_no_sources():
    image = frame(np.full(SHAPE, 100.0))
    background = estimate_background(image)
    np.testing.assert_allclose(background.data, 100.0, rtol=1e-6)
    sources = detect_sources(image, background)
    assert len(sources) == 0
    with pytest.raises(UnprocessableData, match="empty"):
        measure_photometry(image, sources, background)


def test_constant_frame_without_variance_has_none_and_no_sources():
    image = replace(frame(np.full(SHAPE, 100.0)), variance=None)
    background = estimate_background(image)
    assert len(detect_sources(image, background)) == 0


def test_frame_without_a_usable_pixel_is_refused():
    for image in (
        frame(np.full(SHAPE, np.nan)),
        frame(np.zeros(SHAPE), flags=np.ones(SHAPE, np.uint16)),
    ):
        with pytest.raises(UnprocessableData, match=r"0\.00% of the pixels"):
            estimate_background(image)


def test_zero_variance_means_no_value_and_no_source():
    data = np.random.default_rng(1).normal(0.0, 5.0, SHAPE)
    data[100:110, 100:110] += 1000.0
    image = frame(data, variance=0.0)
    background = estimate_background(image)
    assert len(detect_sources(image, background)) == 0


def test_half_flagged_frame_takes_its_sky_from_the_other_half():
    data = np.random.default_rng(1).normal(50.0, 5.0, (600, 600))
    data[:300] = 1e5
    flags = np.zeros(data.shape, np.uint16)
    flags[:300] = 1
    background = estimate_background(frame(data, flags=flags), box_pixel=100)
    assert np.abs(background.data - 50.0).max() < 3.0


def test_one_star_alone_is_measured(renderer):
    rng = np.random.default_rng(2)
    at = np.array([130.3]), np.array([120.7]), np.array([5e4])
    image = renderer.observe(renderer.signal(SHAPE, *at), rng)
    background = estimate_background(image)
    with collecting() as notes:
        table = measure_photometry(image, detect_sources(image, background), background).table
    assert len(table) == 1
    assert abs(table["x"].value[0] - 130.3) < 0.05
    assert "aperture corrections" in notes.caveats[0]


def test_saturated_star_is_one_source_and_marked(renderer):
    rng = np.random.default_rng(2)
    at = np.array([150.0]), np.array([150.0]), np.array([3e7])
    image = renderer.observe(renderer.signal((300, 300), *at), rng)
    full = image.data > 60_000
    full[100:200, 148:153] = True
    image.data[full] = 60_000
    image.set_flag("saturated", full)
    background = estimate_background(image)
    table = detect_sources(image, background).table
    near = np.hypot(table["x"].value - 150, table["y"].value - 150) < 20
    assert np.count_nonzero(near) == 1
    assert table["flags"][near][0] & 4


def test_cluster_core_is_parted_in_seconds(renderer):
    """One star every 14 pixels; pairs closer than 4 pixels are left out of the count."""
    rng = np.random.default_rng(7)
    x, y = rng.uniform(10, 500, (2, 1300))
    flux = 10 ** rng.uniform(2.6, 5.0, x.size)
    image = renderer.observe(renderer.signal((512, 512), x, y, flux), rng)
    background = estimate_background(image)
    detect_sources(image, background)
    start = time.process_time()
    sources = detect_sources(image, background).table
    assert time.process_time() - start < 5.0
    tree = cKDTree(np.column_stack([sources["x"].value, sources["y"].value]))
    distance, _ = tree.query(np.column_stack([x, y]))
    crowd = cKDTree(np.column_stack([x, y]))
    apart = crowd.query(crowd.data, k=2)[0][:, 1] > 4.0
    assert np.mean(distance[apart & (flux > 1e4)] < 1.0) > 0.97
    near, _ = cKDTree(np.column_stack([x, y])).query(tree.data)
    assert np.mean(near < 2.0) > 0.97


def test_positions_outside_the_image_have_no_flux(renderer):
    rng = np.random.default_rng(2)
    at = np.array([130.3, 60.0]), np.array([120.7, 200.0]), np.array([5e4, 5e4])
    image = renderer.observe(renderer.signal(SHAPE, *at), rng)
    background = estimate_background(image)
    sources = detect_sources(image, background)
    for x in (-30.0, 400.0):
        table = sources.table.copy()
        table["x"][0] = x * u.pixel
        with collecting():
            catalog = measure_photometry(image, Table(table), background).table
        assert np.isnan(catalog["flux_aperture"].value[0]).all()
        assert np.isfinite(catalog["flux_aperture"].value[1]).all()


def test_sources_without_position_are_refused(renderer):
    rng = np.random.default_rng(2)
    at = np.array([130.3]), np.array([120.7]), np.array([5e4])
    image = renderer.observe(renderer.signal(SHAPE, *at), rng)
    background = estimate_background(image)
    table = detect_sources(image, background).table.copy()
    table["x"][0] = np.nan * u.pixel
    with pytest.raises(UnprocessableData, match="1 of 1 sources have no finite x, y"):
        measure_photometry(image, Table(table), background)
