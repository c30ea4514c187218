"""Reference stars at the time of an exposure, with the covariance of their places."""

from __future__ import annotations

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import Distance, SkyCoord, get_body_barycentric
from astropy.table import QTable
from astropy.time import Time

from csst_imaging.position.epoch import PARAMETERS, stars_at
from csstcore.api import UnprocessableData

TIME = Time("2028-06-01T00:00:00")


def one_star(**changes: float) -> QTable:
    """A star near Barnard's, in all columns that may be."""
    star = {
        "ra": 269.45,
        "dec": 4.69,
        "parallax": 546.9,
        "pmra": -801.5,
        "pmdec": 10362.4,
        "ra_error": 0.9,
        "dec_error": 1.4,
        "parallax_error": 1.1,
        "pmra_error": 0.3,
        "pmdec_error": 0.5,
        "radial_velocity": -110.5,
        "g_mag": 8.2,
        "epoch": 2016.0,
    } | changes
    units = {"ra": u.deg, "dec": u.deg, "g_mag": u.mag, "epoch": u.yr}
    units["radial_velocity"] = u.km / u.s
    table = QTable()
    for name, value in star.items():
        rate = u.mas / u.yr if name.startswith("pm") and not name.endswith("corr") else u.mas
        unit = u.dimensionless_unscaled if name.endswith("_corr") else units.get(name, rate)
        table[name] = np.array([value]) * unit
    return table


@pytest.mark.oracle
def test_motion_and_parallax_agree_with_astropy():
    rng = np.random.default_rng(2)
    n = 200
    table = QTable(
        {
            "ra": rng.uniform(0, 360, n) * u.deg,
            "dec": np.degrees(np.arcsin(rng.uniform(-0.99, 0.99, n))) * u.deg,
            "pmra": rng.normal(0, 3000, n) * u.mas / u.yr,
            "pmdec": rng.normal(0, 3000, n) * u.mas / u.yr,
            "parallax": rng.uniform(20, 500, n) * u.mas,
            "g_mag": np.full(n, 10.0) * u.mag,
            "epoch": np.full(n, 2016.0) * u.yr,
        }
    )
    for name in ("ra_error", "dec_error"):
        table[name] = np.full(n, 0.1) * u.mas
    for name in ("pmra_error", "pmdec_error"):
        table[name] = np.full(n, 0.1) * u.mas / u.yr
    for year in (2056.0, 2056.3, 2056.6):
        time = Time(year, format="jyear", scale="tdb")
        place = stars_at(table, time)
        star = SkyCoord(
            ra=table["ra"],
            dec=table["dec"],
            pm_ra_cosdec=table["pmra"],
            pm_dec=table["pmdec"],
            distance=Distance(parallax=table["parallax"]),
            radial_velocity=np.zeros(n) * u.km / u.s,
            obstime=Time(2016.0, format="jyear", scale="tdb"),
        ).apply_space_motion(time)
        earth = get_body_barycentric("earth", time)
        seen = SkyCoord(star.cartesian.without_differentials() - earth)
        found = SkyCoord(place.ra_deg * u.deg, place.dec_deg * u.deg)
        assert seen.separation(found).to_value(u.mas).max() < 0.1


def test_an_approaching_star_moves_faster_by_and_by():
    """Perspective acceleration: 2 mu mu_r t^2, ESA 1997 eq. 1.2.19; Barnard's 1.25 mas/yr^2."""
    far, near = (
        stars_at(one_star(radial_velocity=velocity), TIME).dec_deg[0] for velocity in (0.0, -110.5)
    )
    years = TIME.jyear - 2016.0
    assert (near - far) * 3.6e6 == pytest.approx(1.25 / 2 * years**2, rel=0.03)


CORRELATIONS = {
    "ra_dec_corr": 0.3,
    "ra_pmra_corr": -0.6,
    "dec_pmdec_corr": 0.5,
    "parallax_pmra_corr": 0.4,
    "pmra_pmdec_corr": -0.2,
    "ra_parallax_corr": -0.25,
}


def test_covariance_is_that_of_drawn_parameters():
    """Differences by steps of each parameter against the propagated covariance."""
    table = one_star(**CORRELATIONS)
    errors = np.array([table[f"{name}_error"].value[0] for name in PARAMETERS])
    correlation = np.eye(5)
    for name, value in CORRELATIONS.items():
        first, second = name.removesuffix("_corr").split("_")
        i, j = PARAMETERS.index(first), PARAMETERS.index(second)
        correlation[i, j] = correlation[j, i] = value
    base = stars_at(table, TIME)
    cos = np.cos(np.radians(base.dec_deg[0]))
    slopes = []
    for name in PARAMETERS:
        step = one_star(**CORRELATIONS)
        size = 50.0
        shift = size / 3.6e6 if name in ("ra", "dec") else size
        shift /= np.cos(np.radians(step["dec"].value[0])) if name == "ra" else 1.0
        step[name] = step[name] + shift * step[name].unit
        moved = stars_at(step, TIME)
        east = (moved.ra_deg[0] - base.ra_deg[0]) * cos * 3.6e6
        slopes.append([east / size, (moved.dec_deg[0] - base.dec_deg[0]) * 3.6e6 / size])
    jacobian = np.array(slopes).T
    expected = jacobian @ (correlation * np.outer(errors, errors)) @ jacobian.T
    found = stars_at(table, TIME).covariance_mas2[:, 0]
    np.testing.assert_allclose(
        found, [expected[0, 0], expected[0, 1], expected[1, 1]], rtol=2e-3, atol=1e-3
    )


def test_correlations_count():
    alone = stars_at(one_star(), TIME).error_mas[0, 0]
    tied = stars_at(one_star(ra_pmra_corr=-0.9), TIME).error_mas[0, 0]
    assert tied < 0.9 * alone


def test_errors_grow_with_time_and_unknown_motion():
    known = stars_at(one_star(parallax=0.0, parallax_error=0.0), TIME)
    years = TIME.jyear - 2016.0
    expected = np.hypot(0.9, 0.3 * years)
    assert known.error_mas[0, 0] == pytest.approx(expected, rel=1e-3)
    unknown = stars_at(one_star(pmra=np.nan), TIME)
    assert unknown.error_mas[0, 0] > 5.0 * years


def test_unknown_parallax_has_an_error():
    table = one_star(parallax=np.nan, parallax_error=np.nan, pmra_error=0.0, pmdec_error=0.0)
    assert stars_at(table, TIME).error_mas[:, 0].max() > 1.4
    table.remove_column("parallax_error")
    assert np.hypot(*stars_at(table, TIME).error_mas[:, 0]) > np.hypot(0.9, 1.4)


def test_places_must_be_numbers():
    with pytest.raises(UnprocessableData, match="not numbers"):
        stars_at(one_star(ra=np.nan), TIME)
    assert len(stars_at(one_star()[:0], TIME)) == 0
