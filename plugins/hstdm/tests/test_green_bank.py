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
from astropy.table import QTable

from csst_hstdm.doppler import doppler_factor, velocity_to_source
from csst_hstdm.line_list import Line, LineList
from csst_hstdm.single_dish import read
from csst_hstdm.stages.average_spectra import average_spectra
from csst_hstdm.stages.find_lines import find_lines
from csst_hstdm.stages.lsrk import shift_to_lsrk
from csst_hstdm.stages.position_switch import calibrate_noise_diode
from csst_hstdm.stages.subtract_baseline import subtract_baseline
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


def assert_alike(found: Spectra, answer: fits.FITS_rec, keys: dict[str, str]) -> int:
    """Compare spectra with those of the observatory, 1e-3 K, T_sys 0.1 %; return how many."""
    compared = 0
    for row in answer:
        same = [np.asarray(found.rows[ours]) == row[theirs] for ours, theirs in keys.items()]
        if not np.all(same, axis=0).any():
            continue
        (index,) = np.flatnonzero(np.all(same, axis=0))
        compared += 1
        assert np.abs(found.flux[index] - row["DATA"]).max() < 1e-3
        assert found.rows["t_sys"][index].to_value("K") == pytest.approx(row["TSYS"], rel=1e-3)
        time_s = found.rows["exposure_time"][index].to_value("s")
        assert time_s == pytest.approx(row["EXPOSURE"], rel=1e-6)
        channel = np.arange(1, len(row["DATA"]) + 1)
        axis = row["CRVAL1"] + (channel - row["CRPIX1"]) * row["CDELT1"]
        assert found.axis[index].to_value("Hz") == pytest.approx(axis, rel=1e-12)
    return compared


def test_w43_is_as_the_observatory_calibrates_it() -> None:
    answer = fits.getdata(Path(DATA) / "radio" / W43_ANSWER, 1)
    keys = {"window": "IFNUM", "polarisation": "PLNUM", "scan": "SCAN"}
    windows = [calibrate_noise_diode(dumps) for dumps in products(W43)]
    assert sum(map(len, windows)) == len(answer) == 6
    assert sum(assert_alike(found, answer, keys) for found in windows) == len(answer)


def test_the_hi_survey_is_as_the_observatory_calibrates_it() -> None:
    sources = {dumps.meta.object: dumps for dumps in products(SURVEY)}
    with fits.open(Path(DATA) / "radio" / SURVEY_ANSWER) as units:
        calibrator, galaxies = units[1].data, units[2].data
    found = calibrate_noise_diode(sources["3C286"])
    assert assert_alike(found, calibrator, {"scan": "SCAN"}) == len(calibrator)
    # U10629 was observed without diode, and calibrated with 28 K as well as with the default 1 K
    for t_sys, rows in ((28.0, galaxies[:2]), (1.0, galaxies[2:])):
        found = [
            calibrate_noise_diode(sources[name], t_sys_kelvin=t_sys) for name in ("U8091", "U10629")
        ]
        assert sum(assert_alike(each, rows, {"scan": "SCAN"}) for each in found) == len(rows)


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


def level_2(spectra: Spectra) -> tuple[Spectra, QTable]:
    """The average at the local standard of rest, and its lines."""
    dumps = subtract_baseline(shift_to_lsrk(spectra))
    average = average_spectra([dumps])
    rest_hz = float(spectra.rows["rest_frequency"][0].to_value("Hz"))
    lines = LineList("a test", 500.0, [Line("the line", rest_hz)])
    return average, find_lines(average, lines).table


def test_w43_goes_through_level_2() -> None:
    """Three recombination lines: as fast as the file's frame has them, and as W43 is."""
    for dumps in products(W43):
        spectra = calibrate_noise_diode(dumps)
        _, found = level_2(spectra)
        # the line is the brightest; VELOCITY, that of the source, is 92.02 km/s
        line = found[np.argmax(found["peak"])]
        assert line["name"] == "the line"
        assert line["velocity"].value == pytest.approx(92.02, abs=1.0)
        assert line["fwhm"].value == pytest.approx(33.0, abs=1.0)
        theirs = velocities(spectra, -spectra.rows["frame_velocity"].to_value("km/s"))
        ours = velocities(spectra, shift_to_lsrk(spectra).rows["velocity_shift"].value)
        assert ours == pytest.approx(theirs, abs=0.05)
        assert line["velocity"].value == pytest.approx(np.mean(theirs), abs=2.0)


def test_a_continuum_source_with_several_axes_goes_through_level_2() -> None:
    """3C 286: two ONs with axes of their own, brought onto one."""
    dumps = next(each for each in products(SURVEY) if each.meta.object == "3C286")
    spectra = calibrate_noise_diode(dumps)
    assert spectra.axis[0, 0] != spectra.axis[1, 0]
    shifted = shift_to_lsrk(spectra)
    assert shifted.axis.ndim == 1
    frame = -spectra.rows["frame_velocity"].to_value("km/s")
    assert shifted.rows["velocity_shift"].value == pytest.approx(frame, abs=0.05)
    average, _ = level_2(calibrate_noise_diode(dumps))
    inner = slice(len(average.axis) // 5, -len(average.axis) // 5)
    assert np.isfinite(average.flux[0, inner]).all()
    assert abs(np.median(average.flux[0, inner])) < 0.02


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
