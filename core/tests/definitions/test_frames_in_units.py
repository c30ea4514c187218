"""Frames with a unit each, and units that hold several planes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits

from csstcore.api import Image, Meta
from csstcore.definitions.model import DefinitionModel
from csstcore.definitions.read import merge_products, read_products
from csstcore.definitions.sources import Sources
from csstcore.definitions.validate import validate_file
from csstcore.definitions.write import write_product
from csstcore.errors import FileError

FRAMES = """
[definition]
name = "frames"
summary = "Reduced frames, each a unit of image and mask"
product = "Image"

[file]
name = "frames.fits"

[meta]
obs_id = "OBSID"
exposure_time = "EXPTIME"

[flags]
bad = { value = 1 }
cosmic_ray = { value = 16 }

[[hdu]]
name = "PRIMARY"
[hdu.keywords]
OBSID = { type = "str", from = "meta.obs_id" }

[[hdu]]
name = "FRAME"
planes = ["data", "flags"]
split = "units"
dtype = "float32"
unit = "electron"
shape = [3, 5]
[hdu.keywords]
EXPTIME = { type = "float", unit = "s", required = true, minimum = 0, from = "meta.exposure_time" }
HITS = { type = "int", from = "metric.hits" }
"""


def frames(number: int = 4) -> list[Image]:
    rng = np.random.default_rng(1)
    return [
        Image(
            data=rng.normal(size=(3, 5)).astype(np.float32),
            flags=(rng.integers(0, 2, (3, 5)) * 16).astype(np.uint16),
            unit=u.electron,
            meta=Meta(obs_id="7", exposure_time=(index + 1.0) * u.s),
            flag_bits={"bad": 1, "cosmic_ray": 16},
        )
        for index in range(number)
    ]


@pytest.fixture
def definition(define) -> DefinitionModel:
    return define(FRAMES)


@pytest.fixture
def path(definition, tmp_path: Path) -> Path:
    sources = [Sources(metrics={"hits": 10 * index}) for index in range(4)]
    return write_product(definition, frames(), sources, tmp_path)


def test_each_frame_has_a_unit_with_its_own_keywords(definition, path) -> None:
    with fits.open(path, checksum=True) as units:
        units.verify("exception")
        assert [unit.name for unit in units] == ["PRIMARY", *["FRAME"] * 4]
        assert [unit.ver for unit in units[1:]] == [1, 2, 3, 4]
        assert [unit.header["EXPTIME"] for unit in units[1:]] == [1, 2, 3, 4]
        assert [unit.header["HITS"] for unit in units[1:]] == [0, 10, 20, 30]
        assert [unit.shape for unit in units[1:]] == [(2, 3, 5)] * 4


def test_frames_come_back_with_their_own_meta(definition, path) -> None:
    assert validate_file(definition, path) == []
    read = read_products(definition, path)
    assert [header["HITS"] for header in read.frame_headers] == [0, 10, 20, 30]
    for index, (old, new) in enumerate(zip(frames(), read.products, strict=True)):
        assert np.array_equal(new.data, old.data)
        assert np.array_equal(new.flags, old.flags)
        assert (new.data.dtype, new.flags.dtype) == (np.float32, np.uint16)
        assert new.data.flags.c_contiguous
        assert new.meta == replace(old.meta, frame=index)
        assert new.unit == u.electron


def test_units_without_names_are_frames_too(definition, path, tmp_path) -> None:
    with fits.open(path) as units:
        for unit in units[1:]:
            del unit.header["EXTNAME"], unit.header["EXTVER"]
        units.writeto(tmp_path / "unnamed.fits")
    assert len(read_products(definition, tmp_path / "unnamed.fits").products) == 4


def test_one_frame_is_a_file_of_one(definition, tmp_path) -> None:
    path = write_product(definition, frames(1), Sources(), tmp_path)
    assert [image.meta.frame for image in read_products(definition, path).products] == [0]


def test_a_wrong_frame_is_named(definition, path, tmp_path) -> None:
    with fits.open(path) as units:
        units[3].header["EXPTIME"] = -1.0
        units[4].data = units[4].data[:1]
        units.writeto(tmp_path / "wrong.fits")
    with pytest.raises(FileError) as caught:
        read_products(definition, tmp_path / "wrong.fits")
    assert "(unit 4): found 1 planes, expected 2" in str(caught.value)
    assert "frame 2: HDU FRAME: keyword EXPTIME: found -1.0" in str(caught.value)


def test_a_mask_that_is_no_mask_is_refused(definition, path, tmp_path) -> None:
    with fits.open(path) as units:
        units[2].data[1, 0, 0] = 0.5
        units.writeto(tmp_path / "wrong.fits")
    with pytest.raises(FileError, match="flags holds values that are not whole numbers"):
        read_products(definition, tmp_path / "wrong.fits")


def test_a_flag_that_is_not_a_number_is_refused(definition, path, tmp_path) -> None:
    with fits.open(path) as units:
        units[2].data[1, 0, 0] = np.nan
        units.writeto(tmp_path / "wrong.fits")
    with pytest.raises(FileError, match="not whole numbers"):
        read_products(definition, tmp_path / "wrong.fits")


def test_frames_must_be_declared_last_and_as_images(define) -> None:
    with pytest.raises(Exception, match="must be the last"):
        define(FRAMES + '[[hdu]]\nname = "MORE"\n')
    with pytest.raises(Exception, match="without `plane`"):
        define(FRAMES.replace('split = "units"', 'split = "units"\nplane = "data"'))


ERRORS = """
[definition]
name = "errors"
summary = "Errors of all frames of a file"
product = "Image"

[file]
name = "errors.fits"

[[hdu]]
name = "ERR"
plane = "variance"
form = "standard_deviation"
dtype = "float32"
"""


def test_a_file_without_frames_gives_its_plane_to_every_frame(define, definition, path, tmp_path):
    variance = np.full((3, 5), 4.0, np.float32)
    image = Image(np.zeros((3, 5), np.float32), u.electron, variance)
    errors = define(ERRORS)
    files = [read_products(definition, path)]
    files.append(read_products(errors, write_product(errors, image, Sources(), tmp_path)))
    merged = merge_products(files)
    assert [frame.meta.frame for frame in merged] == [0, 1, 2, 3]
    assert all(np.array_equal(frame.variance, variance) for frame in merged)
    assert np.array_equal(merged[2].data, frames()[2].data)


def test_a_file_of_other_frames_is_not_merged(definition, path, tmp_path):
    single = write_product(definition, frames(1), Sources(), tmp_path / "one")
    files = [read_products(definition, path), read_products(definition, single)]
    with pytest.raises(FileError, match="holds 1 Image, expected 4"):
        merge_products(files)
