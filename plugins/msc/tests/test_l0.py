"""Level 0: the newest form is written, every known older one is read."""

from __future__ import annotations

from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits

from csstcore.definitions.header import read_header
from csstcore.definitions.meta import read_meta
from csstcore.definitions.names import parse_name
from csstcore.definitions.read import read_products
from csstcore.definitions.recognise import recognises
from csstcore.definitions.sources import Sources
from csstcore.definitions.validate import validate_file
from csstcore.definitions.write import write_product
from csstcore.errors import FileError
from csstcore.products.meta import plain_value


@pytest.fixture
def l0(definitions):
    return definitions.get("msc.l0")


def test_a_frame_comes_back_under_the_newest_name(l0, raw, tmp_path) -> None:
    path = write_product(l0, raw, Sources(), tmp_path)
    assert path.name == "CSST_MSC_MS_SCIE_20280101000000_20280101000230_10100300001_06_L0_V01.fits"
    assert validate_file(l0, path) == []
    back = read_products(l0, path).products[0]
    assert np.array_equal(back.data, raw.data)
    assert back.data.dtype == np.uint16
    for name in ("obs_id", "detector", "readout", "filter", "file_type", "time", "end_time"):
        assert getattr(back.meta, name) == getattr(raw.meta, name)
    for name in ("exposure_time", "gain", "read_noise", "right_ascension", "declination"):
        assert u.allclose(getattr(back.meta, name), getattr(raw.meta, name))
    assert back.meta.level == 0
    assert np.array_equal(back.wcs.wcs.crpix, [-267, 14746])


def test_the_header_has_the_documented_layout(l0, raw, tmp_path) -> None:
    path = write_product(l0, raw, Sources(), tmp_path)
    with fits.open(path, checksum=True, do_not_scale_image_data=True) as hdus:
        first, second = hdus[0].header, hdus[1].header
        assert len(hdus) == 2
        assert (first["NAXIS"], first["EXTEND"], first["NEXTEND"]) == (0, True, 1)
        assert first["FILENAME"] == path.name.removesuffix(".fits")[:68]
        assert first["DETECTOR"] == "06"
        assert first["INSTRUME"] == "MSC"
        expected = {"EXTNAME": "SCI", "BITPIX": 16, "BZERO": 32768, "BUNIT": "ADU"}
        assert {key: second[key] for key in expected} == expected
        assert second["DETSIZE"] == "920x608"
        assert second["GAIN16"] == pytest.approx(1.15)
        assert "Detector information" in str(second["COMMENT"])


OLD_WCS = {
    "CTYPE1": "RA---TAN",
    "CTYPE2": "DEC--TAN",
    "CRPIX1": -267.0,
    "CRPIX2": 14746.0,
    "CRVAL1": 60.0,
    "CRVAL2": -40.0,
    "CD1_1": -8.17455836176e-06,
    "CD2_1": 1.88602083707394e-05,
    "CD1_2": -1.8860208370739e-05,
    "CD2_2": -8.17455836176e-06,
}
ERAS = {
    "C3": (
        "MSC_MS_210525220000_100000020_06_raw.fits",
        {"OBSID": "100000020", "DATE-OBS": "2021-05-25", "TIME-OBS": "22:00:00", "FILETYPE": "SCI"},
        {"GAIN1": 1.1, "RDNOISE1": 5.0},
        ("100000020", "2021-05-25T22:00:00.000", "SCI"),
    ),
    "C5": (
        "CSST_MSC_MS_SCI_20270810081950_20270810082220_100000100_06_L0_1.fits",
        {
            "OBSID": "100000100",
            "DATE-OBS": "2027-08-10T08:19:50",
            "FILETYPE": "SCI",
            "RA_OBJ": 60.0,
            "DEC_OBJ": -40.0,
            "FILTER": "y",
        },
        {"GAIN1": 1.1, "RDNOISE1": 5.0},
        ("100000100", "2027-08-10T08:19:50.000", "SCI"),
    ),
    "DOC": (
        "CSST_MSC_MS_SCI_20270810081950_20270810082220_100000100_06_L0_1.fits",
        {
            "OBSID": "100000100",
            "DATE-OBS": "2027-08-10T08:19:50.5",
            "OBSTYPE": "SCI",
            "OBJ_RA": 60.0,
            "OBJ_DEC": -40.0,
        },
        {"GAIN01": 1.1, "DETSIZE": "9560x9264", "DATASECT": "9216x9232", "DETTEMP1": 173.0},
        ("100000100", "2027-08-10T08:19:50.500", "SCI"),
    ),
    "2023-24": (
        "CSST_MSC_MS_SCIE_20290225043953_20290225044223_10100000000_06_L0_V01.fits",
        {
            "OBSID": "10100000000",
            "DATE-OBS": "2029-02-25T04:39:53",
            "FILETYPE": "SCIE",
            "OBJ_RA": 60.0,
            "OBJ_DEC": -40.0,
        },
        {f"GAIN{n:02d}": 1.1 for n in range(1, 17)},
        ("10100000000", "2029-02-25T04:39:53.000", "SCIE"),
    ),
    "W1": (
        "CSST_MSC_MS_WIDE_20280101000000_20280101000230_10100300001_06_L0_V01.fits",
        {
            "OBSID": "10100300001",
            "DATE-OBS": "2028-01-01T00:00:00",
            "RA_PNT0": 60.0,
            "DEC_PNT0": -40.0,
            "RA_OBJ": 61.0,
            "DEC_OBJ": -41.0,
        },
        {f"GAIN{n:02d}": 1.1 for n in range(1, 17)},
        ("10100300001", "2028-01-01T00:00:00.000", "WIDE"),
    ),
}


@pytest.fixture(params=ERAS)
def old_file(request, tmp_path: Path):
    name, primary, science, expected = ERAS[request.param]
    first = fits.PrimaryHDU()
    first.header.update({"TELESCOP": "CSST", "INSTRUME": "MSC", "EXPTIME": 150.0, **primary})
    second = fits.ImageHDU(np.full((16, 18), 1000, np.uint16), name="SCI")
    second.header.update({**OLD_WCS, **science})
    fits.HDUList([first, second]).writeto(tmp_path / name)
    return tmp_path / name, expected


def test_older_files_are_recognised_and_read(l0, old_file) -> None:
    path, (obs_id, time, file_type) = old_file
    header = read_header(l0, path)
    assert recognises(l0, path, header)
    assert validate_file(l0, path) == []
    image = read_products(l0, path).products[0]
    assert (image.meta.obs_id, image.meta.file_type) == (obs_id, file_type)
    assert plain_value(image.meta, "time") == time
    assert image.meta.detector == 6
    assert u.allclose(image.meta.gain, 1.1 * u.electron / u.adu)
    assert image.meta.exposure_time == 150 * u.s
    if image.meta.right_ascension is not None:
        assert (image.meta.right_ascension, image.meta.declination) == (60 * u.deg, -40 * u.deg)
    assert np.allclose(image.wcs.wcs.crval, [60, -40])
    assert np.all(image.data == 1000)


@pytest.mark.parametrize("file_type", ["BIAS", "DARK", "FLAT", "SCIE", "SCI", "WIDE"])
def test_every_kind_of_frame_is_recognised(l0, file_type) -> None:
    name = f"CSST_MSC_MS_{file_type}_20280101000000_20280101000230_10100300001_06_L0_V01.fits"
    fields = parse_name(l0, name)
    assert fields is not None
    assert fields["data_type"] == file_type


@pytest.mark.parametrize(
    "name",
    [
        "CSST_MSC_MS_CRS_20280101000000_20280101000230_10100300001_06_L0_V01.fits",  # truth
        "MSC_CRS_210525220000_100000020_06_raw.fits",
        "CSST_MSC_MS_SCIE_20280101000000_20280101000230_1010030000_06_L0_V01.fits",  # 10 digits
        "CSST_MSC_MS_SCIE_20280101000000_20280101000230_10100300001_06_L1_V01_IMG.fits",
        "CSST_CPIC_VIS_SCI_20280101000000_20280101000230_10100300001_06_L0_V01.fits",
    ],
)
def test_other_files_are_not(l0, name) -> None:
    assert parse_name(l0, name) is None


def test_the_reading_of_a_frame_without_required_keywords_names_them(l0, raw, tmp_path) -> None:
    path = write_product(l0, raw, Sources(), tmp_path)
    with fits.open(path, mode="update") as hdus:
        del hdus[0].header["OBSID"]
        hdus[0].header["EXPTIME"] = -1.0
    with pytest.raises(FileError, match=r"OBSID \(or OBS_ID\): missing.*EXPTIME: found -1"):
        read_products(l0, path)


def test_a_name_that_is_no_name_is_refused(l0, raw, tmp_path) -> None:
    import dataclasses

    for change in ({"file_type": "../x"}, {"obs_id": "1/2"}, {"end_time": None}):
        product = dataclasses.replace(raw, meta=dataclasses.replace(raw.meta, **change))
        with pytest.raises(FileError):
            write_product(l0, product, Sources(), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_meta_of_a_frame_without_gains_is_none(l0, raw, tmp_path) -> None:
    import dataclasses

    product = dataclasses.replace(raw, meta=dataclasses.replace(raw.meta, gain=None, filter=None))
    path = write_product(l0, product, Sources(), tmp_path)
    meta = read_meta(l0, read_header(l0, path))
    assert (meta.gain, meta.filter) == (None, None)
