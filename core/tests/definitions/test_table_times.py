"""Columns of a table that are times."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable
from astropy.time import Time, TimeDelta

from csstcore.api import Table, TimeTable
from csstcore.definitions.read import read_products
from csstcore.definitions.sources import Sources
from csstcore.definitions.write import write_product
from csstcore.errors import ConfigurationError, FileError

TIMES = """
[definition]
name = "times"
summary = "A table in the order of time"
product = "TimeTable"

[file]
name = "times.fits"

[[hdu]]
name = "PRIMARY"

[[hdu]]
name = "ROWS"
plane = "table"
[[hdu.column]]
name = "WHEN"
from = "time"
time = "{format}"
dtype = "{dtype}"
required = true
"""


@pytest.mark.parametrize(
    ("format", "dtype", "seconds"), [("mjd", "float64", 1e-6), ("isot", "str", 1e-3)]
)
def test_times_come_back_as_times_in_utc(
    define, tmp_path: Path, format: str, dtype: str, seconds: float
) -> None:
    definition = define(TIMES.format(format=format, dtype=dtype))
    # a product in TDB, after the last announced leap second
    times = Time("2028-03-01T12:00:00", scale="utc") + TimeDelta(np.arange(4) * 0.7, format="sec")
    path = write_product(definition, TimeTable(QTable({"time": times.tdb})), Sources(), tmp_path)
    (back,) = read_products(definition, path).products
    found = back.table["time"]
    assert isinstance(found, Time)
    assert found.scale == "utc"
    assert np.abs((found - times).sec).max() <= seconds


def test_unknown_times_are_masked_and_stay_unknown(define, tmp_path: Path) -> None:
    plain = TIMES.format(format="mjd", dtype="float64").replace("TimeTable", "Table")
    definition = define(plain)
    times = Time([61000.25, 61000.5, 61000.75], format="mjd", scale="utc")
    times[1] = np.ma.masked
    path = write_product(definition, Table(QTable({"time": times})), Sources(), tmp_path)
    assert list(np.isnan(fits.getdata(path, "ROWS")["WHEN"])) == [False, True, False]
    (back,) = read_products(definition, path).products
    assert list(back.table["time"].mask) == [False, True, False]
    assert back.table["time"][2].mjd == 61000.75
    with pytest.raises(ValueError, match="finite"):
        TimeTable(back.table)


def test_text_that_is_no_time_is_named(define, tmp_path: Path) -> None:
    definition = define(TIMES.format(format="isot", dtype="str"))
    path = tmp_path / "times.fits"
    rows = fits.BinTableHDU.from_columns(
        [fits.Column("WHEN", "10A", array=np.array(["yesterday"]))], name="ROWS"
    )
    fits.HDUList([fits.PrimaryHDU(), rows]).writeto(path)
    with pytest.raises(FileError, match=r"column WHEN: .*yesterday"):
        read_products(definition, path)


def test_a_time_needs_a_type_that_holds_it(define) -> None:
    with pytest.raises(ConfigurationError, match="'mjd', which 'int32' cannot hold"):
        define(TIMES.format(format="mjd", dtype="int32"))


def test_a_column_declared_twice_is_refused(define) -> None:
    column = '[[hdu.column]]\nname = "when"\ndtype = "float64"\n'
    with pytest.raises(ConfigurationError, match="columns are declared twice: WHEN"):
        define(TIMES.format(format="mjd", dtype="float64") + column)
