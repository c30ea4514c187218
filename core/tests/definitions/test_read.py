"""Files that do not satisfy their definition, and files nobody can read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from csstcore.definitions.read import read_products
from csstcore.definitions.sources import Sources
from csstcore.definitions.validate import validate_file
from csstcore.definitions.write import write_product
from csstcore.errors import ConfigurationError, FileError


@pytest.fixture
def path(camera, image, tmp_path) -> Path:
    return write_product(camera, image, Sources(), tmp_path)


def refusal(definition, path: Path) -> str:
    with pytest.raises(FileError) as caught:
        read_products(definition, path)
    assert str(path) in str(caught.value)
    assert validate_file(definition, path) != []
    return str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "begins with an empty file, expected 'SIMPLE  ='"),
        (b"\x89PNG" + bytes(5000), "not a FITS file"),
        (b"SIMPLE  =" + b" " * 71, "header of HDU 0 is damaged"),
        (b"\x1f\x8b" + b"junk", "cannot be read"),
    ],
)
def test_what_is_not_fits(camera, tmp_path, content, message) -> None:
    path = tmp_path / "x.fits"
    path.write_bytes(content)
    assert message in refusal(camera, path)


def test_absent_files_and_folders(camera, tmp_path) -> None:
    assert "No such file" in refusal(camera, tmp_path / "none.fits")
    assert "cannot be read" in refusal(camera, tmp_path)


def test_a_cut_file_says_what_lacks(camera, path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[: 2880 * 2 + 70])
    message = refusal(camera, path)
    assert "HDU 1 is cut off: found" in message
    assert "expected 140" in message


def change(path: Path, edit) -> None:
    with fits.open(path, mode="update") as hdus:
        edit(hdus)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda h: h.__delitem__(1), "HDU SCI: missing; found PRIMARY, WHT, FLG"),
        (lambda h: h[0].header.remove("EXPTIME"), "HDU PRIMARY: keyword EXPTIME: missing"),
        (lambda h: h[0].header.remove("OBSID"), "keyword OBSID (or OBS_ID): missing"),
        (
            lambda h: h[0].header.set("EXPTIME", -5.0),
            "keyword EXPTIME: found -5.0, expected at least 0",
        ),
        (lambda h: h[0].header.set("OBSID", "12a"), r"OBSID: found '12a', expected one matching"),
        (lambda h: h[0].header.set("MODE", "ODD"), "MODE: found 'ODD', expected one of FAST, SLOW"),
        (
            lambda h: h[0].header.set("EXPTIME", "x"),
            "keyword EXPTIME: found 'x', expected a number",
        ),
        (lambda h: h[1].header.set("BUNIT", "m"), "keyword BUNIT: found 'm', expected"),
        (
            lambda h: h.__setitem__(1, fits.ImageHDU(np.ones((2, 3, 4), "f4"), name="SCI")),
            "HDU SCI: found 3 axes, expected 2",
        ),
        (
            lambda h: h.__setitem__(3, fits.ImageHDU(np.ones((5, 7), "f4"), name="FLG")),
            "HDU FLG: found float32, expected uint16",
        ),
        (
            lambda h: h.__setitem__(3, fits.ImageHDU(np.full((5, 7), -1, "i4"), name="FLG")),
            "HDU FLG: flags do not fit into 16 bits",
        ),
        (lambda h: h.__setitem__(1, fits.ImageHDU(name="SCI")), "HDU SCI: holds no data"),
        (
            lambda h: h.__setitem__(1, fits.BinTableHDU(np.ones(2, [("a", "f4")]), name="SCI")),
            "HDU SCI: found a table, expected an image",
        ),
        (
            lambda h: h[1].header.set("CTYPE1", "RA---XYZ"),
            "HDU SCI: cannot be read: the WCS cards are not valid",
        ),
    ],
)
def test_each_disagreement_is_named(camera, path, edit, message) -> None:
    change(path, edit)
    with pytest.raises(FileError) as caught:
        _ = read_products(camera, path).products
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


def test_everything_wrong_is_said_at_once(camera, path) -> None:
    def edit(hdus) -> None:
        hdus[0].header.remove("OBSID")
        hdus[0].header["EXPTIME"] = "x"
        hdus[0].header["INSTRUME"] = "IFS"
        hdus[1].header["BUNIT"] = "m"

    change(path, edit)
    damaged = bytearray(path.read_bytes())
    damaged[-2880] ^= 1  # the flags
    path = path.with_name("y.fits")
    path.write_bytes(damaged)
    text = "\n".join(validate_file(camera, path))
    for part in (
        "file name 'y.fits'",
        "INSTRUME: found 'IFS'",
        "OBSID",
        "EXPTIME",
        "BUNIT",
        "HDU FLG: DATASUM: found",
        "HDU FLG: CHECKSUM: does not fit",
    ):
        assert part in text
    assert text.count("EXPTIME") == 1


@pytest.mark.parametrize("dtype", ["u1", "i2", "i4", "u4", "f8"])
def test_files_of_other_number_types_become_the_declared_one(camera, path, dtype) -> None:
    data = np.arange(35).reshape(5, 7).astype(dtype)
    change(path, lambda h: h.__setitem__(1, fits.ImageHDU(data, name="SCI")))
    back = read_products(camera, path).products[0]
    assert back.data.dtype == np.float32
    assert np.array_equal(back.data, data.astype(np.float32))


def test_scaled_integers_are_read(camera, path) -> None:
    unit = fits.ImageHDU(np.arange(35, dtype="f4").reshape(5, 7) / 4, name="SCI")
    unit.scale("int16", bscale=0.25, bzero=10)
    change(path, lambda h: h.__setitem__(1, unit))
    back = read_products(camera, path).products[0]
    assert np.allclose(back.data, np.arange(35).reshape(5, 7) / 4)


def test_older_names_of_units_and_none_at_all(camera, path) -> None:
    for name in ("img", ""):
        change(path, lambda h, name=name: h[1].header.set("EXTNAME", name))
        assert read_products(camera, path).products[0].data.shape == (5, 7)


def test_the_declared_shape_is_required(define, tmp_path) -> None:
    text = "[definition]\nname='a'\nsummary=''\nproduct='Image'\n[[hdu]]\nname='PRIMARY'\n"
    definition = define(text + "plane='data'\nshape=[3, 4]\n")
    path = tmp_path / "a.fits"
    fits.PrimaryHDU(np.zeros((3, 5), "f4")).writeto(path)
    assert "found shape 3 x 5 (rows x columns), expected 3 x 4" in refusal(definition, path)


def test_an_unknown_product_type_is_named(define, path) -> None:
    text = "[definition]\nname='a'\nsummary=''\nproduct='{}'\n[[hdu]]\nname='PRIMARY'\n"
    with pytest.raises(ConfigurationError, match=r"'Imag' is not a type of the core .did you mean"):
        read_products(define(text.format("Imag")), path)
    with pytest.raises(ConfigurationError, match="is not a dataclass"):
        read_products(define(text.format("pathlib:Path")), path)


damage = st.lists(
    st.tuples(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=80)), max_size=3
)


@settings(
    max_examples=500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(edits=damage, keep=st.floats(0, 1), headers_only=st.booleans())
def test_any_damage_is_an_error_that_names_the_file(
    camera, path, edits, keep, headers_only
) -> None:
    """Overwritten bytes and cut files: a product or a FileError; no other error, no warning."""
    good = path.read_bytes()
    damaged = bytearray(good)
    for where, content in edits:
        start = int(where * (2880 if headers_only else len(good) - 80))
        damaged[start : start + len(content)] = content
    bad = path.with_name("OLD_123456789.fits")
    bad.write_bytes(damaged[: round(len(damaged) * (1 if keep > 0.5 else 2 * keep))])
    try:
        _ = read_products(camera, bad).products
    except FileError as error:
        assert str(bad) in str(error)  # noqa: PT017 - any outcome but this is right
        assert "\n" not in str(error)  # noqa: PT017
    assert all(isinstance(problem, str) for problem in validate_file(camera, bad))
