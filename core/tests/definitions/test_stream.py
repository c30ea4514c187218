from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from numpy.typing import NDArray

from csstcore.definitions.stream import TILE_VALUES, write_units

RNG = np.random.default_rng(1)
TYPES = ("uint8", "int16", "uint16", "int32", "uint32", "int64", "float32", "float64")


def values(name: str, shape: tuple[int, ...]) -> NDArray[np.generic]:
    if name.startswith("float"):
        return RNG.normal(size=shape).astype(name)
    limits = np.iinfo(name)
    return RNG.integers(limits.min, limits.max, shape, name, endpoint=True)


def written(*data: NDArray[np.generic] | None) -> tuple[bytes, fits.HDUList]:
    units = fits.HDUList([fits.PrimaryHDU(data[0]), *(fits.ImageHDU(one) for one in data[1:])])
    stream = io.BytesIO()
    write_units(units, stream)
    return stream.getvalue(), units


@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize("shape", [(3, 5), (2, TILE_VALUES // 2 + 7)])
def test_what_is_written_is_read_with_right_checksums(name: str, shape: tuple[int, int]) -> None:
    data = values(name, shape)
    before = data.copy()
    content, _ = written(None, data)
    assert len(content) % 2880 == 0
    np.testing.assert_array_equal(data, before)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a wrong checksum is a warning
        with fits.open(io.BytesIO(content), checksum=True) as units:
            units.verify("exception")
            np.testing.assert_array_equal(units[1].data, data)
            assert units[1].data.dtype.newbyteorder("=") == data.dtype


@pytest.mark.parametrize("seed", range(40))
def test_any_checksum_is_that_of_astropy(seed: int) -> None:
    data = np.random.default_rng(seed).integers(0, 2**32, (4, 4), np.uint32).view(np.float32)
    content, _ = written(data)
    other = fits.PrimaryHDU(data)
    other.add_checksum()
    with fits.open(io.BytesIO(content), checksum=True) as units:
        assert units[0].header["DATASUM"] == other.header["DATASUM"]
        assert units[0].verify_checksum() == 1
        assert units[0].verify_datasum() == 1


def test_the_header_is_that_of_astropy(tmp_path: Path) -> None:
    content, units = written(None, values("uint16", (4, 6)))
    path = tmp_path / "other.fits"
    units.writeto(path, checksum=True)
    with fits.open(io.BytesIO(content)) as ours, fits.open(path) as theirs:
        for one, other in zip(ours, theirs, strict=True):
            assert [card.keyword for card in one.header.cards] == [
                card.keyword for card in other.header.cards
            ]
