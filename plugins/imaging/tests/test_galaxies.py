"""The numerics of galaxy models: profiles, PSF as Gaussians, derivatives, groups."""

from __future__ import annotations

from itertools import pairwise

import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable
from scipy.integrate import quad
from scipy.ndimage import gaussian_filter, uniform_filter
from scipy.special import gammaincinv, j1

from csst_imaging.galaxies.groups import make_groups
from csst_imaging.galaxies.linear import invert
from csst_imaging.galaxies.model import BULGE_DISK, POINT, SERSIC, draw_source, parameter_count
from csst_imaging.galaxies.psf_mixture import fit_psf_mixture
from csst_imaging.galaxies.sersic import gaussians_of, sersic_table
from csst_imaging.galaxies.sources import first_guesses
from csstcore.api import Psf, UnprocessableData

PSF = np.array(
    [
        [0.5, 0.05, 0.02, 0.72, 0.02, 0.66],
        [0.4, -0.06, -0.02, 1.2, 0.0, 1.1],
        [0.08, 0.0, 0.0, 4.0, 0.3, 4.2],
        [0.02, 0.0, 0.0, 26.0, 0.0, 25.0],
    ]
)


def gaussian_psf(components: np.ndarray = PSF, step: float = 0.5, half: int = 30) -> Psf:
    """A constant PSF made of Gaussians."""
    axis = (np.arange(2 * half + 1) - half) * step
    x, y = np.meshgrid(axis, axis)
    samples = np.zeros(x.shape)
    for fraction, dx, dy, xx, xy, yy in components:
        determinant = xx * yy - xy * xy
        a, b = x - dx, y - dy
        power = (yy * a * a - 2 * xy * a * b + xx * b * b) / determinant
        samples += fraction / (2 * np.pi * np.sqrt(determinant)) * np.exp(-0.5 * power)
    return Psf(samples[None].astype(np.float32), step, 0, (1.0, 1.0), (1.0, 1.0))


@pytest.mark.parametrize("index", [0.5, 0.55, 0.7, 1.0, 1.4, 2.0, 3.0, 4.0, 5.0, 6.0])
def test_gaussians_hold_the_light_of_the_profile_within_every_radius(index):
    b = gammaincinv(2 * index, 0.5)

    def light(radius: float) -> float:
        cut = 1.0 if radius < 5 else max(0.0, 1 - ((radius - 5) / 3) ** 2)
        return 2 * np.pi * radius * np.exp(-b * radius ** (1 / index)) * cut

    radii = [0.0, 0.05, 0.2, 0.5, 1.0, 2.0, 4.0, 5.0, 6.5, 8.0]
    rings = [quad(light, a, b)[0] for a, b in pairwise(radii)]
    exact = np.cumsum(rings) / np.sum(rings)
    weight, variance = gaussians_of(index)
    within = [(weight * (1 - np.exp(-0.5 * r * r / variance))).sum() for r in radii[1:]]
    np.testing.assert_allclose(within, exact, atol=0.0025 if index < 2.5 else 0.0055)
    assert weight.sum() == pytest.approx(1.0, abs=1e-12)


def test_gaussians_change_smoothly_with_the_index():
    steps = np.abs(np.diff(sersic_table(), axis=0))
    assert steps[:, 0].max() < 0.05


@pytest.mark.parametrize("kind", [POINT, SERSIC, BULGE_DISK])
def test_derivatives_are_those_of_the_image(kind):
    values = {
        POINT: [20.3, 18.8, 900.0],
        SERSIC: [20.3, 18.8, 900.0, 1.2, 0.4, -0.3, 0.7],
        BULGE_DISK: [20.3, 18.8, 700.0, 1.3, 0.4, -0.3, 300.0, 0.8, 0.0, 0.0],
    }
    parameters, table = np.array(values[kind]), sersic_table()

    def image(p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        model, slopes = np.empty((41, 37)), np.empty((parameter_count(kind), 41 * 37))
        origin, weight = np.array([1, 2]), np.ones((41, 37))
        draw_source(kind, p, table, PSF, origin, weight, model, slopes)
        return model.ravel(), slopes

    _, slopes = image(parameters)
    for k, slope in enumerate(slopes):
        step = np.zeros(len(parameters))
        step[k] = 0.03  # smaller ones feel the edges of the Gaussians
        change = (image(parameters + step)[0] - image(parameters - step)[0]) / (2 * step[k])
        assert np.linalg.norm(change - slope) < 3e-3 * np.linalg.norm(slope)


def test_light_of_a_model_is_its_flux():
    table, model = sersic_table(), np.empty((301, 301))
    for kind, parameters in (
        (SERSIC, [150.2, 149.7, 1000.0, 1.6, 0.5, 0.2, 0.0]),
        (BULGE_DISK, [150.2, 149.7, 600.0, 1.6, 0.5, 0.2, 400.0, 1.2, 0.5, 0.2]),
    ):
        slopes = np.empty((parameter_count(kind), 301 * 301))
        origin, weight = np.zeros(2, np.int64), np.ones((301, 301))
        draw_source(kind, np.array(parameters), table, PSF, origin, weight, model, slopes)
        assert model.sum() == pytest.approx(1000.0, rel=5e-4)


def test_psf_of_gaussians_is_found_again():
    psf = gaussian_psf()
    mixture = fit_psf_mixture(psf, (1000, 1000))
    assert mixture.error < 1e-3
    found = mixture.at(np.array([300.0]), np.array([800.0]))[0]
    assert found[:, 0].sum() == pytest.approx(1.0, abs=1e-3)
    mean = (found[:, 0, None] * found[:, 1:3]).sum(axis=0)
    np.testing.assert_allclose(mean, (PSF[:, 0, None] * PSF[:, 1:3]).sum(axis=0), atol=2e-3)


def test_psf_that_is_no_sum_of_gaussians_is_approximated_to_one_percent():
    """A diffraction pattern of the survey's width, seen through pixels: the error is reported."""
    axis = (np.arange(121) - 60) * 0.25
    radius = np.pi * np.hypot(*np.meshgrid(axis, axis)) / 1.2 + 1e-9
    samples = gaussian_filter(uniform_filter((2 * j1(radius) / radius) ** 2, 4), 0.5 / 0.25)
    samples /= samples.sum() * 0.25**2
    psf = Psf(samples[None].astype(np.float32), 0.25, 0, (1.0, 1.0), (1.0, 1.0))
    mixture = fit_psf_mixture(psf, (1000, 1000))
    assert 1e-3 < mixture.error < 0.01


@pytest.mark.parametrize("bad", [np.nan, 0.0, -1.0])
def test_psf_without_light_is_refused(bad):
    psf = gaussian_psf()
    psf.samples[:] = bad
    with pytest.raises(UnprocessableData, match="samples"):
        fit_psf_mixture(psf, (100, 100))


def test_inverse_of_badly_scaled_matrices():
    rng = np.random.default_rng(2)
    basis = rng.normal(size=(30, 6)) * 10.0 ** np.arange(-6, 6, 2)
    matrix = basis.T @ basis
    np.testing.assert_allclose(invert(matrix) @ matrix, np.eye(6), atol=1e-6)
    matrix[2], matrix[:, 2] = 0.0, 0.0
    assert np.isinf(invert(matrix)).all()


def catalog_of(x, y, fwhm) -> QTable:
    """A catalogue of equal sources."""
    ones = np.ones(len(x))
    return QTable(
        {
            "x": np.array(x, float) * u.pixel,
            "y": np.array(y, float) * u.pixel,
            "fwhm": np.array(fwhm, float) * u.pixel,
            "a": 3 * ones * u.pixel,
            "b": 2 * ones * u.pixel,
            "theta": 30 * ones * u.deg,
            "light_radius": np.outer(ones, [2.0, 4.0, 8.0]) * u.pixel,
            "flux_kron": 1000 * np.arange(1, len(x) + 1) * u.electron,
            "flux_kron_error": 50 * ones * u.electron,
        }
    )


def test_groups_hold_neighbours_and_leave_lone_stars_out():
    table = catalog_of([100, 110, 300, 500, 508, 700], [100] * 6, [5, 5, 5, 5, 2.2, 2.2])
    mixture = fit_psf_mixture(gaussian_psf(), (200, 800))
    sources = first_guesses(table, mixture, (200, 800), u.electron)
    groups = make_groups(sources, 8)
    assert sorted(group.members.tolist() for group in groups) == [[0, 1], [2], [3, 4]]
    assert not any(group.split for group in groups)


def test_long_chain_is_cut_and_the_rest_subtracted():
    table = catalog_of(50 + 12 * np.arange(30), [100] * 30, [5] * 30)
    mixture = fit_psf_mixture(gaussian_psf(), (200, 500))
    sources = first_guesses(table, mixture, (200, 500), u.electron)
    groups = make_groups(sources, 8)
    assert max(len(group.members) for group in groups) == 8
    assert sorted(np.concatenate([group.members for group in groups])) == list(range(30))
    assert all(group.split and len(group.outsiders) for group in groups)


def test_sources_without_position_or_flux_are_left_out():
    table = catalog_of([100, np.nan, 300, 900], [100, 100, 100, 100], [5, 5, 5, 5])
    table["flux_kron_error"][2] = -1.0 * u.electron
    mixture = fit_psf_mixture(gaussian_psf(), (200, 800))
    sources = first_guesses(table, mixture, (200, 800), u.electron)
    assert sources.usable.tolist() == [True, False, False, False]
    assert len(make_groups(sources, 8)) == 1
    assert np.isfinite(sources.parameters).all()


@pytest.mark.oracle
@pytest.mark.parametrize(("index", "tolerance"), [(1.0, 0.005), (2.5, 0.01), (4.0, 0.02)])
def test_image_is_that_of_astropy_convolved_by_fft(index, tolerance):
    """Sersic2D on a fine grid, the PSF as samples, convolved numerically: no Gaussians."""
    from astropy.modeling.models import Sersic2D
    from scipy.signal import fftconvolve

    fine, half, radius, g = 5, 50, 5.0, 0.6
    axis = (np.arange((2 * half + 1) * fine) - (half * fine + fine // 2)) / fine
    x, y = np.meshgrid(axis, axis)
    major = radius * np.exp(0.5 * g)
    profile = Sersic2D(
        amplitude=1.0, r_eff=major, n=index, x_0=0.3, y_0=-0.2, ellip=1 - np.exp(-g), theta=0.0
    )(x, y)
    place = np.hypot((x - 0.3) / major, (y + 0.2) / (major * np.exp(-g)))
    profile *= np.where(place < 5, 1.0, np.clip(1 - ((place - 5) / 3) ** 2, 0.0, 1.0))
    psf = gaussian_psf(step=1 / fine, half=20 * fine).samples[0].astype(float)
    expected = fftconvolve(profile / profile.sum(), psf / fine**2, mode="same")
    middle = half * fine + fine // 2
    expected = expected[middle % fine :: fine, middle % fine :: fine] * fine**2
    parameters = np.array([half + 0.3, half - 0.2, 1.0, np.log(radius), g, 0.0, np.log(index)])
    side = 2 * half + 1
    model, slopes = np.empty((side, side)), np.empty((7, side * side))
    origin, weight = np.zeros(2, np.int64), np.ones((side, side))
    draw_source(SERSIC, parameters, sersic_table(), PSF, origin, weight, model, slopes)
    assert np.abs(model - expected).max() < tolerance * expected.max()
    assert model.sum() == pytest.approx(expected.sum(), rel=0.005)
