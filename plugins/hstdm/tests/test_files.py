"""Level 0 and Level 1 files, and references: what is written comes back."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable
from astropy.time import Time
from astropy.wcs import WCS

import csst_hstdm.plugin
from csst_hstdm.flags import FLAG_BITS
from csst_hstdm.moment_maps import MomentMaps
from csst_hstdm.spectral_map import SpectralMap
from csstcore.api import Meta, Spectra, Table, TimeTable
from csstcore.definitions.catalog import Definitions
from csstcore.definitions.read import read_products
from csstcore.definitions.sources import Sources
from csstcore.definitions.validate import validate_file
from csstcore.definitions.write import write_product
from csstcore.plugins.registry import Registry

DUMPS, CHANNELS = 4, 16
START = Time("2028-03-01T00:00:00", scale="utc")


@pytest.fixture(scope="module")
def definitions() -> Definitions:
    return Definitions(Registry.of({"hstdm": csst_hstdm.plugin}))


def rows() -> QTable:
    """Rows of Level 0 dumps."""
    table = QTable()
    table["time"] = START + (np.arange(DUMPS) + 0.5) * u.s
    table["exposure_time"] = np.ones(DUMPS) * u.s
    table["state"] = ["ON", "OFF", "HOT", "COLD"]
    for name in ("scan", "subscan", "flag"):
        table[name] = np.arange(DUMPS)
    table["ra"], table["dec"] = np.full(DUMPS, 83.8) * u.deg, np.full(DUMPS, -5.4) * u.deg
    for name in ("x", "y", "z"):
        table[name] = np.linspace(-6771.0, 6771.0, DUMPS) * u.km
        table[f"v{name}"] = np.linspace(-7.7, 7.7, DUMPS) * u.km / u.s
    table["t_hot"], table["t_cold"] = np.full(DUMPS, 300.0) * u.K, np.full(DUMPS, 20.0) * u.K
    table["lo_frequency"] = np.full(DUMPS, 487.56e9) * u.Hz
    table["sideband"] = ["USB"] * DUMPS
    table["rest_frequency"] = np.full(DUMPS, 492.1607e9) * u.Hz
    return table


def spectra(unit: u.UnitBase = u.count, **changes: Any) -> Spectra:
    rng = np.random.default_rng(1)
    meta = Meta(
        instrument="HSTDM",
        obs_id="50000000001",
        project_id="P1",
        file_type="TARG",
        detector=1,
        time=START,
        end_time=START + DUMPS * u.s,
        exposure_time=DUMPS * u.s,
    )
    return Spectra(
        flux=rng.normal(1e6, 3e3, (DUMPS, CHANNELS)).astype(np.float32),
        axis=(491.56e9 + 73242.1875 * np.arange(CHANNELS)) * u.Hz,
        unit=unit,
        rows=changes.pop("rows", rows()),
        meta=meta,
        flag_bits=dict(FLAG_BITS),
        **changes,
    )


def written_and_read(definitions: Definitions, name: str, product: Any, folder: Path) -> Any:
    definition = definitions.get(name)
    path = write_product(definition, product, Sources(), folder)
    assert validate_file(definition, path) == []
    (back,) = read_products(definition, path).products
    return back


def test_level_0_comes_back(definitions: Definitions, tmp_path: Path) -> None:
    back = written_and_read(definitions, "hstdm.l0", spectra(), tmp_path)
    expected = spectra()
    assert back.flux.tobytes() == expected.flux.tobytes()
    assert (back.axis == expected.axis).all()
    assert back.unit == u.count
    assert np.abs((back.rows["time"] - expected.rows["time"]).sec).max() < 1e-5
    for name in set(expected.rows.colnames) - {"time"}:
        assert (back.rows[name] == expected.rows[name]).all(), name
    assert back.flag_bits == FLAG_BITS


def test_level_1_keeps_errors_and_flags(definitions: Definitions, tmp_path: Path) -> None:
    table = rows()
    table.remove_columns(["t_hot", "t_cold"])
    table["t_sys"] = np.full(DUMPS, 400.0) * u.K
    table["velocity_shift"] = np.full(DUMPS, -7.3) * u.km / u.s
    table["frame"] = ["LSRK"] * DUMPS
    flags = np.arange(DUMPS * CHANNELS, dtype=np.uint16).reshape(DUMPS, CHANNELS)
    variance = np.full((DUMPS, CHANNELS), np.float32(2.25))
    product = spectra(u.K, rows=table, flags=flags, variance=variance)
    back = written_and_read(definitions, "hstdm.l1", product, tmp_path)
    assert (back.flags == flags).all()
    assert back.flags.dtype == np.uint16
    assert back.variance == pytest.approx(variance)
    assert list(back.rows["frame"]) == ["LSRK"] * DUMPS
    assert back.rows["t_sys"].unit == u.K


def test_an_average_spectrum_comes_back(definitions: Definitions, tmp_path: Path) -> None:
    table = QTable({"exposure_time": [60.0] * u.s, "dumps": [60], "frame": ["LSRK"]})
    table["rest_frequency"] = [492.1607e9] * u.Hz
    flux = np.linspace(0, 1, CHANNELS, dtype=np.float32)[None, :]
    spectrum = Spectra(
        flux,
        spectra().axis,
        u.K,
        np.full_like(flux, 0.04),
        rows=table,
        meta=Meta(instrument="HSTDM", project_id="P1", time=START),
        flag_bits=dict(FLAG_BITS),
    )
    back = written_and_read(definitions, "hstdm.l2_spectrum", spectrum, tmp_path)
    assert back.flux.tobytes() == flux.tobytes()
    assert back.variance == pytest.approx(spectrum.variance)


def test_a_map_keeps_its_beam_weight_and_world_coordinates(
    definitions: Definitions, tmp_path: Path
) -> None:
    wcs = WCS(naxis=3)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN", "FREQ"]
    wcs.wcs.crval, wcs.wcs.crpix = [83.8, -5.4, 492.16e9], [3, 2, 1]
    wcs.wcs.cdelt, wcs.wcs.cunit = [-0.01, 0.01, 73242.1875], ["deg", "deg", "Hz"]
    wcs.wcs.restfrq, wcs.wcs.specsys = 492.1607e9, "LSRK"
    rng = np.random.default_rng(2)
    cube = SpectralMap(
        rng.normal(size=(6, 4, 5)).astype(np.float32),
        u.K,
        variance=np.full((6, 4, 5), np.float32(0.25)),
        flags=rng.integers(0, 3, (6, 4, 5)).astype(np.uint16),
        wcs=wcs,
        meta=Meta(instrument="HSTDM", project_id="P1", time=START),
        weight=np.full((4, 5), np.float32(7.0)) / u.K**2,
        beam_deg=0.0208,
        telescope_beam_deg=0.0197,
    )
    back = written_and_read(definitions, "hstdm.l2_cube", cube, tmp_path)
    assert back.data.tobytes() == cube.data.tobytes()
    assert (back.flags == cube.flags).all()
    assert back.weight.to_value("1/K2") == pytest.approx(7.0)
    assert back.beam_deg == 0.0208
    assert back.frequency_hz == pytest.approx(cube.frequency_hz, abs=1.0)
    assert back.rest_frequency_hz == 492.1607e9


def test_moments_come_back_with_their_line(definitions: Definitions, tmp_path: Path) -> None:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.crpix = ["RA---TAN", "DEC--TAN"], [83.8, -5.4], [3, 2]
    wcs.wcs.cdelt = [-0.01, 0.01]
    plane = np.arange(20, dtype=np.float32).reshape(4, 5)
    velocity, area = plane * u.km / u.s, plane * u.K * u.km / u.s
    moments = MomentMaps(
        *(area, area, velocity, velocity, velocity, velocity),
        flags=np.full((4, 5), 4, np.uint16),
        wcs=wcs,
        line="[C I] 1-0",
        rest_frequency_hz=492.1607e9,
        lowest_km_s=-3.5,
        highest_km_s=8.0,
        meta=Meta(instrument="HSTDM", project_id="P1", time=START),
    )
    back = written_and_read(definitions, "hstdm.l2_moments", moments, tmp_path)
    assert (back.moment_2_error == velocity).all()
    assert back.moment_0.unit == u.K * u.km / u.s
    assert (back.line, back.rest_frequency_hz, back.lowest_km_s) == ("[C I] 1-0", 492.1607e9, -3.5)


def test_tables_of_channels_come_back(definitions: Definitions, tmp_path: Path) -> None:
    gain = QTable({"time": START + np.arange(3) * u.min})
    for name, unit in {
        "lo_frequency": u.Hz,
        "first_frequency": u.Hz,
        "t_hot": u.K,
        "t_cold": u.K,
    }.items():
        gain[name] = np.arange(3.0) * unit
    gain["sideband"] = ["USB"] * 3
    for name in ("gamma", "gamma_error", "t_rec", "t_rec_error"):
        unit = u.K if name.startswith("t") else u.count / u.K / u.s
        gain[name] = np.arange(24.0).reshape(3, 8) * unit
    gain["flags"] = np.arange(24, dtype=np.uint16).reshape(3, 8)
    meta = Meta(instrument="HSTDM", project_id="P1", time=START)
    back = written_and_read(definitions, "hstdm.load_gain", Table(gain, meta), tmp_path)
    assert (back.table["gamma"] == gain["gamma"]).all()
    assert (back.table["flags"] == gain["flags"]).all()


@pytest.mark.parametrize(("project", "allowed"), [("T_hot_10.2-a", True), ("T+10", False)])
def test_projects_that_cannot_name_the_products_are_refused_where_they_are_read(
    definitions: Definitions, tmp_path: Path, project: str, allowed: bool
) -> None:
    path = write_product(definitions.get("hstdm.l0"), spectra(), Sources(), tmp_path)
    with fits.open(path, mode="update") as units:
        units[0].header["PROJECT"] = project
        for unit in units:
            unit.add_checksum()
    problems = validate_file(definitions.get("hstdm.l0"), path)
    assert any("PROJECT" in problem and project in problem for problem in problems) != allowed
    if not allowed:
        return
    for name in ("load_gain", "system_temperature", "l2_spectrum", "l2_cube", "l2_lines"):
        template = definitions.get(f"hstdm.{name}").file
        assert re.fullmatch(template.fields["project_id"].pattern, project), name


def test_orbit_comes_back(definitions: Definitions, tmp_path: Path) -> None:
    names = ["time", "x", "y", "z", "vx", "vy", "vz"]
    orbit = TimeTable(rows()[names], Meta(telescope="CSST", time=START))
    back = written_and_read(definitions, "hstdm.orbit", orbit, tmp_path)
    assert isinstance(back, TimeTable)
    assert (back.table["vx"] == orbit.table["vx"]).all()
