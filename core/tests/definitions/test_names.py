"""File names are parsed into fields and formatted from them."""

from __future__ import annotations

import pytest
from astropy.time import Time

from csstcore.definitions.names import format_name, parse_name
from csstcore.errors import FileError

FIELDS = {"obs_id": "10100000001", "start": Time("2027-01-02T03:04:05"), "detector": 7}


def test_newest_form_is_written_and_read_back(camera) -> None:
    name = format_name(camera, FIELDS)
    assert name == "CAM_10100000001_20270102030405_07.fits"
    assert parse_name(camera, name) == {
        "obs_id": "10100000001",
        "start": "20270102030405",
        "detector": "07",
    }


def test_older_form_is_read(camera) -> None:
    assert parse_name(camera, "OLD_123456789.fits.gz") == {"obs_id": "123456789"}


@pytest.mark.parametrize(
    "name",
    [
        "CAM_1010000001_20270102030405_07.fits",  # 10 digits
        "CAM_10100000001_20270102030405_07xfits",
        "xCAM_10100000001_20270102030405_07.fits",
        "CAM_10100000001_20270102030405_07.fits\n",
    ],
)
def test_other_names_are_not_recognised(camera, name: str) -> None:
    assert parse_name(camera, name) is None


@pytest.mark.parametrize("value", ["../../etc/x", "12345678a", None, "", "1" * 10])
def test_values_that_do_not_fit_are_refused(camera, value: object) -> None:
    with pytest.raises(FileError, match="field 'obs_id' of the file name"):
        format_name(camera, {**FIELDS, "obs_id": value})


def test_a_path_is_refused_even_if_the_pattern_lets_it_pass(define) -> None:
    definition = define(
        "[definition]\nname='d'\nsummary=''\nproduct='Image'\n"
        "[file]\nname='{a}.fits'\n[file.fields]\na={pattern='.*'}"
    )
    for value in ("../a", "a/b", "a\0b", "a b", ".."):
        with pytest.raises(FileError, match=r"field 'a'|safe file name"):
            format_name(definition, {"a": value})


def test_a_field_used_twice_must_agree(define) -> None:
    definition = define(
        "[definition]\nname='d'\nsummary=''\nproduct='Image'\n"
        "[file]\nname='{a}_{a}.fits'\n[file.fields]\na={pattern='[a-z]+'}"
    )
    assert parse_name(definition, "x_x.fits") == {"a": "x"}
    assert parse_name(definition, "x_y.fits") is None
