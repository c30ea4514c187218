"""`imaging.fit_galaxies` against simulated galaxies whose light and PSF it does not know."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from csst_imaging.stages.galaxy_models import fit_galaxies
from csstcore.api import Table, UnprocessableData
from csstcore.notes import collecting

from .galaxy_field import (
    Galaxies,
    Measured,
    add_galaxies,
    add_stars,
    hidden_psf,
    measure,
    observe,
    random_galaxies,
    sampled_psf,
)

Floats = NDArray[np.float64]
Field = tuple[Galaxies, Measured]

SIDE, SPACING = 1960, 140
BRIGHT, FAINT = 60000.0, 9000.0
"""Electrons: signal-to-noise ratios of model fluxes of 100 to 20."""

PAIRS = 24
INCOMPLETE, POINT_MODEL, NOT_FITTED = 8, 16, 32


@pytest.fixture(scope="module")
def field() -> Field:
    """169 galaxies, stars between them: a third pure disks, a sixth pure bulges, else both."""
    rng = np.random.default_rng(7)
    steps = np.arange(140.0, SIDE - 100, SPACING)
    x, y = (axis.ravel() + rng.uniform(-3, 3, axis.size) for axis in np.meshgrid(steps, steps))
    flux = FAINT * (BRIGHT / FAINT) ** rng.random(len(x))
    bulge = rng.permutation(np.resize([0.0, 0.0, 1.0, -1.0, -1.0, -1.0], len(x)))
    bulge = np.where(bulge < 0.0, rng.uniform(0.1, 0.7, len(x)), bulge)
    galaxies = random_galaxies(x, y, flux, bulge, rng)
    psf = hidden_psf()
    expected = np.zeros((SIDE, SIDE), np.float32)
    add_galaxies(expected, psf, galaxies)
    star_x, star_y = (axis.ravel() for axis in np.meshgrid(steps[:-1] + 70, steps[:-1] + 70))
    star_x, star_y = (axis + rng.uniform(-1, 1, axis.size) for axis in (star_x, star_y))
    add_stars(expected, psf, star_x, star_y, 10 ** rng.uniform(3.8, 5.2, star_x.size))
    return galaxies, measure(observe(expected, rng))


def columns(field: Field, *names: str) -> list[Floats]:
    """Columns of the models in the order of the true galaxies."""
    galaxies, measured = field
    rows = measured.rows(galaxies.x, galaxies.y)
    return [measured.column(name, rows) for name in names]


def test_every_galaxy_and_no_star_is_modelled(field: Field) -> None:
    galaxies, measured = field
    flags = np.asarray(measured.models.table["flag_model"])
    assert np.count_nonzero(flags < POINT_MODEL) == len(galaxies)
    (at_galaxies,) = columns(field, "flag_model")
    assert (at_galaxies < POINT_MODEL).all()
    assert np.isnan(measured.models.table["flux_model"][flags == NOT_FITTED]).all()


def test_total_flux_is_unbiased_where_kron_loses_light(field: Field) -> None:
    galaxies, measured = field
    total, sersic = (flux / galaxies.flux for flux in columns(field, "flux_model", "flux_sersic"))
    rows = measured.rows(galaxies.x, galaxies.y)
    kron = measured.catalog.table["flux_kron"].value[rows] / galaxies.flux
    for kind, tolerance in ((galaxies.bulge == 0, 0.01), (galaxies.bulge < 1, 0.015)):
        assert abs(np.median(total[kind]) - 1.0) < tolerance
        assert abs(np.median(sersic[kind]) - 1.0) < tolerance
    assert np.median(kron) < 0.95


def test_shapes_are_those_of_the_galaxies(field: Field) -> None:
    galaxies, _ = field
    radius, ellipticity, angle = columns(field, "re_disk", "e_disk", "pa_disk")
    mixed = galaxies.bulge < 1
    assert abs(np.median(radius / galaxies.radius - 1.0)[()]) < 0.015
    assert abs(np.median((1.0 - ellipticity - galaxies.axis_ratio)[mixed])) < 0.01
    turned = (angle - np.degrees(galaxies.angle) + 90.0) % 180.0 - 90.0
    assert abs(np.median(turned[mixed])) < 1.0


def test_part_of_the_bulge_is_found(field: Field) -> None:
    galaxies, _ = field
    (disk,) = columns(field, "ratio_disk")
    for kind, tolerance in ((galaxies.bulge == 0, 0.01), (galaxies.bulge < 1, 0.03)):
        assert abs(np.median((1.0 - disk - galaxies.bulge)[kind])) < tolerance
    assert np.median(disk[galaxies.bulge == 1]) < 0.15


def test_sersic_index_is_that_of_pure_disks_and_bulges(field: Field) -> None:
    galaxies, _ = field
    (index,) = columns(field, "n_sersic")
    assert np.median(index[galaxies.bulge == 0]) == pytest.approx(1.0, abs=0.02)
    assert np.median(index[galaxies.bulge == 1]) == pytest.approx(4.0, abs=0.25)


@pytest.mark.parametrize("axis", ["x", "y"])
def test_errors_of_positions_match_the_scatter(field: Field, axis: str) -> None:
    galaxies, _ = field
    found, error = columns(field, f"{axis}_model", f"{axis}_model_error")
    assert 0.9 < np.std((found - getattr(galaxies, axis)) / error) < 1.1


@pytest.mark.parametrize(
    ("column", "true"),
    [("flux_model", "flux"), ("flux_sersic", "flux"), ("re_disk", "radius")],
)
def test_errors_match_the_scatter_where_the_model_is_right(
    field: Field, column: str, true: str
) -> None:
    galaxies, _ = field
    found, error = columns(field, column, f"{column}_error")
    pull = ((found - getattr(galaxies, true)) / error)[galaxies.bulge == 0]
    assert 0.9 < np.std(pull) < 1.1


def test_model_explains_the_pixels(field: Field) -> None:
    for chi2 in columns(field, "chi2_model", "chi2_sersic"):
        assert abs(np.median(chi2) - 1.0) < 0.01


@pytest.fixture(scope="module")
def pairs() -> tuple[Galaxies, Floats, Measured]:
    """Galaxies of one brightness, each beside another galaxy or a star, 3 half-light radii away."""
    rng = np.random.default_rng(11)
    steps = np.arange(90.0, 6 * 150, 150)
    x, y = (axis.ravel()[:PAIRS] for axis in np.meshgrid(steps, steps))
    angle = rng.uniform(0, 2 * np.pi, PAIRS)
    galaxies = random_galaxies(x, y, np.full(PAIRS, 2e4), np.full(PAIRS, 0.2), rng)
    galaxies.radius[:] = 5.0
    beside = x + 15 * np.cos(angle), y + 15 * np.sin(angle)
    half = PAIRS // 2
    neighbours = random_galaxies(
        beside[0][:half], beside[1][:half], np.full(half, 3e4), np.full(half, 0.3), rng
    )
    neighbours.radius[:] = 6.0
    psf, expected = hidden_psf(), np.zeros((760, 900), np.float32)
    add_galaxies(expected, psf, galaxies)
    add_galaxies(expected, psf, neighbours)
    add_stars(expected, psf, beside[0][half:], beside[1][half:], np.full(PAIRS - half, 5e4))
    measured = measure(observe(expected, rng), sampled_psf(psf, 450.0, 400.0))
    return galaxies, np.array(beside), measured


def test_neighbours_are_fitted_together(pairs: tuple[Galaxies, Floats, Measured]) -> None:
    galaxies, beside, measured = pairs
    mine, theirs = measured.rows(galaxies.x, galaxies.y), measured.rows(*beside)
    together = measured.column("flux_model", mine) / galaxies.flux - 1.0
    catalog = measured.catalog.table
    others = np.setdiff1d(np.arange(len(catalog)), theirs)
    alone = fit_galaxies(
        measured.image, measured.background, Table(catalog[others]), measured.psf
    ).table
    without = alone["flux_model"].value[np.searchsorted(others, mine)] / galaxies.flux - 1.0
    assert abs(np.median(together)) < 0.03
    assert np.std(together) < 0.1
    assert np.std(without) > 3 * np.std(together)
    pull = together * galaxies.flux / measured.column("flux_model_error", mine)
    assert np.std(pull) < 1.4
    stars = theirs[PAIRS // 2 :]
    assert (measured.column("flag_model", stars).astype(int) & POINT_MODEL != 0).all()
    np.testing.assert_allclose(measured.column("flux_model", stars), 5e4, rtol=0.03)


def test_flagged_pixels_and_edges_do_not_count(pairs: tuple[Galaxies, Floats, Measured]) -> None:
    galaxies, _, measured = pairs
    image = measured.image
    data, flags = image.data.copy(), image.flags.copy()
    rows = measured.rows(galaxies.x, galaxies.y)
    for line in np.unique(np.rint(galaxies.y).astype(int)):
        data[line + 3 : line + 12], flags[line + 3 : line + 12] = 1e6, 16
        data[line - 4, ::7] = np.nan
    spoilt = replace(image, data=data, flags=flags)
    models = fit_galaxies(spoilt, measured.background, measured.catalog, measured.psf).table
    flux, error = (models[name].value[rows] for name in ("flux_model", "flux_model_error"))
    assert np.isfinite(flux).all()
    assert np.abs(np.median(flux / galaxies.flux) - 1.0) < 0.04
    assert np.std((flux - galaxies.flux) / error) < 1.5
    assert (np.asarray(models["flag_model"])[rows] & INCOMPLETE != 0).all()
    top = slice(None, int(galaxies.y[0]) + 2)
    cut = replace(image, data=image.data[top], variance=image.variance[top], flags=image.flags[top])
    sky = replace(measured.background, data=measured.background.data[top])
    inside = Table(measured.catalog.table[measured.catalog.table["y"].value < cut.shape[0]])
    models = fit_galaxies(cut, sky, inside, measured.psf).table
    fitted = np.asarray(models["flag_model"]) < POINT_MODEL
    assert fitted.sum() >= 5
    assert (np.asarray(models["flag_model"])[fitted] & INCOMPLETE != 0).any()


def test_result_does_not_depend_on_the_number_of_threads(
    pairs: tuple[Galaxies, Floats, Measured], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, _, measured = pairs
    results = []
    for threads in ("1", "3"):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        models = fit_galaxies(
            measured.image, measured.background, measured.catalog, measured.psf
        ).table
        results.append(models["flux_model"].value)
    np.testing.assert_array_equal(*results)


def test_a_field_of_stars_has_no_models_and_says_so(
    pairs: tuple[Galaxies, Floats, Measured],
) -> None:
    _, _, measured = pairs
    table = measured.catalog.table.copy()
    table["fwhm"] = np.full(len(table), 2.0) * table["fwhm"].unit
    with collecting() as notes:
        models = fit_galaxies(measured.image, measured.background, Table(table), measured.psf)
    assert any("no galaxy" in caveat for caveat in notes.caveats)
    assert (np.asarray(models.table["flag_model"]) == NOT_FITTED).all()
    assert np.isnan(models.table["flux_model"].value).all()


def test_all_flagged_pixels_give_no_models(pairs: tuple[Galaxies, Floats, Measured]) -> None:
    _, _, measured = pairs
    image = replace(measured.image, flags=np.full(measured.image.shape, 1, np.uint16))
    models = fit_galaxies(image, measured.background, measured.catalog, measured.psf)
    assert (np.asarray(models.table["flag_model"]) == NOT_FITTED).all()


def test_empty_catalogue_and_missing_variance_are_refused(
    pairs: tuple[Galaxies, Floats, Measured],
) -> None:
    _, _, measured = pairs
    nothing = Table(measured.catalog.table[:0])
    with pytest.raises(UnprocessableData, match="empty"):
        fit_galaxies(measured.image, measured.background, nothing, measured.psf)
    image = replace(measured.image, variance=None)
    with pytest.raises(UnprocessableData, match="variance"):
        fit_galaxies(image, measured.background, measured.catalog, measured.psf)
    short = Table(measured.catalog.table["id", "x", "y"])
    with pytest.raises(UnprocessableData, match="flux_kron"):
        fit_galaxies(measured.image, measured.background, short, measured.psf)
