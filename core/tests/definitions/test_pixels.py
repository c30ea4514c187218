from __future__ import annotations

import gzip
import io
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from csstcore.definitions.fitsfile import open_units
from csstcore.definitions.pixels import TILE_BYTES, native_pixels

VALUES = {
    "uint8": [0, 1, 255],
    "int16": [-32768, -1, 32767],
    "int32": [-(2**31), 7, 2**31 - 1],
    "int64": [-(2**62), 0, 2**62],
    "float32": [-1.5, np.nan, np.inf],
    "float64": [1e300, -0.0, 3.0],
    "uint16": [0, 32768, 65535],
    "uint32": [0, 2**31, 2**32 - 1],
    "int8": [-128, 0, 127],
}


def read(path: Path, unit: int = 1) -> np.ndarray:
    with open_units(path) as units:
        return native_pixels(units[unit])


@pytest.mark.parametrize("name", VALUES)
def test_every_type_is_read_as_it_was_written(name: str, tmp_path: Path) -> None:
    """More than a tile of it, so that tiles are put together."""
    values = np.resize(np.array(VALUES[name], name), (3, TILE_BYTES // np.dtype(name).itemsize))
    path = tmp_path / "frame.fits"
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(values)]).writeto(path)
    found = read(path)
    assert found.dtype == values.dtype
    assert found.dtype.isnative
    np.testing.assert_array_equal(found, values)


@pytest.mark.parametrize("stored", ["uint8", "int16", "int32", "float32", "float64"])
@pytest.mark.parametrize(("zero", "scale"), [(5.25, 1.0), (0.0, 0.5), (-3.0, 0.1), (2**15, 2.0)])
def test_scaled_values_are_those_of_astropy(
    stored: str, zero: float, scale: float, tmp_path: Path
) -> None:
    path = tmp_path / "frame.fits"
    unit = fits.PrimaryHDU(np.arange(60, dtype=stored).reshape(6, 10))
    unit.header["BZERO"], unit.header["BSCALE"] = zero, scale
    content = unit.data.astype(unit.data.dtype.newbyteorder(">")).tobytes()
    path.write_bytes(unit.header.tostring().encode() + content.ljust(2880, b"\0"))
    with fits.open(path, memmap=False) as units:
        expected = units[0].data
    found = read(path, 0)
    assert found.dtype == expected.dtype.newbyteorder("=")
    np.testing.assert_array_equal(found, expected)


def test_a_packed_file_is_read(tmp_path: Path) -> None:
    stream = io.BytesIO()
    values = np.arange(12, dtype=np.float32).reshape(3, 4)
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(values)]).writeto(stream)
    path = tmp_path / "frame.fits"
    path.write_bytes(gzip.compress(stream.getvalue()))
    np.testing.assert_array_equal(read(path), values)
