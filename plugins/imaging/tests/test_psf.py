"""The PSF of fields with known truth."""

from __future__ import annotations

import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable
from scipy.special import erf

from csst_imaging.psf.candidates import choose
from csst_imaging.psf.render import psf_at, render_psf
from csst_imaging.psf.shape import adaptive_moments
from csst_imaging.stages.background import estimate_background
from csst_imaging.stages.detection import detect_sources
from csst_imaging.stages.psf import model_psf
from csstcore.api import Image, Table, UnprocessableData, replace
from csstcore.notes import collecting

SHOULDER, SHIFT = 0.17, 0.4
"""Of the renderer: its centroid lies this far below the position of the core."""


def true_stamps(renderer, shape, x, y, size=25):
    """Images of unit sources whose centroids are at x, y."""
    stamps = []
    for px, py in zip(x, y, strict=True):
        left, top = np.floor(px + 0.5) - size // 2, np.floor(py + 0.5) - size // 2
        width = renderer.fwhm / 2.3548 * (1 + renderer.gradient * ((px - 1) / shape[1] - 0.5))
        total = np.zeros((size, size))
        core = py - SHOULDER * renderer.coma
        for part, sigma, shift in (
            (0.80, width, 0.0),
            (SHOULDER, 1.9 * width, renderer.coma),
            (0.03, 7.0, 0.0),
        ):
            lines = [
                np.diff(0.5 * erf((start + np.arange(size + 1) - 0.5 - at) / (2**0.5 * sigma)))
                for start, at in ((left, px), (top, core + shift))
            ]
            total += part * np.outer(lines[1], lines[0])
        stamps.append(total)
    return np.array(stamps)


def difference(psf, renderer, shape):
    """Relative residual, relative size, ellipticity and centroid against the truth."""
    rng = np.random.default_rng(8)
    x, y = rng.uniform(30, shape[1] - 30, 200), rng.uniform(30, shape[0] - 30, 200)
    made, true = render_psf(psf, x, y, 25), true_stamps(renderer, shape, x, y)
    residual = np.linalg.norm(made - true, axis=(1, 2)) / np.linalg.norm(true, axis=(1, 2))
    of_made = adaptive_moments(made, 1.0)
    of_true = adaptive_moments(true.astype(np.float32), 1.0)
    off = of_made - of_true
    return (
        np.median(residual),
        np.sqrt(np.mean((off[:, 2] / of_true[:, 2]) ** 2)),
        np.sqrt(np.mean(off[:, 3:] ** 2, axis=0)),
        np.sqrt(np.mean(off[:, :2] ** 2, axis=0)),
    )


@pytest.fixture(scope="module")
def varying(renderer):
    return replace(renderer, gradient=0.15)


@pytest.fixture(scope="module")
def modelled(field):
    with collecting() as notes:
        psf = model_psf(field.image, field.sources, field.background)
    return psf, notes.metrics


def test_the_psf_follows_the_truth_over_the_field(modelled, field, varying) -> None:
    psf, metrics = modelled
    residual, size, ellipticity, centroid = difference(psf, varying, field.image.shape)
    assert residual < 0.0103
    assert size < 0.005
    assert np.all(ellipticity < 0.002)
    assert np.all(centroid < 0.005)
    assert metrics["psf_stars_accepted"] > 0.9 * metrics["psf_stars_loaded"] > 300
    assert 0.9 < metrics["psf_chi2"] < 1.1
    assert abs(metrics["psf_fwhm_pixel"] / 2.37 - 1) < 0.03  # with the pixel and the shoulder


def test_the_samples_are_those_of_a_unit_source(modelled, field) -> None:
    psf, _ = modelled
    x, y = np.array([100.0, 1000.0, 1800.0]), np.array([2000.0, 1200.0, 300.0])
    total = psf_at(psf, x, y).sum(axis=(1, 2)) * psf.step_pixel**2
    np.testing.assert_allclose(total, 1.0, atol=2e-3)
    assert psf.samples.shape[1:] == (71, 71)
    assert float(f"{psf.step_pixel:.16G}") == psf.step_pixel


@pytest.fixture(scope="module")
def dirty(field):
    """The field with as many small galaxies as stars, and a leftover hit near every fifth star."""
    rng = np.random.default_rng(4)
    image = replace(field.image, data=field.image.data.copy())
    rows, columns = image.shape
    yy, xx = np.mgrid[-12:13, -12:13]
    for _ in range(1200):
        row, column = rng.integers(20, rows - 20), rng.integers(20, columns - 20)
        major = rng.uniform(1.3, 2.5)
        shape = np.exp(-np.hypot(xx, yy / rng.uniform(0.4, 1.0)) / major)
        light = 10 ** rng.uniform(2.8, 4.6) * shape / shape.sum()
        image.data[row - 12 : row + 13, column - 12 : column + 13] += rng.poisson(light)
    for x, y in zip(field.x[::5], field.y[::5], strict=True):
        row, column = int(y) + rng.integers(-3, 4), int(x) + rng.integers(-3, 4)
        image.data[row, column : column + 3] += 400.0
    background = estimate_background(image)
    return image, detect_sources(image, background), background


def test_galaxies_and_leftover_hits_do_no_harm(dirty, varying) -> None:
    image, sources, background = dirty
    psf = model_psf(image, sources, background)
    residual, size, ellipticity, _ = difference(psf, varying, image.shape)
    assert residual < 0.0103
    assert size < 0.005
    assert np.all(ellipticity < 0.002)


def test_galaxies_are_not_chosen(dirty, field) -> None:
    _, sources, _ = dirty
    chosen = sources.table[choose(sources.table, 20.0).row]
    away = np.hypot(chosen["x"].value[:, None] - field.x, chosen["y"].value[:, None] - field.y).min(
        axis=1
    )
    assert np.mean(away > 1.0) < 0.02


def test_flagged_pixels_do_not_count(field, varying) -> None:
    rng = np.random.default_rng(6)
    image = replace(field.image, data=field.image.data.copy(), flags=field.image.flags.copy())
    hit = rng.random(image.shape) < 0.003
    image.data[hit] += 3000.0
    image.set_flag("cosmic_ray", hit)
    image.data[:200, :300] = np.nan
    psf = model_psf(image, field.sources, field.background)
    residual, *_ = difference(psf, varying, image.shape)
    assert residual < 0.0103


def thinned(sources: Table, number: int) -> Table:
    """The brightest sources only."""
    order = np.argsort(-sources.table["flux_isophotal"].value)
    return Table(QTable(sources.table[order[:number]]), meta=sources.meta)


@pytest.mark.parametrize(("number", "degree"), [(15, 0), (40, 1), (120, 2)])
def test_with_few_stars_the_polynomial_is_lower(field, varying, number, degree) -> None:
    psf = model_psf(field.image, thinned(field.sources, number), field.background)
    assert psf.degree == degree
    residual, *_ = difference(psf, varying, field.image.shape)
    assert residual < (0.06, 0.03, 0.02)[degree]


@pytest.mark.parametrize("number", [0, 1, 4])
def test_too_few_stars_are_no_psf(field, number) -> None:
    with pytest.raises(UnprocessableData, match=f"found {number} clean stars"):
        model_psf(field.image, thinned(field.sources, number), field.background)


def test_an_image_that_is_all_flagged_is_no_psf(field) -> None:
    flags = np.full(field.image.shape, int(field.image.bit("bad")), np.uint16)
    with pytest.raises(UnprocessableData, match="expected at least 5"):
        model_psf(replace(field.image, flags=flags), field.sources, field.background)


def test_a_wide_psf_gets_a_coarser_grid(renderer) -> None:
    wide = replace(renderer, fwhm=4.5)
    rng = np.random.default_rng(3)
    x, y = rng.uniform(30, 570, (2, 60))
    image = wide.observe(wide.signal((600, 600), x, y, 10 ** rng.uniform(3.8, 5.0, 60)), rng)
    background = estimate_background(image)
    psf = model_psf(image, detect_sources(image, background), background)
    assert psf.step_pixel == 0.75
    residual, *_ = difference(psf, wide, image.shape)
    assert residual < 0.03


def test_the_psf_does_not_depend_on_the_unit(field) -> None:
    small = replace(
        field.image,
        data=field.image.data / np.float32(150),
        variance=field.image.variance / np.float32(150**2),
        unit=u.electron / u.s,
    )
    background = Image(field.background.data / np.float32(150), unit=u.electron / u.s)
    table = QTable(field.sources.table, copy=True)
    for name in ("flux_isophotal", "flux_isophotal_error"):
        table[name] = table[name] / 150.0
    one = model_psf(field.image, thinned(field.sources, 100), field.background)
    other = model_psf(small, thinned(Table(table), 100), background)
    np.testing.assert_allclose(other.samples, one.samples, atol=2e-4 * one.samples.max())
