"""Definitions with their own reader: files that are no FITS by definition."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from csstcore.api import Image, Mask, Meta
from csstcore.definitions.header import read_header
from csstcore.definitions.model import DefinitionModel
from csstcore.definitions.read import merge_products, read_products
from csstcore.definitions.validate import validate_file
from csstcore.errors import ConfigurationError, FileError

TEXT = """
[definition]
name = "text"
summary = "Frames in a text file"
product = "Image"
reader = "lab.text"
[identify]
KIND = "text"
[meta]
obs_id = "OBSID"
exposure_time = "EXPTIME"
[[hdu]]
name = "PRIMARY"
[hdu.keywords]
OBSID = { type = "str", required = true }
EXPTIME = { type = "float", unit = "s", minimum = 0 }
"""


@pytest.fixture
def reader(monkeypatch) -> ModuleType:
    """A module whose function `read` reads ``key=value`` lines and makes two frames."""
    module = ModuleType("lab_text_reader")

    def read(path: Path, *, header_only: bool = False):
        header = dict(line.split("=") for line in path.read_text().splitlines())
        header = {key: float(v) if key == "EXPTIME" else v for key, v in header.items()}
        frames = [Image(np.full((2, 2), n, np.float32), meta=Meta()) for n in range(2)]
        return header, [] if header_only else frames

    module.read = read
    monkeypatch.setitem(sys.modules, "lab_text_reader", module)
    return module


@pytest.fixture
def text(define, reader) -> DefinitionModel:
    return define(TEXT).bound("lab.text", None, "lab_text_reader:read")


@pytest.fixture
def path(tmp_path) -> Path:
    path = tmp_path / "x.txt"
    path.write_text("KIND=text\nOBSID=12\nEXPTIME=3")
    return path


def test_products_get_the_meta_of_the_definition(text, path) -> None:
    assert validate_file(text, path) == []
    products = read_products(text, path).products
    assert [product.data[0, 0] for product in products] == [0, 1]
    assert {product.meta.obs_id for product in products} == {"12"}
    assert products[0].meta.exposure_time.value == 3.0


def test_meta_that_the_reader_gave_is_kept(text, path, reader) -> None:
    reader.read = lambda path, *, header_only=False: (
        {"OBSID": "1"},
        [Image(np.zeros((2, 2)), meta=Meta(obs_id="own", frame=3))],
    )
    meta = read_products(text, path).products[0].meta
    assert (meta.obs_id, meta.frame) == ("own", 3)


def test_keywords_are_checked_as_in_any_file(text, path) -> None:
    path.write_text("KIND=text\nEXPTIME=-1")
    with pytest.raises(FileError, match=r"OBSID: missing.*EXPTIME: found -1\.0, expected at least"):
        read_products(text, path)
    assert len(validate_file(text, path)) == 2


@pytest.mark.parametrize("error", [ValueError("odd bytes"), KeyError("X"), FileError("no")])
def test_whatever_a_reader_raises_is_a_file_error(text, path, reader, error) -> None:
    def read(path, *, header_only=False):
        raise error

    reader.read = read
    with pytest.raises(FileError):
        read_header(text, path)
    assert len(validate_file(text, path)) == 1


def test_a_reader_that_gives_another_type_is_named(text, path, reader) -> None:
    reader.read = lambda path, *, header_only=False: ({"OBSID": "1"}, [Mask(np.eye(2) > 0)])
    with pytest.raises(FileError, match=r"the reader lab\.text gave Mask, expected Image"):
        read_products(text, path)


def test_a_reader_is_known_only_to_the_registry(define, path) -> None:
    with pytest.raises(ConfigurationError, match="get the definition from Definitions"):
        read_header(define(TEXT), path)


def test_files_of_different_series_are_not_merged(text, path, reader) -> None:
    two = read_products(text, path)
    reader.read = lambda path, *, header_only=False: ({"OBSID": "1"}, [Image(np.zeros((2, 2)))] * 3)
    with pytest.raises(FileError, match="holds 3 Image, expected 2 Image"):
        merge_products([two, read_products(text, path)])
