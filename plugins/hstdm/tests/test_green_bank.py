"""Real dumps of the Green Bank Telescope against the observatory's own reduction (GBTIDL)."""

from __future__ import annotations

import os
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.constants import c
from astropy.coordinates import SkyCoord
from astropy.io import fits

from csst_hstdm.doppler import doppler_factor, velocity_to_source
from csst_hstdm.single_dish import read
from csst_hstdm.stages.position_switch import calibrate_noise_diode
from csstcore.api import Spectra

DATA = os.environ.get("CSST_TEST_DATA", "")
pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(not DATA, reason="CSST_TEST_DATA names no folder of real data"),
]
W43 = "gbt_gdigs_w43/gdigs-testdata.fits.gz"
W43_ANSWER = "gbt_gdigs_w43/gdigs-testdata-getps-outputs.fits.gz"
SURVEY, SURVEY_ANSWER = "gbt_hi_survey/raw.fits.gz", "gbt_hi_survey/cal.fits.gz"


def products(name: str) -> list[Spectra]:
    return read(Path(DATA) / "radio" / name)[1]


def assert_alike(found: Spectra, answer: fits.FITS_rec, keys: dict[str, str]) -> None:
    """Compare spectra with those of the observatory: 1e-3 K, T_sys 0.1 %."""
    for row in answer:
        same = [np.asarray(found.rows[ours]) == row[theirs] for ours, theirs in keys.items()]
        (index,) = np.flatnonzero(np.all(same, axis=0))
        assert np.abs(found.flux[index] - row["DATA"]).max() < 1e-3
        assert found.rows["t_sys"][index].to_value("K") == pytest.approx(row["TSYS"], rel=1e-3)
        time_s = found.rows["exposure_time"][index].to_value("s")
        assert time_s == pytest.approx(row["EXPOSURE"], rel=1e-6)
        channel = np.arange(1, len(row["DATA"]) + 1)
        axis = row["CRVAL1"] + (channel - row["CRPIX1"]) * row["CDELT1"]
        assert found.axis[index].to_value("Hz") == pytest.approx(axis, rel=1e-12)


def test_w43_is_as_the_observatory_calibrates_it() -> None:
    (dumps,) = products(W43)
    answer = fits.getdata(Path(DATA) / "radio" / W43_ANSWER, 1)
    assert len(answer) == 6
    keys = {"window": "IFNUM", "polarisation": "PLNUM", "scan": "SCAN"}
    assert_alike(calibrate_noise_diode(dumps), answer, keys)


def test_the_hi_survey_is_as_the_observatory_calibrates_it() -> None:
    first, second = products(SURVEY)
    with fits.open(Path(DATA) / "radio" / SURVEY_ANSWER) as units:
        calibrator, galaxies = units[1].data, units[2].data
    assert_alike(calibrate_noise_diode(first), calibrator, {"scan": "SCAN"})
    # U10629 was observed without diode, and calibrated with 28 K as well as with the default 1 K
    for t_sys, rows in ((28.0, galaxies[:2]), (1.0, galaxies[2:])):
        found = calibrate_noise_diode(second, t_sys_kelvin=t_sys)
        assert_alike(found, rows, {"scan": "SCAN"})


@pytest.mark.parametrize("name", [W43, SURVEY])
def test_velocities_in_the_local_standard_of_rest_agree_with_the_file(name: str) -> None:
    compared = 0
    for dumps in products(name):
        rows = dumps.rows
        lsr = np.char.endswith(np.asarray(rows["velocity_definition"]), "LSR")
        if not lsr.any():
            continue
        motion = np.stack([rows[f"v{axis}"].to_value("km/s") for axis in "xyz"], axis=1)
        direction = SkyCoord(rows["ra"], rows["dec"]).cartesian.xyz.value.T
        towards = velocity_to_source(rows["time"], motion, direction)
        assert towards[lsr] == pytest.approx(-rows["frame_velocity"][lsr].value, abs=0.05)
        compared += int(lsr.sum())
    assert compared >= 8


def test_the_recombination_line_of_w43_lies_where_the_file_says() -> None:
    (dumps,) = products(W43)
    spectra = calibrate_noise_diode(dumps)
    motion = np.stack([spectra.rows[f"v{axis}"].to_value("km/s") for axis in "xyz"], axis=1)
    direction = SkyCoord(spectra.rows["ra"], spectra.rows["dec"]).cartesian.xyz.value.T
    towards = velocity_to_source(spectra.rows["time"], motion, direction)
    ours = velocities(spectra, towards)
    theirs = velocities(spectra, -spectra.rows["frame_velocity"].to_value("km/s"))
    assert ours == pytest.approx(theirs, abs=0.05)
    # VELOCITY, that of the source, is 92.02 km/s
    assert ours == pytest.approx(92.02, abs=10.0)


def velocities(spectra: Spectra, towards_km_s: np.ndarray) -> np.ndarray:
    """Radio velocity of the middle of each line, above half of its peak."""
    found = []
    for index, flux in enumerate(spectra.flux):
        rest = spectra.rows["rest_frequency"][index]
        smooth = np.convolve(flux - np.median(flux), np.ones(65) / 65, "same")
        line = smooth > smooth[200:-200].max() / 2
        line[:200] = line[-200:] = False
        frequency = spectra.axis[index] * doppler_factor(towards_km_s[index])
        middle = np.average(frequency[line].to_value("Hz"), weights=smooth[line]) * u.Hz
        found.append(((1 - middle / rest) * c).to_value("km/s"))
    return np.array(found)
