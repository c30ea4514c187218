"""Positions of whole exposures: all detectors together, and the distortion reference."""

from __future__ import annotations

from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.wcs import WCS

from csst_imaging.position.distortion import Distortion
from csst_imaging.stages.distortion import measure_distortion
from csst_imaging.stages.focal_plane import refine_position, solve_focal_plane
from csst_imaging.stages.position import solve_position
from csstcore.api import Image, Table, UnprocessableData, replace
from csstcore.definitions.catalog import Definitions
from csstcore.definitions.read import read_products
from csstcore.definitions.sources import Sources
from csstcore.definitions.write import write_product
from csstcore.notes import collecting
from csstcore.plugins.discovery import discover

from .source_lists import Night, make_plan, observe

DETECTORS = [7, 8, 13, 14, 18, 23, 24]
FEW = {13: 15.5, 18: 14.4}
"""Two NUV detectors that see little."""


def solve(night: Night, distortion: Distortion | None = None) -> dict[int, tuple[WCS, dict]]:
    """Return solutions and metrics by detector; those that failed are absent."""
    plane = solve_focal_plane(night.catalogs, night.stars[0], distortion)
    found = {}
    for catalog in night.catalogs:
        try:
            with collecting() as notes:
                _, wcs = refine_position(catalog, plane, distortion)
        except UnprocessableData:
            continue
        found[catalog.meta.detector] = wcs.wcs, notes.metrics
    return found


def alone(catalog: Table, stars: Table, distortion: Distortion | None = None) -> WCS:
    """Solve a catalogue by itself, as `mbi.l1` does."""
    columns, rows = catalog.wcs.pixel_shape
    plane = np.broadcast_to(np.float32(0), (rows, columns))
    return solve_position(
        Image(plane, wcs=catalog.wcs, meta=catalog.meta), catalog, stars, distortion
    ).wcs


@pytest.fixture(scope="module")
def night() -> Night:
    return observe(make_plan(1, DETECTORS), 0, FEW)


@pytest.fixture(scope="module")
def distortion() -> Distortion:
    """Measured on four exposures, none of which is `night`'s."""
    plan = make_plan(5, DETECTORS)
    nights = [observe(plan, number) for number in range(1, 5)]
    catalogs = [catalog for night in nights for catalog in night.catalogs]
    return measure_distortion(catalogs, [stars for night in nights for stars in night.stars])


def test_a_detector_with_few_stars_gains_from_the_others(night):
    with pytest.raises(UnprocessableData, match="fewer than 10"):
        alone(night.catalogs[DETECTORS.index(18)], night.stars[0])
    found = solve(night)
    errors = {d: truth.rms_mas(found[d][0]) for d, truth in zip(DETECTORS, night.truth, strict=True)
              if d in found}  # fmt: skip
    assert max(errors[d] for d in DETECTORS if d not in FEW) < 1.5
    assert errors[13] < 20.0
    assert found[13][1]["matched_stars"] < 20


@pytest.mark.parametrize("stars_per_arcmin2", [0.9, 8.0])
def test_together_is_not_worse_than_alone(stars_per_arcmin2):
    """With 110 and 1,000 stars a detector; of three exposures, as single ones are luck."""
    detectors = [7, 8, 11]
    before, after = np.zeros(3), np.zeros(3)
    for number in range(3):
        night = observe(make_plan(number + 1, detectors, stars_per_arcmin2), number)
        found = solve(night)
        for k, (catalog, truth) in enumerate(zip(night.catalogs, night.truth, strict=True)):
            before[k] += truth.rms_mas(alone(catalog, night.stars[0])) ** 2
            after[k] += truth.rms_mas(found[detectors[k]][0]) ** 2
    assert np.sqrt(after / before).max() < 1.05


def test_rescued_sources_have_errors_and_unknown_places_none(night):
    catalog = night.catalogs[DETECTORS.index(13)]
    table = catalog.table.copy()
    for axis in "xy":
        table[f"{axis}_psf"] = table[axis].copy()
        table[f"{axis}_psf_error"] = table[f"{axis}_error"].copy()
        table[f"{axis}_psf"][0] = table[f"{axis}_psf_error"][0] = -1.0 * u.pixel
    plane = solve_focal_plane(night.catalogs, night.stars[0])
    new, wcs = refine_position(replace(catalog, table=table), plane)
    scale_mas = np.sqrt(np.abs(np.linalg.det(wcs.wcs.pixel_scale_matrix))) * 3.6e6
    expected = scale_mas * table["x_error"].value
    for name in ("ra_error", "dec_error"):
        np.testing.assert_allclose(new.table[name].to_value(u.mas), expected, rtol=0.02)
    assert np.isnan([new.table[name][0].value for name in ("ra_psf", "ra_psf_error")]).all()
    assert np.isfinite(new.table["dec_psf"][1:]).all()


def test_known_distortion_gives_every_detector_a_solution(night, distortion):
    found = solve(night, distortion)
    errors = [truth.rms_mas(found[d][0]) for d, truth in zip(DETECTORS, night.truth, strict=True)]
    assert max(errors) < 3.0
    without = solve(night)
    common = [k for k, d in enumerate(DETECTORS) if d in without]
    before = [night.truth[k].rms_mas(without[DETECTORS[k]][0]) for k in common]
    assert np.mean([errors[k] for k in common]) < np.mean(before)


def test_known_distortion_lowers_the_error_of_a_sparse_detector_alone(distortion):
    plan = make_plan(1, [7, 8], stars_per_arcmin2=0.15)
    sparse = observe(plan, 0)
    for catalog, truth in zip(sparse.catalogs, sparse.truth, strict=True):
        with_reference = truth.rms_mas(alone(catalog, sparse.stars[0], distortion))
        assert with_reference < 4.0
        assert with_reference < truth.rms_mas(alone(catalog, sparse.stars[0]))


def test_distortion_is_that_of_the_truth(distortion, night):
    """Beyond pointing, angle and scale the reference says where sources are."""
    for name in (7, 18):
        truth = night.truth[DETECTORS.index(name)]
        plane = night.catalogs[DETECTORS.index(name)].wcs
        ideal = plane.wcs_world2pix(np.stack([truth.ra, truth.dec], axis=-1), 1)
        left = distortion.displace(name, truth.pixel) - ideal
        terms = np.column_stack([np.ones(len(left)), truth.pixel])
        left -= terms @ np.linalg.lstsq(terms, left, rcond=None)[0]
        assert np.sqrt(np.mean(left**2)) * 74.0 < 1.0


def test_table_of_residuals_takes_what_polynomials_leave():
    plan = make_plan(4, [8], stars_per_arcmin2=12.0)
    nights = [observe(plan, number, warp_pixel=0.15) for number in range(4)]
    catalogs = [night.catalogs[0] for night in nights]
    stars = [night.stars[0] for night in nights]
    errors = []
    for nodes in (0, 17):
        reference = measure_distortion(catalogs[1:], stars[1:], nodes=nodes)
        plane = solve_focal_plane(catalogs[:1], stars[0], reference)
        new, _ = refine_position(replace(catalogs[0], table=at_truth(nights[0])), plane, reference)
        truth = nights[0].truth[0]
        east = (new.table["ra"].value - truth.ra) * np.cos(np.radians(truth.dec))
        errors.append(float(np.std(east)) * 3.6e6)
    assert errors[1] < 0.4 * errors[0]


def at_truth(night: Night):
    """Return sources exactly where the stars are."""
    pixel = night.truth[0].pixel
    table = night.catalogs[0].table[np.zeros(len(pixel), int)]
    table["x"], table["y"] = pixel.T * u.pixel
    return table


def test_catalogue_and_solution_say_the_same(night):
    plane = solve_focal_plane(night.catalogs, night.stars[0])
    with collecting() as notes:
        new, wcs = refine_position(night.catalogs[0], plane)
    table = new.table
    ra, dec = wcs.wcs.wcs_pix2world(table["x"].value, table["y"].value, 1)
    np.testing.assert_allclose(table["ra"].value, ra, atol=0.1 / 3.6e6)
    np.testing.assert_allclose(table["dec"].value, dec, atol=0.1 / 3.6e6)
    assert notes.metrics["tpv_error_mas"] < 0.1
    assert new.wcs.pixel_shape == (9216, 9232)
    assert "ra" not in night.catalogs[0].table.colnames


def test_what_was_solved_before_is_taken_up(night):
    catalogs = list(night.catalogs)
    solved = alone(catalogs[0], night.stars[0])
    solved.pixel_shape = catalogs[0].wcs.pixel_shape
    catalogs[0] = replace(catalogs[0], wcs=solved)
    found = solve(replace_catalogs(night, catalogs))
    assert night.truth[0].rms_mas(found[7][0]) < 1.5


def test_a_detector_that_contradicts_the_others_is_left_out(night):
    """Sources 200 pixels off are solved alone, but no detector can be so far from its place."""
    catalogs = list(night.catalogs)
    table = catalogs[1].table.copy()
    table["x"] += 200.0 * u.pixel
    catalogs[1] = replace(catalogs[1], table=table)
    assert alone(catalogs[1], night.stars[0]) is not None
    found = solve(replace_catalogs(night, catalogs))
    assert 8 not in found
    assert night.truth[0].rms_mas(found[7][0]) < 1.5


def replace_catalogs(night: Night, catalogs: list[Table]) -> Night:
    return Night(catalogs, night.truth, night.stars)


def test_catalogues_without_coordinates_are_left_out(night):
    catalogs = [replace(night.catalogs[0], wcs=None), *night.catalogs[1:]]
    with collecting() as notes:
        plane = solve_focal_plane(catalogs, night.stars[0])
    assert "detector 7 has no celestial coordinates" in notes.caveats[0]
    assert "7" not in plane.detectors
    with pytest.raises(UnprocessableData, match="has no celestial"):
        solve_focal_plane(catalogs[:1], night.stars[0])


def test_a_second_catalogue_of_a_detector_is_left_out(night):
    with collecting() as notes:
        solve_focal_plane([*night.catalogs[:3], night.catalogs[0]], night.stars[0])
    assert notes.caveats == ["detector 7 has a second catalogue: it is left out"]


def test_a_sky_without_stars_is_refused(night):
    with pytest.raises(UnprocessableData, match="on none of 7 detectors"):
        solve_focal_plane(night.catalogs, Table(night.stars[0].table[:0]))


def test_reference_survives_its_file(distortion, tmp_path: Path):
    definition = Definitions(discover()).get("imaging.distortion")
    path = write_product(definition, distortion, Sources(), tmp_path)
    (again,) = read_products(definition, path).products
    pixel = np.array([[1.0, 1.0], [4000.0, 9000.0]])
    for name in DETECTORS:
        np.testing.assert_array_equal(again.displace(name, pixel), distortion.displace(name, pixel))
    with pytest.raises(UnprocessableData, match="no detector 9; it has 7, 8"):
        again.displace(9, pixel)
