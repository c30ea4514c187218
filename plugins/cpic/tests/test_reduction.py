"""Settings of a subtraction and the zones they make."""

from __future__ import annotations

from dataclasses import replace

import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable

from csst_cpic.star.reduction import Reduction
from csst_cpic.star.zones import zones_of
from csstcore.api import UnprocessableData

SETTINGS = Reduction(
    fwhm_pixel=4.1,
    inner_radius_pixel=5.0,
    outer_radius_pixel=27.0,
    annulus_width_pixel=6.0,
    pixel_scale_arcsec=0.0161,
    method="nmf",
    mode="adi+rdi",
    components=5,
    sectors=3,
    exclusion_fwhm=0.75,
    most_correlated=12,
    minimum_references=3,
    combination="weighted",
)


def test_settings_survive_a_fits_file(tmp_path):
    SETTINGS.to_table().write(tmp_path / "row.fits")
    assert Reduction.from_table(QTable.read(tmp_path / "row.fits")) == SETTINGS


def test_settings_are_quantities_in_any_unit():
    table = SETTINGS.to_table()
    table["pixel_scale_arcsec"] = table["pixel_scale_arcsec"].to(u.mas)
    read = Reduction.from_table(table)
    assert read.pixel_scale_arcsec == pytest.approx(SETTINGS.pixel_scale_arcsec, rel=1e-14)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "pca"}, "method is 'pca'; expected one of klip, nmf"),
        ({"components": 0}, "components is 0; expected above 0"),
        ({"fwhm_pixel": float("nan")}, "fwhm_pixel is nan"),
        ({"outer_radius_pixel": 5.0}, "expected above inner_radius_pixel = 5.0"),
    ],
)
def test_settings_without_sense_are_refused(changes, message):
    with pytest.raises(UnprocessableData, match=message):
        replace(SETTINGS, **changes)


def test_a_table_without_a_setting_or_with_two_rows_is_refused():
    table = SETTINGS.to_table()
    del table["sectors"]
    with pytest.raises(UnprocessableData, match="lack sectors"):
        Reduction.from_table(table)
    twice = QTable({name: [value] * 2 for name, value in (("sectors", 1),)})
    with pytest.raises(UnprocessableData, match="has 2 rows"):
        Reduction.from_table(twice)


def test_zones_hold_each_pixel_between_the_radii_once():
    zones = zones_of((61, 61), SETTINGS)
    y, x = np.mgrid[-30:31, -30:31]
    radius = np.hypot(y, x).ravel()
    held = np.concatenate([zone.pixels for zone in zones])
    wanted = np.flatnonzero((radius >= 5) & (radius < 27))
    assert np.array_equal(np.sort(held), wanted)
    edges = sorted({(zone.inner_pixel, zone.outer_pixel) for zone in zones})
    assert edges == [(5.0, 11.0), (11.0, 17.0), (17.0, 23.0), (23.0, 27.0)]
    assert {zone.sector for zone in zones} == {0, 1, 2}
