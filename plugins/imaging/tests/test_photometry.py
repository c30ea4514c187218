"""`measure_photometry` against rendered stars and photutils."""

from __future__ import annotations

import numpy as np
import pytest

from csst_imaging.position.tpv import tangent_wcs
from csst_imaging.stages.photometry import APERTURE_RADII_PIXEL, measure_photometry
from csstcore.api import UnprocessableData, Wcs
from csstcore.notes import collecting


def test_total_flux_is_right_in_every_bin_of_flux(field):
    ratio = field.column("flux_total") / field.flux - 1.0
    sharp = field.column("flux_total") > 50 * field.column("flux_total_error")
    for low, high in ((3.3, 4.0), (4.0, 4.5), (4.5, 5.3)):
        chosen = sharp & (np.log10(field.flux) > low) & (np.log10(field.flux) < high)
        assert np.count_nonzero(chosen) > 150
        assert abs(np.median(ratio[chosen])) < 0.003


def test_total_flux_is_right_on_both_sides_of_a_field_whose_psf_varies(field):
    ratio = field.column("flux_total") / field.flux - 1.0
    bright = field.column("flux_total") > 100 * field.column("flux_total_error")
    for side in (field.x < 500, field.x > 1400):
        assert abs(np.median(ratio[side & bright])) < 0.002


@pytest.mark.parametrize("aperture", [1, 2, 5])
def test_aperture_errors_match_the_scatter(field, aperture):
    flux = field.column("flux_aperture")[:, aperture]
    error = field.column("flux_aperture_error")[:, aperture]
    faint = field.flux < 1e4
    fraction = np.median(flux / field.flux)
    pull = (flux - fraction * field.flux)[faint] / error[faint]
    assert 0.9 < np.std(pull) < 1.1


def test_corrections_are_those_of_the_rendered_psf(field):
    """Beyond 13 pixels only the wings remain: 3 % of the flux, sigma 7 pixels."""
    outside = 0.03 * np.exp(-0.5 * (13.0 / 7.0) ** 2)
    measured = -2.5 * np.log10(1.0 - outside)
    found = field.metrics["total_correction"] + field.metrics["aperture_correction_06"]
    assert -found == pytest.approx(measured, abs=0.002)
    assert field.metrics["aperture_correction_02"] == 0.0
    assert field.metrics["aperture_stars"] > 300


def test_magnitudes_wait_for_the_zero_point(field):
    assert not [name for name in field.catalog.table.colnames if name.startswith("mag_")]


@pytest.mark.oracle
def test_apertures_agree_with_photutils(field):
    from photutils.aperture import CircularAperture, aperture_photometry

    table = field.catalog.table[:40]
    positions = np.stack([table["x"].value - 1.0, table["y"].value - 1.0], axis=-1)
    data = field.image.data - field.background.data
    apertures = [CircularAperture(positions, radius) for radius in APERTURE_RADII_PIXEL]
    error = np.sqrt(field.image.variance)
    expected = aperture_photometry(data, apertures, error=error, method="exact")
    for k in range(len(apertures)):
        noise = table["flux_aperture_error"].value[:, k]
        tolerance = 2e-4 * table["flux_aperture"].value[:, k] + 0.1 + 0.01 * noise
        difference = table["flux_aperture"].value[:, k] - expected[f"aperture_sum_{k}"]
        assert (np.abs(difference) < tolerance).all()
        np.testing.assert_allclose(noise, expected[f"aperture_sum_err_{k}"], rtol=2e-3)


def test_neighbour_is_marked(small):
    field = small([100, 106, 150], [100, 100, 150], [4e4, 3e4, 4e4])
    flags = field.column("flags").astype(int)
    assert flags[0] & 1
    assert flags[1] & 1
    assert not flags[2] & 1


def test_without_stars_to_measure_growth_there_is_no_total_flux(field, small):
    few = small([100.0], [100.0], [5e4])
    with collecting() as notes:
        catalog = measure_photometry(few.image, few.sources, few.background)
    assert "aperture corrections" in notes.caveats[0]
    assert np.isnan(catalog.table["flux_total"]).all()
    assert np.isfinite(catalog.table["flux_aperture"]).all()


def test_coordinates_come_from_the_solution_only(field):
    assert np.isnan(field.catalog.table["ra"]).all()
    scale = 0.074 / 3600
    wcs = Wcs(tangent_wcs((950.0, 1200.0), 150.0, 30.0, [[-scale, 0], [0, scale]]))
    table = measure_photometry(field.image, field.sources, field.background, wcs).table
    expected = wcs.wcs.pixel_to_world(table["x"].value - 1, table["y"].value - 1)
    np.testing.assert_allclose(table["ra"].value, expected.ra.deg, atol=1e-10)
    np.testing.assert_allclose(table["ra_error"].value, 74.0 * table["x_error"].value)
    np.testing.assert_allclose(table["dec_error"].value, 74.0 * table["y_error"].value)


def test_empty_list_is_refused(field):
    from csstcore.api import Table

    nothing = Table(field.sources.table[:0])
    with pytest.raises(UnprocessableData, match="empty"):
        measure_photometry(field.image, nothing, field.background)
