"""Tables: columns by declaration, units, fills, repeats and synonyms."""

from __future__ import annotations

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import MaskedColumn, QTable
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from csstcore.api import Meta, Table
from csstcore.definitions.read import read_products
from csstcore.definitions.sources import Sources
from csstcore.definitions.validate import validate_file
from csstcore.definitions.write import write_product
from csstcore.errors import FileError

CATALOG = """
[definition]
name = "catalog"
summary = ""
product = "Table"
[file]
name = "a.fits"
[meta]
obs_id = "OBSID"
[[hdu]]
name = "PRIMARY"
[hdu.keywords]
OBSID = { type = "str", from = "meta.obs_id" }
[[hdu]]
name = "CAT"
plane = "table"
[hdu.keywords]
VERSION = { type = "int", value = 3 }
[[hdu.column]]
name = "OBSID"
from = "meta.obs_id"
dtype = "U11"
required = true
[[hdu.column]]
name = "ID"
from = "row.number"
dtype = "int32"
required = true
[[hdu.column]]
name = "X"
from = "x"
dtype = "float32"
unit = "pixel"
required = true
synonyms = ["XPOS"]
comment = "column"
[[hdu.column]]
name = "RA"
from = "ra"
dtype = "float64"
unit = "deg"
required = true
fill = -1.0
[[hdu.column]]
name = "Flux_{n}"
from = "flux"
dtype = "float64"
unit = "electron / s"
repeat = 3
required = true
fill = -1.0
[[hdu.column]]
name = "R50"
from = "radius[1]"
dtype = "float32"
[[hdu.column]]
name = "NAME"
from = "name"
dtype = "str"
[[hdu.column]]
name = "Type"
dtype = "int16"
"""


def sources(**changes) -> QTable:
    columns = {
        "x": [1.5, 2.5] * u.pixel,
        "ra": [3600.0, 7200.0] * u.arcsec,
        "flux": np.arange(6.0).reshape(2, 3) * u.electron / u.s,
        "radius": np.arange(4.0).reshape(2, 2),
        "name": np.array(["a", "bcd"]),
        "internal": np.array([1, 2]),
    }
    return QTable({name: v for name, v in {**columns, **changes}.items() if v is not None})


@pytest.fixture
def catalog(define):
    return define(CATALOG)


@pytest.fixture
def write(catalog, tmp_path):
    def make(**changes):
        product = Table(sources(**changes), meta=Meta(obs_id="10100000001"))
        return write_product(catalog, product, Sources(), tmp_path)

    return make


def test_a_table_comes_back(catalog, write) -> None:
    path = write()
    assert validate_file(catalog, path) == []
    table = read_products(catalog, path).products[0].table
    assert table["x"].dtype == np.float32
    assert table["x"].unit == u.pixel
    assert u.allclose(table["ra"], [1, 2] * u.deg)
    assert np.array_equal(table["flux"].value, np.arange(6.0).reshape(2, 3))
    assert list(table["OBSID"]) == ["10100000001"] * 2
    assert list(table["ID"]) == [1, 2]
    assert list(table["R50"]) == [1.0, 3.0]
    assert list(table["name"]) == ["a", "bcd"]
    assert "internal" not in table.colnames
    assert all(np.asarray(table[name]).dtype.isnative for name in table.colnames)


def test_a_table_that_was_read_is_written_alike(catalog, write, tmp_path) -> None:
    path = write()
    (again,) = read_products(catalog, path).products
    (tmp_path / "again").mkdir()
    second = write_product(catalog, again, Sources(), tmp_path / "again")
    assert np.array_equal(fits.getdata(path, 1), fits.getdata(second, 1))


def test_other_tools_see_the_declared_file(write) -> None:
    with fits.open(write(), checksum=True) as hdus:
        names = ["OBSID", "ID", "X", "RA", "Flux_1", "Flux_2", "Flux_3", "R50", "NAME"]
        assert hdus["CAT"].columns.names == names
        assert hdus["CAT"].columns["X"].unit == "pixel"
        assert hdus["CAT"].header.comments["TTYPE3"] == "column"
        assert hdus["CAT"].header["VERSION"] == 3


def test_unknown_values_are_filled(write) -> None:
    ra = MaskedColumn([1.0, 2.0], mask=[True, False])
    flux = np.array([[np.nan, 1, 2], [3, 4, np.nan]]) * u.electron / u.s
    with fits.open(write(ra=ra, flux=flux)) as hdus:
        assert list(hdus["CAT"].data["RA"]) == [-1.0, 2.0]
        assert list(hdus["CAT"].data["Flux_3"]) == [2.0, -1.0]


def test_a_required_column_nobody_made_is_filled_or_an_error(write) -> None:
    with fits.open(write(ra=None, flux=None)) as hdus:
        assert list(hdus["CAT"].data["RA"]) == [-1.0, -1.0]
        assert list(hdus["CAT"].data["Flux_2"]) == [-1.0, -1.0]
    with pytest.raises(FileError, match="column X: the table has no 'x', and the definition gives"):
        write(x=None)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": [1.0, 2.0] * u.deg}, "column X"),
        ({"x": np.array(["a", "b"])}, "column X: found .*, expected float32"),
        ({"flux": np.ones((2, 4))}, r"'flux' has shape \(2, 4\), expected \(2, 3\)"),
    ],
)
def test_columns_that_do_not_fit_are_errors(write, changes, message) -> None:
    with pytest.raises(FileError, match=message):
        write(**changes)


def test_older_column_names_and_units_are_read(catalog, write) -> None:
    path = write()
    with fits.open(path) as hdus:
        columns = hdus["CAT"].columns
        columns["X"].name = "xpos"
        columns["RA"].unit = "arcsec"
        table = fits.BinTableHDU.from_columns(columns, name="CAT")
        fits.HDUList([hdus[0], table]).writeto(path.with_name("b.fits"))
    table = read_products(catalog, path.with_name("b.fits")).products[0].table
    assert list(table["x"].value) == [1.5, 2.5]
    assert u.allclose(table["ra"], [1, 2] * u.arcsec)


@pytest.mark.parametrize(
    ("remove", "message"),
    [("X", "column X: missing"), ("Flux_2", "column Flux_2: missing")],
)
def test_missing_columns_are_named(catalog, write, remove, message) -> None:
    path = write()
    with fits.open(path) as hdus:
        kept = [column for column in hdus["CAT"].columns if column.name != remove]
        table = fits.BinTableHDU.from_columns(fits.ColDefs(kept), name="CAT")
        fits.HDUList([hdus[0], table]).writeto(path.with_name("b.fits"))
    with pytest.raises(FileError, match=f"b.fits: HDU CAT: {message}"):
        read_products(catalog, path.with_name("b.fits"))
    assert f"HDU CAT: {message}" in validate_file(catalog, path.with_name("b.fits"))


@pytest.mark.parametrize(
    ("name", "values", "unit", "message"),
    [
        ("X", np.array(["a", "b"]), None, "column X: found text, expected float32"),
        ("NAME", np.array([1, 2]), None, "column NAME: found int64, expected text"),
        ("RA", np.array([1.0, 2.0]), "s", "column RA: found the unit 's', expected 'deg'"),
        ("Type", np.array([1.5, 2.5]), None, "column Type: found float64, expected int16"),
    ],
)
def test_columns_of_another_kind_are_named(catalog, write, name, values, unit, message) -> None:
    path = write()
    with fits.open(path) as hdus:
        columns = [column for column in hdus["CAT"].columns if column.name != name]
        form = {"U": "8A", "i": "K", "f": "D"}[values.dtype.kind]
        columns.append(fits.Column(name, form, unit, array=values))
        table = fits.BinTableHDU.from_columns(columns, name="CAT")
        fits.HDUList([hdus[0], table]).writeto(path.with_name("b.fits"))
    with pytest.raises(FileError) as caught:
        read_products(catalog, path.with_name("b.fits"))
    assert message in str(caught.value)


def test_columns_nobody_declared_are_read_as_they_are(catalog, write) -> None:
    path = write()
    with fits.open(path) as hdus:
        columns = list(hdus["CAT"].columns)
        columns.append(fits.Column("EXTRA", "D", "mag", array=np.array([1.0, 2.0])))
        columns.append(fits.Column("ODD", "D", "parsnip", array=np.array([1.0, 2.0])))
        table = fits.BinTableHDU.from_columns(columns, name="CAT")
        fits.HDUList([hdus[0], table]).writeto(path.with_name("b.fits"))
    back = read_products(catalog, path.with_name("b.fits")).products[0].table
    assert back["EXTRA"].unit == u.mag
    assert list(back["ODD"]) == [1.0, 2.0]


def test_an_empty_table_comes_back(catalog, write) -> None:
    empty = {name: sources()[name][:0] for name in sources().colnames}
    table = read_products(catalog, write(**empty)).products[0].table
    assert len(table) == 0
    assert table["flux"].shape == (0, 3)


def test_a_unit_without_columns_takes_any_table(define, tmp_path) -> None:
    text = CATALOG[: CATALOG.index("[[hdu.column]]")]
    definition = define(text)
    table = QTable({"a": np.array([1, 2], "i8"), "b": [1.0, 2.0] * u.mas, "t": ["x", "yz"]})
    path = write_product(definition, Table(table), Sources(), tmp_path)
    back = read_products(definition, path).products[0].table
    assert back.colnames == ["a", "b", "t"]
    assert back["b"].unit == u.mas


@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    edits=st.lists(
        st.tuples(st.integers(2880, 2880 * 4), st.binary(min_size=1, max_size=40)), max_size=3
    )
)
def test_any_damage_is_an_error_that_names_the_file(catalog, write, edits) -> None:
    path = write()
    damaged = bytearray(path.read_bytes())
    for start, content in edits:
        damaged[start : start + len(content)] = content
    bad = path.with_name("bad.fits")
    bad.write_bytes(damaged)
    try:
        read_products(catalog, bad)
    except FileError as error:
        assert str(bad) in str(error)  # noqa: PT017 - any outcome but this is right
    assert all(isinstance(problem, str) for problem in validate_file(catalog, bad))


def test_unsigned_columns_come_back(define, tmp_path) -> None:
    text = "[definition]\nname='a'\nsummary=''\nproduct='Table'\n[file]\nname='a.fits'\n"
    text += "[[hdu]]\nname='CAT'\n"
    for name in ("uint16", "uint32"):
        text += f"[[hdu.column]]\nname='{name}'\ndtype='{name}'\n"
    values = {name: np.array([0, 1, 2**15, 2**16 - 1], name) for name in ("uint16", "uint32")}
    definition = define(text.replace("name='CAT'", "name='CAT'\nplane='table'"))
    path = write_product(definition, Table(QTable(values)), Sources(), tmp_path)
    back = read_products(definition, path).products[0].table
    for name, expected in values.items():
        assert back[name].dtype == expected.dtype
        assert np.array_equal(back[name], expected)
