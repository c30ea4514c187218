"""`calibrate_flux` and `measure_colour_terms` on stars of known magnitudes."""

from __future__ import annotations

from collections.abc import Callable

import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable, vstack
from astropy.time import Time

from csst_imaging import checks, figures
from csst_imaging.flux.passbands import (
    SPECTRUM_WAVELENGTH_NM,
    Passband,
    Passbands,
    synthetic_magnitudes,
)
from csst_imaging.position.tpv import tangent_wcs
from csst_imaging.stages.colour_terms import measure_colour_terms
from csst_imaging.stages.flux import calibrate_flux
from csstcore.api import Image, Meta, NotApplicable, Table, UnprocessableData, replace
from csstcore.notes import collecting

RATE = u.electron / u.s
META = Meta(
    instrument="MSC", filter="g", time=Time("2028-01-01T00:00:00"), exposure_time=150.0 * u.s
)
G_BAND = Passband(26.0, (400.0, 410.0, 545.0, 560.0), (0.0, 0.6, 0.6, 0.0))
PASSBANDS = Passbands({"g": G_BAND, "NUV": Passband(24.7, (250.0, 320.0), (0.2, 0.2))})


def relation(colour, reddening):
    """Magnitude minus G: what the stages do not know."""
    return 0.3 + 0.6 * (colour - 0.8) + 0.1 * (colour - 0.8) ** 2 + 0.5 * reddening


def sky(number=300, seed=1, zero_point=26.0, reddening=0.05, scatter=0.02):
    """A catalogue of stars, and their reference list with Gaia-like errors."""
    rng = np.random.default_rng(seed)
    ra, dec = 150.0 + rng.uniform(-0.08, 0.08, number), 2.0 + rng.uniform(-0.08, 0.08, number)
    g, colour = rng.uniform(16.5, 19.5, number), rng.uniform(0.2, 2.2, number)
    dust = 0.5 * reddening * rng.gamma(2.0, 1.0, number)
    g_error, colour_error, dust_error = 0.002, 0.01 * 10 ** (0.2 * (g - 17)), 0.02
    mag = g + relation(colour, dust) + rng.normal(0.0, scatter, number)
    flux = 10.0 ** (0.4 * (zero_point - mag))
    error = np.sqrt(flux * 150.0 + 3000.0) / 150.0
    zero, one = np.zeros(number), np.ones(number)
    stars = QTable(
        {
            "ra": ra * u.deg, "dec": dec * u.deg,
            "ra_error": one * u.mas, "dec_error": one * u.mas,
            "pmra": zero * u.mas / u.yr, "pmdec": zero * u.mas / u.yr,
            "pmra_error": zero * u.mas / u.yr, "pmdec_error": zero * u.mas / u.yr,
            "parallax": zero * u.mas,
            "g_mag": (g + rng.normal(0, g_error, number)) * u.mag,
            "g_mag_error": g_error * one * u.mag,
            "bp_rp": (colour + rng.normal(0, colour_error)) * u.mag,
            "bp_rp_error": colour_error * u.mag,
            "reddening": (dust + rng.normal(0, dust_error, number)) * u.mag,
            "reddening_error": dust_error * one * u.mag,
            "epoch": 2016.0 * one * u.yr,
        }
    )  # fmt: skip
    catalog = QTable(
        {
            "ra": ra * u.deg, "dec": dec * u.deg, "fwhm": 2.2 * one * u.pixel,
            "flux_total": (flux + rng.normal(0, error)) * RATE,
            "flux_total_error": error * RATE,
            "flux_aperture": np.stack([0.5 * flux, -flux], axis=1) * RATE,
            "flux_aperture_error": np.stack([error, error], axis=1) * RATE,
            "flags": np.zeros(number, np.int32),
            "flags_isophotal": np.zeros(number, np.int32),
            "sky": 0.28 * one * RATE,
            "mag_true": mag * u.mag,
        }
    )  # fmt: skip
    return Table(catalog, meta=META), Table(stars)


@pytest.fixture(scope="module")
def image() -> Image:
    scale = 0.074 / 3600.0
    return Image(
        np.zeros((40, 40), np.float32),
        unit=RATE,
        variance=np.full((40, 40), (42.0 + 25.0) / 150.0**2, np.float32),
        wcs=tangent_wcs((20.0, 20.0), 150.0, 2.0, np.array([[-scale, 0.0], [0.0, scale]])),
        meta=META,
    )


@pytest.fixture(scope="module")
def terms() -> Table:
    """From five standard fields of other stars than any test has."""
    fields = [sky(number=800, seed=seed) for seed in range(5)]
    stars = Table(vstack([listed.table for _, listed in fields]))
    return measure_colour_terms([catalog for catalog, _ in fields], stars, PASSBANDS)


@pytest.fixture
def measure(image: Image, terms: Table) -> Callable[..., tuple[Table, dict, list]]:
    def run(catalog: Table, stars: Table, colour_terms: Table | None = terms, **more):
        with collecting() as notes:
            done = calibrate_flux(image, catalog, stars, colour_terms, PASSBANDS, **more)
        return done, notes.metrics, notes.caveats

    return run


def changed(table: Table, **columns) -> Table:
    new = QTable(table.table, copy=True)
    for name, values in columns.items():
        new[name] = values
    return replace(table, table=new)


def test_zero_point_is_found_within_five_millimagnitudes_and_its_error(measure):
    pulls = []
    for seed in range(20, 32):
        _, metrics, caveats = measure(*sky(seed=seed, zero_point=25.93, reddening=0.12))
        off = metrics["zero_point"] - 25.93
        assert abs(off) < 0.005
        assert not caveats
        pulls.append(off / metrics["zero_point_error"])
    assert np.std(pulls) < 1.5
    assert metrics["zero_point_scatter"] == pytest.approx(0.02, abs=0.006)


def test_relation_is_that_of_the_stars(terms):
    row = terms.table[0]
    assert row["scatter"].value == pytest.approx(0.02, abs=0.006)
    assert row["coefficient"][4] == pytest.approx(0.5, abs=0.2)
    d = 1.8 - row["pivot"].value
    found = row["coefficient"][:4] @ d ** np.arange(4)
    assert found == pytest.approx(relation(1.8, 0.042), abs=0.012)
    assert row["bluest"].value == pytest.approx(0.2, abs=0.1)


def test_outliers_saturated_blended_and_extended_sources_do_not_move_it(measure):
    catalog, stars = sky(seed=40)
    rng = np.random.default_rng(4)
    flux = catalog.table["flux_total"].copy()
    flags, fwhm = np.zeros(300, np.int32), np.full(300, 2.2)
    flux[:15] *= 10.0 ** (0.4 * rng.uniform(0.2, 1.0, 15))  # variable stars
    flux[15:60] *= 0.5
    flags[15:45], flags[45:60] = 4, 2
    flux[60:90] *= 3.0
    fwhm[60:90] = 4.0
    spoilt = changed(catalog, flux_total=flux, flags=flags, fwhm=fwhm * u.pixel)
    done, metrics, _ = measure(spoilt, stars)
    assert metrics["zero_point"] == pytest.approx(26.0, abs=0.007)
    assert metrics["flux_stars"] == 300
    assert metrics["flux_sources"] == 255
    assert 180 < metrics["zero_point_stars"] < 210
    assert not np.asarray(done.table["zero_point_used"])[:90].any()


def test_every_flux_gets_its_magnitude_and_error(measure):
    done, metrics, _ = measure(*sky(seed=50))
    table = done.table
    flux = table["flux_aperture"].value
    expected = metrics["zero_point"] - 2.5 * np.log10(flux[:, 0])
    np.testing.assert_allclose(table["mag_aperture"].value[:, 0], expected)
    assert np.isnan(table["mag_aperture"].value[:, 1]).all()
    error = 1.0857 * table["flux_total_error"] / table["flux_total"]
    np.testing.assert_allclose(table["mag_total_error"].value, error, rtol=1e-4)
    off = table["mag_total"] - table["mag_true"]
    assert np.median(off.value) == pytest.approx(0.0, abs=0.005)


def test_depth_and_sky_are_those_of_the_noise(measure):
    _, metrics, _ = measure(*sky(seed=51))
    # at this flux, light within 4 pi s^2 of sky and read noise is 5 sigma
    flux = 10.0 ** (0.4 * (metrics["zero_point"] - metrics["limiting_magnitude"])) * 150.0
    area = 4.0 * np.pi * (2.2 / 2.3548) ** 2
    assert flux / np.sqrt(flux + area * 67.0) == pytest.approx(5.0)
    expected = metrics["zero_point"] - 2.5 * np.log10(0.28 / 0.074**2)
    assert metrics["sky_magnitude"] == pytest.approx(expected, abs=1e-4)


def test_offset_of_the_sources_is_reported(measure):
    catalog, stars = sky(seed=52)
    north = changed(catalog, dec=catalog.table["dec"] + 0.2 * u.arcsec)
    _, metrics, _ = measure(north, stars)
    assert metrics["flux_offset_declination_arcsec"] == pytest.approx(0.2, abs=1e-3)
    far = changed(catalog, dec=catalog.table["dec"] + 10.0 * u.arcsec)
    with pytest.raises(UnprocessableData, match=r"within 0\.5 arcsec"):
        measure(far, stars)


@pytest.mark.parametrize("number", [1, 2])
def test_fewer_than_three_stars_are_no_zero_point(measure, number):
    catalog, stars = sky(seed=53)
    few = Table(stars.table[:number])
    with pytest.raises(UnprocessableData, match=f"{number} of {number} matched stars"):
        measure(catalog, few)


def test_few_stars_have_an_honest_error_and_a_caveat(measure):
    off, errors = [], []
    for seed in range(60, 80):
        catalog, stars = sky(seed=seed)
        _, metrics, caveats = measure(catalog, Table(stars.table[:4]))
        assert "stars only" in caveats[0]
        off.append(metrics["zero_point"] - 26.0)
        errors.append(metrics["zero_point_error"])
    assert np.std(off) < 1.6 * np.mean(errors)
    assert np.mean(errors) > 0.008


def test_reasons_are_told(measure, terms):
    catalog, stars = sky(seed=54)
    saturated = changed(catalog, flags=np.full(300, 4, np.int32))
    with pytest.raises(UnprocessableData, match=r"0 of 300 matched stars.*300 saturated"):
        measure(saturated, stars)
    nothing = np.full(300, np.nan) * u.mag
    with pytest.raises(UnprocessableData, match="300 without a colour"):
        measure(catalog, changed(stars, bp_rp=nothing))
    red = changed(stars, bp_rp=np.full(300, 4.0) * u.mag)
    with pytest.raises(UnprocessableData, match="300 without a colour"):
        measure(catalog, red)
    bright = changed(stars, g_mag=stars.table["g_mag"] - 8.0 * u.mag)
    with pytest.raises(UnprocessableData, match="range of the colour terms"):
        measure(catalog, bright)
    lost = changed(catalog, ra=np.full(300, np.nan) * u.deg)
    with pytest.raises(UnprocessableData, match="no positions on the sky"):
        measure(lost, stars)
    dark = changed(catalog, flux_total=np.full(300, np.nan) * RATE)
    with pytest.raises(UnprocessableData, match="no total fluxes"):
        measure(dark, stars)
    other = replace(terms, meta=Meta(instrument="MSC", filter="u"))
    with pytest.raises(UnprocessableData, match="of filter u; expected g"):
        measure(catalog, stars, other)
    with pytest.raises(NotApplicable, match="no colour terms for filter g"):
        measure(catalog, stars, None)


def test_a_zero_point_far_from_the_nominal_one_has_a_caveat(measure):
    _, _, caveats = measure(*sky(seed=55, zero_point=24.5))
    assert "far from the nominal 26.000" in caveats[0]


def test_stars_without_reddening_count_as_typical(measure):
    catalog, stars = sky(seed=56)
    unknown = changed(stars, reddening=np.full(300, np.nan) * u.mag)
    _, metrics, _ = measure(catalog, unknown)
    assert metrics["zero_point"] == pytest.approx(26.0, abs=0.008)


def test_spectra_need_no_colour_terms(measure):
    catalog, stars = sky(seed=57)
    flat = (0.0 * u.ABmag).to(
        u.W / u.m**2 / u.nm, u.spectral_density(SPECTRUM_WAVELENGTH_NM * u.nm)
    )
    slope = np.random.default_rng(5).uniform(-2.0, 2.0, (300, 1))
    shape = (SPECTRUM_WAVELENGTH_NM / 480.0) ** slope * flat.value
    zero = synthetic_magnitudes(G_BAND, SPECTRUM_WAVELENGTH_NM, shape, shape)[0]
    true = catalog.table["mag_true"].value
    spectrum = shape * 10.0 ** (-0.4 * (true - zero))[:, None]
    unit = u.W / u.m**2 / u.nm
    seen = changed(stars, spectrum=spectrum * unit, spectrum_error=0.05 * spectrum * unit)
    _, metrics, _ = measure(catalog, seen, None)
    assert metrics["zero_point"] == pytest.approx(26.0, abs=0.003)
    assert metrics["zero_point_spectra"] == metrics["zero_point_stars"] > 250
    with pytest.raises(UnprocessableData, match="have shape"):
        measure(catalog, changed(seen, spectrum=spectrum[:, :10] * unit))
    ultraviolet = replace(catalog, meta=replace(META, filter="NUV"))
    with pytest.raises(UnprocessableData, match="0 of 300 matched stars"):
        measure(ultraviolet, seen, None)


def test_colour_terms_refuse_what_they_cannot_be_made_of():
    catalog, stars = sky(seed=58)
    other = replace(catalog, meta=replace(META, filter="r"))
    with pytest.raises(UnprocessableData, match="expected one filter"):
        measure_colour_terms([catalog, other], stars, PASSBANDS)
    with pytest.raises(UnprocessableData, match="no passband of filter r; there are g"):
        measure_colour_terms([other], stars, PASSBANDS)
    with pytest.raises(UnprocessableData, match="10 stars are fit for colour terms"):
        measure_colour_terms([catalog], Table(stars.table[:10]), PASSBANDS)


def test_fields_that_differ_as_a_whole_make_the_relation_less_certain():
    errors = []
    for shift in (0.0, 0.02):
        fields = [sky(seed=seed, zero_point=26.0 + shift * (seed % 2)) for seed in range(4)]
        stars = Table(vstack([listed.table for _, listed in fields]))
        terms = measure_colour_terms([catalog for catalog, _ in fields], stars, PASSBANDS)
        errors.append(checks.relation_error(terms))
    # the mean of four fields that scatter by 0.0115 mag
    assert errors[0] < 0.003
    assert errors[1] == pytest.approx(0.0058, abs=0.0015)


def test_a_catalogue_that_cannot_be_used_is_left_out_of_colour_terms():
    catalog, stars = sky(seed=59)
    lost = changed(catalog, ra=np.full(300, np.nan) * u.deg)
    with collecting() as notes:
        measure_colour_terms([catalog, lost], stars, PASSBANDS)
    assert "catalogue 2 of 2 is left out" in notes.caveats[0]


def test_checks_and_figure_show_the_calibration(measure):
    catalog, stars = sky(seed=61)
    done, metrics, _ = measure(catalog, stars)
    assert checks.zero_point(done) == pytest.approx(metrics["zero_point"])
    assert checks.zero_point_rms(done) == pytest.approx(metrics["zero_point_rms"])
    assert "stars used" in figures.zero_point(done).axes[0].get_title()
    assert figures.zero_point(catalog).axes[0].get_title() == "no zero point"
    with pytest.raises(NotApplicable):
        checks.zero_point(catalog)
    with pytest.raises(NotApplicable):
        checks.limiting_magnitude(done)


def test_relation_error_is_that_of_the_middle(terms):
    assert 0.0005 < checks.relation_error(terms) < 0.004
