"""`detect_sources` against rendered stars."""

from __future__ import annotations

import gzip
import io
import os
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from scipy.spatial import cKDTree
from scipy.special import erf

from csst_imaging.photometry.windows import measure_windows
from csst_imaging.stages.detection import detect_sources
from csst_imaging.stages.photometry import measure_photometry
from csstcore.api import Image, UnprocessableData, replace
from csstcore.notes import collecting


def test_every_star_above_ten_sigma_is_found_once_and_nothing_else(field):
    assert (field.distance < 1.0).all()
    assert len(field.sources) == field.x.size
    assert np.unique(field.nearest).size == field.x.size


def test_positions_of_bright_stars_are_good_to_two_hundredths_of_a_pixel(field):
    bright = field.column("flux_total") > 100 * field.column("flux_total_error")
    for axis, truth in (("x", field.x), ("y", field.y)):
        offset = (field.column(axis) - truth)[bright]
        assert np.count_nonzero(bright) > 300
        assert np.std(offset) < 0.02
    assert abs(np.median((field.column("x") - field.x)[bright])) < 0.005  # 1-based, unbiased
    assert 0.0 < np.median((field.column("y") - field.y)[bright]) < 0.05  # coma, constant


@pytest.mark.parametrize("axis", ["x", "y"])
def test_position_errors_match_the_scatter(field, axis):
    offset = field.column(axis) - getattr(field, axis)
    pull = (offset - np.median(offset)) / field.column(f"{axis}_error")
    assert 0.9 < np.std(pull) < 1.1


@pytest.mark.parametrize("fwhm", [2.0, 2.2, 3.0])
def test_position_of_a_noiseless_star_does_not_depend_on_its_place_in_the_pixel(fwhm):
    sigma = fwhm / 2.3548
    places = 20.0 + np.linspace(0.0, 1.0, 11)
    for place in places:
        row, column = np.mgrid[:41, :41]
        edges = np.stack([row - place, column - 20.3]) + np.array([-0.5, 0.5])[:, None, None, None]
        light = np.diff(erf(edges / (np.sqrt(2.0) * sigma)), axis=0)[0].prod(axis=0)
        data, flat = (1e5 * light).astype(np.float32), np.ones((41, 41), np.float32)
        start = np.array([20.3]), np.array([place]), np.array([sigma])
        (found,) = measure_windows(data, 0 * flat, flat, *start)
        assert found[1] == pytest.approx(place, abs=5e-4)
        assert found[0] == pytest.approx(20.3, abs=5e-4)


def test_width_follows_the_field(field):
    bright = field.column("flux_total") > 100 * field.column("flux_total_error")
    left, right = field.x < 600, field.x > 1300
    fwhm = field.column("fwhm")
    ratio = np.median(fwhm[bright & right]) / np.median(fwhm[bright & left])
    assert ratio == pytest.approx(1.075, abs=0.02)
    assert field.metrics["fwhm_pixel"] == pytest.approx(2.4, abs=0.15)


def test_units_and_numbers(field):
    table = field.sources.table
    assert table["x"].unit == u.pixel
    assert table["theta"].unit == u.deg
    assert list(table["id"]) == list(range(1, len(table) + 1))
    assert (np.diff(table["y"].value) >= 0).all()


def test_flags_of_the_image_reach_the_source(field):
    image = replace(field.image, flags=np.zeros(field.image.shape, np.uint16))
    brightest = int(np.argmax(field.flux))
    row, column = round(field.y[brightest]) - 1, round(field.x[brightest]) - 1
    image.flags[row, column] = 8 | 16
    image.flags[row + 1, column] = 8
    table = detect_sources(image, field.background).table
    star = field.nearest[brightest]
    assert table["flags_isophotal"][star] == 24
    assert table["flagged_pixels"][star] == 2
    assert table["flags"][star] & 4
    assert np.count_nonzero(table["flags_isophotal"]) == 1


def test_blend_and_cut_source_are_marked(small):
    field = small([100, 106, 150, 1.2], [100, 100, 150, 60], [4e4, 3e4, 4e4, 4e4])
    flags = field.column("flags").astype(int)
    assert len(field.sources) == 4
    assert flags[0] & 2 or flags[1] & 2
    assert flags[2] & (2 | 8) == 0
    assert flags[3] & 8


def test_missing_pixels_are_no_sources(field):
    data = field.image.data[:400, :400].copy()
    data[200:210, 200:210] = np.nan
    image = Image(data, variance=field.image.variance[:400, :400].copy(), unit=u.electron)
    background = Image(field.background.data[:400, :400].copy(), unit=u.electron)
    table = detect_sources(image, background).table
    assert np.isfinite(table["x"].value).all()
    x, y = table["x"].value, table["y"].value
    assert not ((abs(x - 205.5) < 4) & (abs(y - 205.5) < 4)).any()


def test_background_of_another_unit_is_refused(field):
    with pytest.raises(UnprocessableData, match=r"expected .* 'electron' as the image"):
        detect_sources(field.image, replace(field.background, unit=u.adu))


def test_noise_must_be_known(field):
    with pytest.raises(UnprocessableData, match="variance plane"):
        detect_sources(replace(field.image, variance=None), field.background)


@pytest.mark.data
@pytest.mark.filterwarnings("ignore::astropy.utils.exceptions.AstropyUserWarning")
@pytest.mark.skipif("CSST_TEST_DATA" not in os.environ, reason="needs CSST_TEST_DATA")
def test_emmi_field_agrees_with_its_catalogue():
    """256 x 256 pixels of NTT/EMMI; the SExtractor catalogue has 65 sources, MINAREA 5.

    Its apertures of 5 pixels are at isophotal positions, so at the edges of blends they differ.
    """
    folder = Path(os.environ["CSST_TEST_DATA"]) / "imaging" / "emmi_sep"
    data = fits.getdata(io.BytesIO((folder / "image.fits").read_bytes())).astype(np.float32)
    back, rms = (
        fits.getdata(io.BytesIO(gzip.decompress((folder / f"{name}.fits.gz").read_bytes())))
        for name in ("back", "rms")
    )
    background = Image(back.astype(np.float32), variance=(rms.astype(np.float32)) ** 2)
    image = Image(data)
    sources = detect_sources(image, background, min_area_pixel=5, kernel_fwhm_pixel=2.0)
    with collecting():
        catalog = measure_photometry(image, sources, background).table
    lines = (folder / "image.cat").read_text().splitlines()
    reference = np.array([line.split()[:18] for line in lines if line[0] != "#"], float)
    tree = cKDTree(np.stack([catalog["x"].value, catalog["y"].value], axis=-1))
    distance, nearest = tree.query(reference[:, 1:3])
    assert np.mean(distance < 3.0) >= 0.99
    assert len(catalog) < 1.1 * len(reference)
    aperture = catalog["flux_aperture"].value[nearest, 2] / reference[:, 12] - 1.0
    bright = reference[:, 12] > 20 * reference[:, 13]
    assert np.count_nonzero(bright) == 20
    assert np.abs(aperture[bright]).max() < 0.01
    kron = catalog["flux_kron"].value[nearest][bright] / reference[bright, 15] - 1.0
    assert abs(np.median(kron)) < 0.01
