"""Fits of the PSF to sources of known position and flux."""

from __future__ import annotations

import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable
from scipy.special import erf

from csst_imaging.psf.render import render_psf
from csst_imaging.stages.psf import model_psf
from csst_imaging.stages.psf_photometry import measure_psf_photometry
from csstcore.api import Image, Psf, Table, UnprocessableData, replace

SHAPE = (2000, 1300)
SKY, READ_NOISE = 33.0, 5.0
STEP, SIGMA = 0.47, 0.95
SCALED_MAD = 1.4826


def pixel_gaussian(x, sigma):
    return (erf((x + 0.5) / (2**0.5 * sigma)) - erf((x - 0.5) / (2**0.5 * sigma))) / 2


def star(x, y):
    """Part of the flux in pixels at offsets: a core and a wing, its second moments unequal."""
    core = pixel_gaussian(x, SIGMA) * pixel_gaussian(y, 1.1 * SIGMA)
    return 0.9 * core + 0.1 * pixel_gaussian(x, 2.2) * pixel_gaussian(y, 2.2)


@pytest.fixture(scope="module")
def psf() -> Psf:
    line = (np.arange(71) - 35) * STEP
    samples = np.zeros((6, 71, 71), np.float32)
    samples[0] = star(line[None, :], line[:, None])
    return Psf(samples, STEP, 2, (650.0, 1000.0), (1300.0, 2000.0))


def signal(shape, x, y, flux):
    data = np.zeros(shape)
    for px, py, f in zip(x, y, flux, strict=True):
        left, top = max(int(px) - 18, 0), max(int(py) - 18, 0)
        right, bottom = min(int(px) + 18, shape[1]), min(int(py) + 18, shape[0])
        columns, rows = np.arange(left, right) + 1 - px, np.arange(top, bottom) + 1 - py
        data[top:bottom, left:right] += f * star(columns[None, :], rows[:, None])
    return data


def observe(expected, seed=1):
    """Background-subtracted image and background with true Poisson noise and their variance."""
    rng = np.random.default_rng(seed)
    data = rng.poisson(expected + SKY) + rng.normal(0, READ_NOISE, expected.shape)
    variance = (expected + SKY + READ_NOISE**2).astype(np.float32)
    image = Image(
        data.astype(np.float32),
        unit=u.electron,
        variance=variance,
        flags=np.zeros(expected.shape, np.uint16),
    )
    return image, Image(np.full(expected.shape, SKY, np.float32), unit=u.electron)


def listed(x, y, flux, seed=2):
    """Sources as a detection might give them."""
    rng = np.random.default_rng(seed)
    n = len(x)
    return Table(
        QTable(
            {
                "id": np.arange(n),
                "x": (x + rng.normal(0, 0.15, n)) * u.pixel,
                "y": (y + rng.normal(0, 0.15, n)) * u.pixel,
                "flux_isophotal": flux * rng.uniform(0.7, 1.0, n) * u.electron,
                "flags_isophotal": np.zeros(n, np.int32),
            }
        )
    )


def column(table, name):
    return np.asarray(getattr(table.table[name], "value", table.table[name]))


@pytest.fixture(scope="module")
def stars(psf):
    """About 2,800 stars from S/N 4 to 1,000 on a jittered grid, as measured; and the truth."""
    rng = np.random.default_rng(7)
    y, x = (axis.ravel() for axis in np.mgrid[20 : SHAPE[0] - 15 : 31.0, 20 : SHAPE[1] - 15 : 28.0])
    x, y = x + rng.uniform(-4, 4, x.size), y + rng.uniform(-4, 4, x.size)
    flux = 10 ** rng.uniform(2.15, 5.0, x.size)
    image, background = observe(signal(SHAPE, x, y, flux))
    found = measure_psf_photometry(image, listed(x, y, flux), background, psf, model_error=0.0)
    return found, x, y, flux


@pytest.mark.parametrize(("low", "high"), [(5, 10), (10, 30), (30, 100), (100, 1000)])
def test_errors_are_right_from_bright_to_faint(stars, low, high) -> None:
    found, x, y, flux = stars
    ratio = flux / column(found, "flux_psf_error")
    use = (ratio > low) & (ratio < high)
    assert np.count_nonzero(use) > 300
    for name, truth in (("x_psf", x), ("y_psf", y), ("flux_psf", flux)):
        pull = (column(found, name) - truth)[use] / column(found, f"{name}_error")[use]
        assert 0.9 < np.std(pull[np.abs(pull) < 5]) < 1.1, name
        assert abs(np.median(pull)) < 0.2, name


def test_fluxes_and_positions_are_not_biased(stars) -> None:
    found, x, y, flux = stars
    for low, high in ((50, 150), (150, 2000)):
        ratio = flux / column(found, "flux_psf_error")
        use = (ratio > low) & (ratio < high)
        assert abs(np.median(column(found, "flux_psf")[use] / flux[use]) - 1) < 0.003
        assert abs(np.median(column(found, "x_psf")[use] - x[use])) < 0.003
        assert abs(np.median(column(found, "y_psf")[use] - y[use])) < 0.003
    np.testing.assert_allclose(np.nanmedian(column(found, "chi2_psf")), 1.0, atol=0.05)
    assert np.isfinite(column(found, "flux_psf")).mean() > 0.99


def test_a_stars_spread_is_zero_and_a_galaxys_is_not(stars, psf) -> None:
    found, _, _, flux = stars
    spread, error = column(found, "spread_model"), column(found, "spread_model_error")
    pull = (spread / error)[flux > 1000]
    assert abs(np.median(spread[flux > 1000])) < 1e-3
    assert 0.85 < SCALED_MAD * np.median(np.abs(pull)) < 1.15
    line = np.arange(60.0)
    expected = np.zeros((60, 60))
    expected += 5000 * np.outer(pixel_gaussian(line - 29, 1.5), pixel_gaussian(line - 30, 1.5))
    image, background = observe(expected)
    galaxy = listed(np.array([31.0]), np.array([30.0]), np.array([5000.0]))
    table = measure_psf_photometry(image, galaxy, background, psf)
    assert column(table, "spread_model")[0] > 0.005
    assert column(table, "spread_model")[0] > 10 * column(table, "spread_model_error")[0]


@pytest.mark.parametrize("separation", [2.5, 3.5, 5.0])
def test_neighbours_are_parted(psf, separation) -> None:
    x = np.array([30.3, 30.3 + separation * 0.8, 30.0])
    y = np.array([30.1, 30.1 + separation * 0.6, 45.0])
    flux = np.array([20000.0, 8000.0, 3000.0])
    pulls = []
    for seed in range(25):
        image, background = observe(signal((64, 64), x, y, flux), seed)
        found = measure_psf_photometry(image, listed(x, y, flux, seed), background, psf)
        pulls.append((column(found, "flux_psf") - flux) / column(found, "flux_psf_error"))
    assert np.all(np.abs(np.median(pulls, axis=0)) < 1.0)
    assert np.all(np.std(pulls, axis=0) < 1.4)


def test_a_saturated_star_is_measured_by_its_wings(psf) -> None:
    flux = np.array([300000.0])
    place = np.array([32.2]), np.array([30.8])
    image, background = observe(signal((64, 64), *place, flux))
    image.set_flag("saturated", image.data > 6000)
    image.data[image.data > 6000] = 6000
    found = measure_psf_photometry(image, listed(*place, flux), background, psf)
    assert abs(column(found, "flux_psf")[0] / flux[0] - 1) < 0.02
    assert abs(column(found, "x_psf")[0] - 32.2) < 0.02


def test_a_cosmic_ray_on_a_star_does_no_harm_where_it_is_flagged(psf) -> None:
    place, flux = (np.array([32.2]), np.array([30.8])), np.array([20000.0])
    image, background = observe(signal((64, 64), *place, flux))
    image.data[30, 28:33] += 5000
    hit = np.zeros(image.shape, bool)
    hit[30, 28:33] = True
    image.set_flag("cosmic_ray", hit)
    found = measure_psf_photometry(image, listed(*place, flux), background, psf)
    off = (column(found, "flux_psf") - flux) / column(found, "flux_psf_error")
    assert abs(off[0]) < 4


def test_what_cannot_be_fitted_is_not_a_number(psf) -> None:
    x = np.array([1.2, 30.0, 63.6, 45.0, np.nan])
    y = np.array([1.4, 30.0, 20.0, 45.0, 5.0])
    flux = np.array([5000.0, 5000.0, 5000.0, -100.0, 100.0])
    image, background = observe(signal((64, 64), x[:3], y[:3], flux[:3]))
    image.data[20:40, 20:40] = np.nan
    found = measure_psf_photometry(image, listed(x, y, flux), background, psf)
    measured = np.isfinite(column(found, "flux_psf"))
    assert measured[0]
    assert measured[2]
    assert not measured[1]
    assert not measured[4]
    assert abs(column(found, "flux_psf")[0] / 5000 - 1) < 0.15


def test_an_image_without_variance_is_refused(psf) -> None:
    image, background = observe(signal((64, 64), [30.0], [30.0], [1000.0]))
    sources = listed(np.array([30.0]), np.array([30.0]), np.array([1000.0]))
    with pytest.raises(UnprocessableData, match="variance"):
        measure_psf_photometry(replace(image, variance=None), sources, background, psf)
    empty = measure_psf_photometry(image, Table(sources.table[:0]), background, psf)
    assert len(empty) == 0
    assert "flux_psf" in empty.table.colnames


def test_the_stamps_are_those_of_the_renderer(psf) -> None:
    """The truth of this file and the PSF are the same source."""
    stamp = render_psf(psf, np.array([30.3]), np.array([29.6]), 21)[0]
    expected = signal((60, 60), [30.3], [29.6], [1.0])[19:40, 19:40]
    np.testing.assert_allclose(stamp, expected, atol=2e-4 * expected.max())


def test_positions_by_a_measured_psf_beat_windowed_ones(field) -> None:
    psf = model_psf(field.image, field.sources, field.background)
    found = measure_psf_photometry(field.image, field.sources, field.background, psf)
    nearest = field.nearest
    close = field.distance < 1.0
    bright = close & (field.flux > 3000) & (field.flux < 60000)
    for axis, truth in (("x", field.x), ("y", field.y)):
        by_fit = (column(found, f"{axis}_psf")[nearest] - truth)[bright]
        by_window = (column(found, axis)[nearest] - truth)[bright]
        assert np.std(by_fit) < np.std(by_window)
    error = column(found, "x_psf_error")[nearest]
    pull = ((column(found, "x_psf")[nearest] - field.x) / error)[bright]
    assert 0.85 < SCALED_MAD * np.median(np.abs(pull - np.median(pull))) < 1.15
