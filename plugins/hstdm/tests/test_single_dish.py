"""Single-dish FITS: reading made-up files, and the noise-diode calibration of their dumps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits

from csst_hstdm.single_dish import read
from csst_hstdm.stages.position_switch import calibrate_noise_diode
from csstcore.api import FileError, Spectra, UnprocessableData

CHANNELS = 1000
LINE_K, T_OFF_K, T_CAL_K = 2.0, 25.0, 1.5
TEXT = {
    "TELESCOP": "NRAO_GBT",
    "OBJECT": "W43",
    "PROJID": "P1",
    "BACKEND": "VEGAS",
    "FRONTEND": "Rcvr4_6",
    "CTYPE2": "RA",
    "CTYPE3": "DEC",
    "RADESYS": "FK5",
    "VELDEF": "RADI-LSR",
    "SIDEBAND": "L",
}
NUMBERS = {
    "EXPOSURE": 30.0,
    "DURATION": 30.0,
    "CRVAL1": 5.1e9,
    "CRPIX1": 501.0,
    "CDELT1": -2861.0,
    "CRVAL2": 281.9,
    "CRVAL3": -1.9,
    "RESTFREQ": 5.1e9,
    "EQUINOX": 2000.0,
    "TCAL": T_CAL_K,
    "TSYS": 1.0,
    "VFRAME": 7354.0,
    "SITELONG": -79.83983,
    "SITELAT": 38.43312,
    "SITEELEV": 824.595,
}


def counts(state: str, diode: str, channels: int) -> np.ndarray:
    """Counts of a receiver with a rippled band and a line in ON."""
    channel = np.arange(channels)
    line = LINE_K * np.exp(-(((channel - channels / 2) / 20) ** 2))
    kelvin = T_OFF_K + line * (state == "ON") + T_CAL_K * (diode == "T")
    return kelvin * 40.0 * (1 + 0.2 * np.sin(channel / 90))


def table(channels: int = CHANNELS, **changes: Any) -> fits.BinTableHDU:
    """A table with OFF and ON, each with and without diode; `states` and `diodes` choose."""
    states = changes.pop("states", ["OFF", "ON"])
    diodes = changes.pop("diodes", ["F", "T"])
    phases = [(state, diode) for state in states for diode in diodes]
    columns = {name: [value] * len(phases) for name, value in (TEXT | NUMBERS).items()}
    columns["DATE-OBS"] = [f"2017-09-04T03:{38 + (state == 'ON'):02d}:00.00" for state, _ in phases]
    columns["OBSMODE"] = [f"OffOn:PSWITCH{state}:TPWCAL" for state, _ in phases]
    columns["CAL"] = [diode for _, diode in phases]
    sequence = [1 + (state == "ON") for state, _ in phases]
    columns["PROCSEQN"], columns["SCAN"] = sequence, [5 + each for each in sequence]
    for name in ("INT", "IFNUM", "PLNUM", "FDNUM"):
        columns[name] = [0] * len(phases)
    columns |= {name: [value] * len(phases) for name, value in changes.items()}
    formats = {str: "32A", float: "D", int: "J"}
    built = [
        fits.Column(name, formats[type(values[0])], array=np.array(values))
        for name, values in columns.items()
        if values[0] is not None
    ]
    data = np.array([counts(*phase, channels) for phase in phases])
    built.append(fits.Column("DATA", f"{channels}E", array=data))
    return fits.BinTableHDU.from_columns(built, name="SINGLE DISH")


def written(folder: Path, *tables: fits.BinTableHDU) -> Path:
    path = folder / "gbt.fits"
    fits.HDUList([fits.PrimaryHDU(), *tables]).writeto(path)
    return path


def dumps(folder: Path, **changes: Any) -> Spectra:
    (product,) = read(written(folder, table(**changes)))[1]
    return product


def test_every_table_is_a_product_with_the_columns_of_dumps(tmp_path: Path) -> None:
    header, products = read(written(tmp_path, table(), table(channels=64)))
    assert header["PROJID"] == "P1"
    assert [each.flux.shape for each in products] == [(4, CHANNELS), (4, 64)]
    assert [each.meta.frame for each in products] == [0, 1]
    first = products[0]
    rows = first.rows
    assert list(rows["state"]) == ["OFF", "OFF", "ON", "ON"]
    assert rows["time"][0].isot == "2017-09-04T03:38:15.000"
    assert first.meta.time.isot == "2017-09-04T03:38:00.000"
    # reference channel 501 is index 500; the band is inverted
    assert first.axis[0, 500] == 5.1e9 * u.Hz
    assert first.axis[0, 501] == (5.1e9 - 2861.0) * u.Hz
    assert rows["ra"].to_value("deg") == pytest.approx(281.9, abs=1e-5)
    # on the ground: distance from the centre, and the rotation of the Earth
    here = np.linalg.norm([rows[name].to_value("km") for name in "xyz"], axis=0)
    assert here == pytest.approx(6370.7, abs=1.0)
    motion = np.linalg.norm([rows[f"v{name}"].to_value("km/s") for name in "xyz"], axis=0)
    assert motion == pytest.approx(2 * np.pi / 86164 * 6370.7 * np.cos(np.radians(38.25)), rel=2e-3)


def test_a_position_that_is_not_equatorial_is_flagged(tmp_path: Path) -> None:
    product = dumps(tmp_path, CTYPE2="AZ", CTYPE3="EL")
    assert np.isnan(product.rows["ra"]).all()
    assert (product.rows["flag"] == product.flag_bits["pointing"]).all()


@pytest.mark.parametrize("column", ["TCAL", "CRVAL1", "CAL"])
def test_a_missing_column_is_named(tmp_path: Path, column: str) -> None:
    with pytest.raises(FileError, match=f"column {column} is missing"):
        read(written(tmp_path, table(**{column: None})))


def test_a_file_without_the_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="has no table SINGLE DISH"):
        read(written(tmp_path))
    path = tmp_path / "text.fits"
    path.write_text("no FITS at all")
    with pytest.raises(FileError, match="cannot be read"):
        read(path)


def test_the_line_and_the_system_temperature_come_back(tmp_path: Path) -> None:
    spectrum = calibrate_noise_diode(dumps(tmp_path))
    assert len(spectrum) == 1
    # the noise diode fires half of the time
    t_sys = T_OFF_K + T_CAL_K / 2
    assert spectrum.rows["t_sys"][0].to_value("K") == pytest.approx(t_sys, rel=1e-5)
    assert spectrum.flux.max() == pytest.approx(LINE_K, rel=1e-5)
    assert spectrum.flux[0, :300] == pytest.approx(0, abs=1e-4)
    assert spectrum.rows["exposure_time"][0] == 30 * u.s
    # radiometer equation: 60 s on, 60 s off, channels of 2861 Hz
    assert spectrum.variance[0, 0] == pytest.approx(t_sys**2 * (2 / 60) / 2861.0, rel=1e-5)


def test_dumps_without_diode_need_a_system_temperature(tmp_path: Path) -> None:
    product = dumps(tmp_path, diodes=["F"])
    with pytest.raises(UnprocessableData, match=r"scan 7.* has no system temperature"):
        calibrate_noise_diode(product)
    spectrum = calibrate_noise_diode(product, t_sys_kelvin=T_OFF_K)
    assert spectrum.flux.max() == pytest.approx(LINE_K, rel=1e-5)


def test_an_on_without_off_is_not_calibrated(tmp_path: Path) -> None:
    with pytest.raises(UnprocessableData, match=r"scan 7.* has no OFF"):
        calibrate_noise_diode(dumps(tmp_path, states=["ON"]))


def test_bad_channels_stay_bad_and_spoil_no_other(tmp_path: Path) -> None:
    product = dumps(tmp_path)
    product.flux[1, 100] = np.nan
    product.flux[:2, 200] = 0.0
    spectrum = calibrate_noise_diode(product)
    bad = ~np.isfinite(spectrum.flux[0])
    assert np.flatnonzero(bad).tolist() == [100, 200]
    assert spectrum.rows["t_sys"][0].to_value("K") == pytest.approx(25.75, rel=1e-3)


@pytest.mark.parametrize("power", [np.nan, 0.0])
def test_a_dead_diode_is_refused(tmp_path: Path, power: float) -> None:
    product = dumps(tmp_path)
    product.flux[np.asarray(product.rows["diode"])] *= np.float32(power)
    with pytest.raises(UnprocessableData, match="no system temperature"):
        calibrate_noise_diode(product)
