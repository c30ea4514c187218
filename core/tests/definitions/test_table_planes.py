"""Columns of a table that are planes, and fields of a product that are keywords."""

from __future__ import annotations

from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from csstcore.api import Psf, Spectra
from csstcore.definitions.describe import describe_definition
from csstcore.definitions.model import DefinitionModel
from csstcore.definitions.read import read_products
from csstcore.definitions.sources import Sources
from csstcore.definitions.validate import validate_file
from csstcore.definitions.write import write_product
from csstcore.errors import ConfigurationError, FileError

DUMPS = """
[definition]
name = "dumps"
summary = "One spectrum per row"
product = "Spectra"

[file]
name = "dumps.fits"

[[hdu]]
name = "PRIMARY"
[hdu.keywords]
TSECOND = { type = "float", unit = "min", from = "product.rows.time[1]" }
TNINTH = { type = "float", fill = -1.0, from = "product.rows.time[8]" }
NOTHING = { type = "float", fill = -1.0, from = "product.rows.nothing[0]" }

[[hdu]]
name = "DUMPS"
plane = "rows"
form = "standard_deviation"
[[hdu.column]]
name = "TIME"
from = "time"
dtype = "float64"
unit = "s"
[[hdu.column]]
name = "COUNTS"
plane = "flux"
dtype = "float32"
unit = "adu"
required = true
[[hdu.column]]
name = "FREQ"
plane = "axis"
quantity = true
dtype = "float64"
unit = "GHz"
required = true
[[hdu.column]]
name = "SIGMA"
plane = "variance"
dtype = "float32"
unit = "adu"
[[hdu.column]]
name = "NUMBER"
from = "row.number"
dtype = "int32"
"""

PSF = """
[definition]
name = "psf"
summary = "A PSF in a table of one row"
product = "Psf"

[file]
name = "psf.fits"

[[hdu]]
name = "PSF_DATA"
single_row = true
[hdu.keywords]
POLDEG1 = { type = "int", required = true, from = "product.degree" }
PSF_SAMP = { type = "float", required = true, from = "product.step_pixel" }
POLZERO1 = { type = "float", required = true, from = "product.zero[0]" }
POLZERO2 = { type = "float", required = true, from = "product.zero[1]" }
POLSCAL1 = { type = "float", required = true, from = "product.scale[0]" }
POLSCAL2 = { type = "float", required = true, from = "product.scale[1]" }
PSFAXIS1 = { type = "int", from = "product.samples.shape[2]" }
PSFAXIS3 = { type = "int", from = "product.samples.shape[0]" }
PSFAXIS9 = { type = "int", fill = 0, from = "product.samples.shape[8]" }
[[hdu.column]]
name = "PSF_MASK"
plane = "samples"
dtype = "float32"
required = true
"""


def spectra(variance: bool = True) -> Spectra:
    rng = np.random.default_rng(2)
    flux = rng.normal(size=(3, 8)).astype(np.float32)
    return Spectra(
        flux=flux,
        axis=np.tile(np.linspace(400.0, 410.0, 8), (3, 1)) * u.GHz,
        unit=u.adu,
        variance=np.square(np.float32(2.0) + flux * 0) if variance else None,
        rows=QTable({"time": [0.0, 1.5, 3.0] * u.s}),
    )


def psf() -> Psf:
    samples = np.random.default_rng(3).normal(size=(6, 7, 9)).astype(np.float32)
    return Psf(samples, 0.4928, 2, (4607.4, 4631.63), (9161.36, 9174.35))


@pytest.fixture
def written(define, tmp_path: Path):
    def write(text: str, product: object) -> tuple[DefinitionModel, Path]:
        definition = define(text)
        return definition, write_product(definition, product, Sources(), tmp_path)

    return write


def test_a_cell_of_a_table_is_a_keyword(written) -> None:
    definition, path = written(DUMPS, spectra())
    header = fits.getheader(path)
    assert header["TSECOND"] == pytest.approx(1.5 / 60)
    assert (header["TNINTH"], header["NOTHING"]) == (-1.0, -1.0)
    (back,) = read_products(definition, path).products
    assert list(back.rows["time"].value) == [0.0, 1.5, 3.0]


@pytest.mark.parametrize("variance", [True, False])
def test_spectra_in_a_column_come_back_bit_for_bit(written, variance) -> None:
    definition, path = written(DUMPS, spectra(variance))
    (back,) = read_products(definition, path).products
    expected = spectra(variance)
    assert back.flux.tobytes() == expected.flux.tobytes()
    assert back.flux.flags.c_contiguous
    assert back.unit == u.adu
    assert back.axis.unit == u.GHz
    np.testing.assert_array_equal(back.axis, expected.axis)
    assert back.rows.colnames == ["time", "NUMBER"]
    assert list(back.rows["NUMBER"]) == [1, 2, 3]
    if variance:
        np.testing.assert_array_equal(back.variance, expected.variance)
    else:
        assert back.variance is None
    assert validate_file(definition, path) == []


def test_the_file_holds_the_declared_form_and_unit(written) -> None:
    product = spectra()
    product.flux *= 1000
    product.unit = u.def_unit("milli_adu", 1e-3 * u.adu)
    _, path = written(DUMPS, product)
    with fits.open(path) as units:
        table = units["DUMPS"]
        assert table.columns.names == ["TIME", "COUNTS", "FREQ", "SIGMA", "NUMBER"]
        assert table.columns["COUNTS"].unit == "adu"
        np.testing.assert_allclose(table.data["COUNTS"], spectra().flux, rtol=1e-6)
        np.testing.assert_allclose(table.data["SIGMA"], 2e-3, rtol=1e-6)


def test_a_product_of_one_row_and_keywords_comes_back_bit_for_bit(written) -> None:
    definition, path = written(PSF, psf())
    with fits.open(path) as units:
        header = units["PSF_DATA"].header
        assert units["PSF_DATA"].data["PSF_MASK"].shape == (1, 6, 7, 9)
        assert (header["PSFAXIS1"], header["PSFAXIS3"], header["PSFAXIS9"]) == (9, 6, 0)
    (back,) = read_products(definition, path).products
    assert back.samples.tobytes() == psf().samples.tobytes()
    assert (back.step_pixel, back.degree) == (0.4928, 2)
    assert (back.zero, back.scale) == (psf().zero, psf().scale)
    assert validate_file(definition, path) == []


def test_a_missing_keyword_of_a_field_is_named(written) -> None:
    definition, path = written(PSF, psf())
    fits.delval(path, "POLZERO2", 1)
    with pytest.raises(FileError, match="POLZERO2"):
        read_products(definition, path)


def test_keywords_that_do_not_fit_the_samples_are_an_error_of_the_file(written) -> None:
    definition, path = written(PSF, psf())
    fits.setval(path, "POLDEG1", value=1, ext=1)
    with pytest.raises(FileError, match=r"psf.fits: Psf.samples has shape"):
        _ = read_products(definition, path).products


def test_a_second_row_is_an_error(written) -> None:
    definition, path = written(PSF, psf())
    with fits.open(path) as units:
        header, row = units[1].header, np.repeat(units[1].data, 2)
        fits.HDUList([units[0], fits.BinTableHDU(row, header)]).writeto(path.with_name("two.fits"))
    with pytest.raises(FileError, match="found 2 rows, expected 1"):
        read_products(definition, path.with_name("two.fits"))


def test_a_missing_or_wrong_column_is_named(written, tmp_path) -> None:
    definition, path = written(DUMPS, spectra())
    with fits.open(path) as units:
        table = QTable(units["DUMPS"].data)
    for change, message in (("remove", "column COUNTS: missing"), ("text", "column COUNTS: found")):
        bad = table.copy()
        bad.remove_column("COUNTS")
        if change == "text":
            bad["COUNTS"] = ["a", "b", "c"]
        other = tmp_path / f"{change}.fits"
        unit = fits.BinTableHDU(bad, name="DUMPS")
        fits.HDUList([fits.PrimaryHDU(), unit]).writeto(other)
        with pytest.raises(FileError, match=message):
            read_products(definition, other)
        assert any(message in problem for problem in validate_file(definition, other))


def test_planes_of_different_length_are_refused(written) -> None:
    product = spectra()
    product.rows = product.rows[:2]
    with pytest.raises(FileError, match=r"different numbers of rows: \[2, 3\]"):
        written(DUMPS, product)


def test_a_required_plane_that_is_absent_is_named(written) -> None:
    text = DUMPS.replace('plane = "variance"', 'plane = "variance"\nrequired = true')
    with pytest.raises(FileError, match="the product has no variance"):
        written(text, spectra(variance=False))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('plane = "flux"', 'plane = "flux"\nfill = 0.0', "goes without"),
        ('from = "time"', "quantity = true", "`quantity` is for columns with `plane`"),
        ('plane = "variance"', 'plane = "flux"', "given twice"),
        ('plane = "rows"', 'plane = "rows"\nsingle_row = true', "single_row"),
    ],
)
def test_contradictions_are_refused(define, old, new, message) -> None:
    with pytest.raises(ConfigurationError, match=message):
        define(DUMPS.replace(old, new))


@pytest.mark.parametrize("field", ["zero[x]", "Zero", "zero.shape", "samples.size[0].x"])
def test_a_field_that_cannot_be_is_refused(define, field) -> None:
    with pytest.raises(ConfigurationError, match=r"is not FIELD, FIELD\[2\]"):
        define(PSF.replace("product.zero[0]", f"product.{field}"))


def test_a_definition_shows_its_planes(define) -> None:
    assert "holds rows and flux and axis and variance" in describe_definition(define(DUMPS))


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    edits=st.lists(st.tuples(st.integers(0, 8000), st.integers(0, 255)), max_size=12),
    keep=st.floats(0, 1),
)
def test_damage_is_an_error_that_names_the_file(written, edits, keep) -> None:
    definition, path = written(PSF, psf())
    content = bytearray(path.read_bytes())
    for place, value in edits:
        content[place % len(content)] = value
    path.write_bytes(content[: int(keep * len(content))] if keep < 0.9 else content)
    error = ""
    try:
        assert all(isinstance(p, Psf) for p in read_products(definition, path).products)
    except FileError as raised:
        error = str(raised)
    assert error == "" or path.name in error
