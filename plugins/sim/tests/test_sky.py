"""The sky is the same for everyone who looks at it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.time import Time

from csst_sim.direct import shipped
from csst_sim.gaia import observe_stars, parallax_error_mas, photometric_errors
from csst_sim.plan import SkySettings, parse_plan
from csst_sim.settings import Optics, Readout
from csst_sim.sky import draw_galaxies, draw_stars, magnitudes, move_to_epoch
from csst_sim.stages.catalogues import draw_catalogs, observe_reference_stars

Values = Callable[..., dict[str, Any]]


@pytest.mark.parametrize(("ra", "dec"), [(180.0, 30.0), (0.01, -5.0), (77.0, 89.99), (10.0, -90.0)])
def test_smaller_cone_is_part_of_a_larger_one(ra: float, dec: float) -> None:
    large = draw_stars(ra, dec, 0.12, SkySettings())
    small = draw_stars(ra, dec, 0.05, SkySettings())
    center = SkyCoord(ra * u.deg, dec * u.deg)
    near = SkyCoord(large["ra"], large["dec"]).separation(center) <= 0.05 * u.deg
    assert 1200 < len(small) < 2800
    assert set(small["id"]) == set(large["id"][near])
    assert len(set(large["id"])) == len(large)


def test_density_is_that_of_the_settings() -> None:
    sky = SkySettings(stars_per_arcmin2=50.0, galaxies_per_arcmin2=20.0)
    area = np.pi * (0.2 * 60) ** 2
    stars, galaxies = draw_stars(50.0, 40.0, 0.2, sky), draw_galaxies(50.0, 40.0, 0.2, sky)
    assert len(stars) == pytest.approx(50 * area, abs=5 * np.sqrt(50 * area))
    assert len(galaxies) == pytest.approx(20 * area, abs=5 * np.sqrt(20 * area))


def test_counts_grow_with_magnitude() -> None:
    mag = draw_stars(50.0, 40.0, 0.3, SkySettings())["g_mag"].value
    ratio = ((mag > 24) & (mag < 25)).sum() / ((mag > 23) & (mag < 24)).sum()
    assert ratio == pytest.approx(10**0.2, rel=0.1)


def test_seed_changes_the_sky() -> None:
    one, other = (draw_stars(50.0, 40.0, 0.05, SkySettings(seed=seed)) for seed in (1, 2))
    assert not set(one["ra"]) & set(other["ra"])


def test_proper_motion_agrees_with_astropy() -> None:
    stars = draw_stars(50.0, 60.0, 0.02, SkySettings())
    stars["parallax"] = 0.0 * u.mas
    ra, dec = move_to_epoch(stars, 2028.0)
    coordinates = SkyCoord(
        stars["ra"], stars["dec"], pm_ra_cosdec=stars["pmra"], pm_dec=stars["pmdec"],
        distance=1 * u.kpc, obstime=Time(2016.0, format="jyear"),
    )  # fmt: skip
    moved = coordinates.apply_space_motion(Time(2028.0, format="jyear"))
    apart = moved.separation(SkyCoord(ra * u.deg, dec * u.deg))
    assert apart.max() < 0.05 * u.mas


def test_parallax_draws_a_circle_at_the_pole_of_the_ecliptic() -> None:
    stars = draw_stars(270.0, 66.56, 0.02, SkySettings())
    stars["pmra"] = stars["pmdec"] = 0.0 * u.mas / u.yr
    stars["parallax"] = 100.0 * u.mas
    still = SkyCoord(stars["ra"], stars["dec"])
    for year in (2028.0, 2028.25, 2028.6):
        ra, dec = move_to_epoch(stars, year)
        radius = still.separation(SkyCoord(ra * u.deg, dec * u.deg)).to_value(u.mas)
        assert radius == pytest.approx(100.0, abs=3.0)
    first, second = (SkyCoord(*move_to_epoch(stars, year), unit="deg") for year in (2028.0, 2028.5))
    assert first.separation(second).to_value(u.mas) == pytest.approx(200.0, abs=5.0)


def test_gaia_errors_grow_with_magnitude_and_are_obeyed() -> None:
    stars = draw_stars(50.0, 60.0, 0.3, SkySettings(stars_per_arcmin2=30.0))
    seen = observe_stars(stars, np.random.default_rng(1))
    kept = stars[stars["g_mag"] < 21 * u.mag]
    assert len(seen) == len(kept)
    pull = (seen["dec"] - kept["dec"]) / seen["dec_error"]
    assert np.std(pull.to_value("")) == pytest.approx(1.0, abs=0.1)
    pull = (seen["pmra"] - kept["pmra"]) / seen["pmra_error"]
    assert np.std(pull.to_value("")) == pytest.approx(1.0, abs=0.1)
    bright, faint = parallax_error_mas(np.array([15.0, 20.0]))
    assert 0.02 < bright < 0.05
    assert 0.3 < faint < 0.8


def test_catalogues_cover_all_exposures_of_a_plan(
    make_values: Callable[..., dict[str, Any]],
) -> None:
    values = make_values()
    values["detectors"] = [7, 8]
    plan = parse_plan(values, "plan")
    readout, optics = shipped("readout_920x608.toml", Readout), shipped("msc_optics.toml", Optics)
    stars, galaxies = draw_catalogs(plan, readout, optics)
    assert len(set(stars.table["id"])) == len(stars)
    assert len(galaxies) > len(stars)
    assert np.ptp(stars.table["dec"].value) > 0.05
    seen = observe_reference_stars(stars, rng=np.random.default_rng(1)).table
    assert seen.colnames == [
        "ra", "dec", "ra_error", "dec_error", "pmra", "pmdec", "pmra_error", "pmdec_error",
        "parallax", "g_mag", "g_mag_error", "bp_rp", "bp_rp_error", "reddening",
        "reddening_error", "epoch",
    ]  # fmt: skip


def test_gaia_photometry_is_off_by_its_errors() -> None:
    stars = draw_stars(50.0, 60.0, 0.3, SkySettings(stars_per_arcmin2=30.0))
    seen = observe_stars(stars, np.random.default_rng(1))
    kept = stars[stars["g_mag"] < 21 * u.mag]
    for name in ("g_mag", "bp_rp", "reddening"):
        pull = ((seen[name] - kept[name]) / seen[f"{name}_error"]).to_value("")
        assert np.std(pull) == pytest.approx(1.0, abs=0.1)
    g_error, colour_error = photometric_errors(np.array([13.0, 20.0]))
    assert g_error == pytest.approx([3e-4, 6e-3])
    assert colour_error == pytest.approx([1.1e-3, 0.12], rel=0.05)


def test_magnitudes_scatter_about_the_relation_of_the_filter() -> None:
    optics = shipped("msc_optics.toml", Optics)
    stars = draw_stars(50.0, 60.0, 0.1, SkySettings())
    steady = stars["amplitude"].value == 0
    assert steady.mean() == pytest.approx(0.97, abs=0.01)
    for name in ("NUV", "g"):
        band = optics.filter[name]
        constant, slope, curve = band.star_colour
        colour = stars["bp_rp"].value - 0.8
        relation = stars["g_mag"].value + constant + slope * colour + curve * colour**2
        relation += band.star_reddening * stars["reddening"].value
        left = magnitudes(stars, 2028.0, band) - relation
        assert np.std(left[steady]) == pytest.approx(band.star_scatter, rel=0.05)
        assert np.abs(left[~steady]).max() > 0.2
