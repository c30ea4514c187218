"""Synthetic magnitudes, and the spectra of GaiaXPy's tests."""

from __future__ import annotations

import ast
import csv
import gzip
import os
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.interpolate import interp1d

from csst_imaging.flux.passbands import (
    SPECTRUM_WAVELENGTH_NM,
    Passband,
    is_covered,
    synthetic_magnitudes,
)

WAVE = SPECTRUM_WAVELENGTH_NM
BAND = Passband(26.0, (400.0, 410.0, 545.0, 560.0), (0.0, 0.6, 0.63, 0.0))


def ab_flux(magnitude: float) -> np.ndarray:
    """f_lambda of a source of one AB magnitude at all frequencies, by astropy's units."""
    flux = (magnitude * u.ABmag).to(u.W / u.m**2 / u.nm, u.spectral_density(WAVE * u.nm))
    return flux.value


@pytest.mark.parametrize("band", [BAND, Passband(25.0, (600.0, 800.0), (0.5, 0.5))])
def test_flat_spectrum_has_its_ab_magnitude_in_every_filter(band):
    flux = np.stack([ab_flux(15.0), ab_flux(20.5)])
    magnitude, error = synthetic_magnitudes(band, WAVE, flux, 0.01 * flux)
    np.testing.assert_allclose(magnitude, [15.0, 20.5], atol=2e-4)
    assert (error < 0.01 * 1.0857 / 5).all()


def photons(band: Passband, flux: np.ndarray) -> float:
    """Photons counted, by adaptive quadrature."""
    spectrum, transmission = (
        interp1d(x, y) for x, y in ((WAVE, flux), (band.wavelength_nm, band.throughput))
    )
    low, high = band.wavelength_nm[0], band.wavelength_nm[-1]
    knots = [w for w in (*WAVE, *band.wavelength_nm) if low < w < high]
    return quad(lambda w: spectrum(w) * transmission(w) * w, low, high, points=knots, limit=1000)[0]


def test_steep_spectrum_agrees_with_quadrature():
    flux = 1e-17 * np.exp((WAVE - 500.0) / 60.0)
    expected = 18.0 - 2.5 * np.log10(photons(BAND, flux) / photons(BAND, ab_flux(18.0)))
    magnitude, _ = synthetic_magnitudes(BAND, WAVE, flux[None], flux[None])
    assert magnitude[0] == pytest.approx(expected, abs=3e-4)


def test_errors_are_the_scatter():
    rng = np.random.default_rng(1)
    flux = ab_flux(17.0)
    noisy = flux + rng.normal(0.0, 0.05, (2000, WAVE.size)) * flux
    magnitude, error = synthetic_magnitudes(
        BAND, WAVE, noisy, np.broadcast_to(0.05 * flux, noisy.shape)
    )
    assert np.std(magnitude) == pytest.approx(np.median(error), rel=0.05)


def test_filter_beyond_the_spectra_has_no_magnitude():
    ultraviolet = Passband(24.7, (250.0, 256.0, 318.0, 326.0), (0.0, 0.2, 0.2, 0.0))
    assert not is_covered(ultraviolet, WAVE)
    assert is_covered(BAND, WAVE)
    flux = ab_flux(15.0)[None]
    assert np.isnan(synthetic_magnitudes(ultraviolet, WAVE, flux, flux)).all()
    assert np.isnan(synthetic_magnitudes(BAND, WAVE, -flux, flux)).all()


@pytest.mark.parametrize(
    ("wave", "throughput"),
    [((400.0,), (0.5,)), ((400.0, 390.0), (0.5, 0.5)), ((400.0, 500.0), (0.0, 0.0))],
)
def test_passband_that_is_none_is_refused(wave, throughput):
    with pytest.raises(ValueError, match="passband"):
        Passband(25.0, wave, throughput)


@pytest.mark.data
@pytest.mark.skipif("CSST_TEST_DATA" not in os.environ, reason="needs CSST_TEST_DATA")
def test_real_spectra_agree_with_quadrature_and_with_gaias_photometry():
    """Proxima Centauri: G 8.985, BP - RP 3.80 (Gaia DR3); r between these (AB 10.2 to 11)."""
    folder = Path(os.environ["CSST_TEST_DATA"]) / "xp"
    with gzip.open(folder / "calibrator_solution_default_sampling.csv.gz", "rt") as stream:
        (sampling,) = csv.DictReader(stream)
    np.testing.assert_allclose(ast.literal_eval(sampling["pos"]), WAVE)
    with gzip.open(folder / "calibrator_solution_default.csv.gz", "rt") as stream:
        rows = list(csv.DictReader(stream))
    flux, error = (
        np.array([ast.literal_eval(row[name]) for row in rows]) for name in ("flux", "flux_error")
    )
    bands = {
        "g": Passband(
            26.26, (392.0, 401.0, 410.2, 546.9, 554.0, 561.0), (0.0, 0.5, 1, 1, 0.5, 0.0)
        ),
        "r": Passband(
            26.03, (538.0, 546.0, 554.2, 685.8, 694.0, 702.0), (0.0, 0.5, 1, 1, 0.5, 0.0)
        ),
        "i": Passband(
            25.86, (677.0, 687.0, 697.2, 834.8, 844.0, 853.0), (0.0, 0.5, 1, 1, 0.5, 0.0)
        ),
    }
    magnitudes = {}
    for name, band in bands.items():
        magnitudes[name], errors = synthetic_magnitudes(band, WAVE, flux, error)
        for row in range(len(rows)):
            expected = -2.5 * np.log10(photons(band, flux[row]) / photons(band, ab_flux(0.0)))
            assert magnitudes[name][row] == pytest.approx(expected, abs=5e-4)
        assert (errors < 0.01).all()
    assert rows[0]["source_id"] == "5853498713190525696"
    assert magnitudes["g"][0] == pytest.approx(11.8, abs=0.4)
    assert magnitudes["i"][0] == pytest.approx(8.5, abs=0.4)
