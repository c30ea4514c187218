"""Level 1: documented keywords, fills and columns; values from the run."""

from __future__ import annotations

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable
from astropy.wcs import WCS

from csstcore.api import Table
from csstcore.definitions.checks import CheckResult
from csstcore.definitions.header import read_header
from csstcore.definitions.names import parse_name
from csstcore.definitions.read import merge_products, read_products
from csstcore.definitions.sources import Sources
from csstcore.definitions.validate import validate_file
from csstcore.definitions.write import write_product

RUN = Sources(
    statuses={
        "to_rate": "done",
        "subtract_bias": "done",
        "subtract_dark": "done with caveats",
        "divide_flat": "failed",
        "solve_position": "skipped",
    },
    times={"to_rate": "2028-01-02T00:00:00"},
    references={"bias": "MSC_06_bias.fits"},
    metrics={
        "sky_background": 0.0638,
        "cosmic_ray_pixels": 210000,
        "rms_right_ascension_mas": 2.5,
        "offset_right_ascension_arcsec": 0.5,
    },
    checks={
        "zero_fraction": CheckResult("zero_fraction", "msc.zero_fraction", 0.0, None, 0.5, True),
        "raw_level": CheckResult("raw_level", "msc.raw_level", 9e4, 100, 6e4, False),
    },
    record={"run": "r1", "date": "2028-01-02T00:01:00"},
    versions={"csst-calib": "0.1.0"},
)

DOCUMENTED_FILLS = {
    "STA_CTE": 1,
    "STA_CRS": 1,
    "STA_NLIN": 1,
    "STA_SHUT": 1,
    "STA_SAT": 1,
    "STA_POSI": 1,
    "STA_FLUX": 1,
    "SKY_RMS": -9999,
    "SATURATE": -9999,
    "NS_DIST": -9999,
    "ZP": -9999,
    "MAG_LIM": -9999,
    "REF_FLUX": "N/A",
    "STA_QC1": -1,
    "Q_CHKSUM": 1,
    "Q_SHUTTR": 1,
    "Q_FOCUS": -1,
}
FROM_THE_RUN = {
    "STA_INST": 0,
    "STA_BIAS": 0,
    "STA_DARK": 0,
    "STA_FLAT": 1,
    "VER_INST": "0.1.0",
    "STM_INST": "2028-01-02T00:00:00",
    "STM_POSI": "2028-01-02T00:01:00",
    "SKY_BKG": 0.0638,
    "CRCOUNT": 210000,
    "RA_RMS": 2.5,
    "RA_OFF": 500.0,
    "ASTRRMS1": 2.5 / 3.6e6,
    "R_BIAS": "MSC_06_bias.fits",
    "Q_DTDEAD": 0,
    "Q_BRIBKG": 1,
    "STA_QC0": 1,
}


@pytest.fixture
def files(definitions, calibrated, tmp_path):
    names = ("msc.l1_image", "msc.l1_weight", "msc.l1_flags")
    return {name: write_product(definitions.get(name), calibrated, RUN, tmp_path) for name in names}


def test_three_files_hold_one_image(definitions, files, calibrated) -> None:
    for name, suffix in (("image", "IMG"), ("weight", "WHT"), ("flags", "FLG")):
        path = files[f"msc.l1_{name}"]
        assert path.name.endswith(f"_10100300001_06_L1_V01_{suffix}.fits")
        assert validate_file(definitions.get(f"msc.l1_{name}"), path) == []
    parts = [read_products(definitions.get(name), path) for name, path in files.items()]
    image = merge_products(parts)[0]
    clean = calibrated.flags == 0
    assert np.array_equal(image.data, calibrated.data)
    assert np.array_equal(image.flags, calibrated.flags)
    assert np.allclose(image.variance[clean], calibrated.variance[clean], rtol=1e-6)
    assert image.unit == u.electron / u.s
    assert image.meta.level == 1


def test_the_weight_is_zero_where_any_flag_is_set(files, calibrated) -> None:
    weight = fits.getdata(files["msc.l1_weight"], 1)
    assert np.array_equal(weight == 0, calibrated.flags != 0)
    assert np.allclose(weight[calibrated.flags == 0], 1 / 0.0016)


def test_keywords_have_documented_fills_and_the_values_of_the_run(files) -> None:
    header = fits.getheader(files["msc.l1_image"], 1)
    for keyword, value in DOCUMENTED_FILLS.items():
        assert header[keyword] == value, keyword
    for keyword, value in FROM_THE_RUN.items():
        found = header[keyword]
        assert found == pytest.approx(value) if isinstance(value, float) else found == value, (
            keyword
        )
    text = str(header["COMMENT"])
    for section in ("INST", "DIST", "POSI", "FLUX", "QC0", "QC1"):
        assert f"{section}: " in text


def test_other_tools_find_the_same_sky(files, calibrated) -> None:
    header = fits.getheader(files["msc.l1_image"], 1)
    pixels = [[1.0, 1.0], [9216.0, 9232.0]]
    assert np.allclose(
        WCS(header).all_pix2world(pixels, 1), calibrated.wcs.all_pix2world(pixels, 1), atol=1e-11
    )
    assert header["CTYPE1"] == "RA---TAN"
    assert "PV1_0" not in header


def test_a_distortion_is_written_as_tpv(definitions, calibrated, tmp_path) -> None:
    header = calibrated.wcs.to_header()
    header["CTYPE1"], header["CTYPE2"] = "RA---TPV", "DEC--TPV"
    for axis in (1, 2):
        header[f"PV{axis}_1"] = 1.0001
        header[f"PV{axis}_4"] = 2.5e-4
    calibrated.wcs = WCS(header)
    definition = definitions.get("msc.l1_image")
    path = write_product(definition, calibrated, Sources(), tmp_path)
    written = fits.getheader(path, 1)
    assert written["CTYPE1"] == "RA---TPV"
    assert [written[f"PV1_{n}"] for n in range(7)] == [0, 1.0001, 0, 0, 2.5e-4, 0, 0]
    back = read_products(definition, path).products[0].wcs
    pixels = [[1.0, 1.0], [9216.0, 9232.0]]
    assert np.allclose(
        back.all_pix2world(pixels, 1), calibrated.wcs.all_pix2world(pixels, 1), atol=1e-10
    )


def test_the_error_of_a_solution_is_kept(definitions, calibrated, tmp_path) -> None:
    calibrated.wcs.wcs.crder = [1e-6, 2e-6]
    definition = definitions.get("msc.l1_image")
    path = write_product(definition, calibrated, Sources(), tmp_path)
    back = read_products(definition, path).products[0].wcs
    assert list(back.wcs.crder) == [1e-6, 2e-6]


def test_a_documented_failure_header_is_no_distortion(definitions, files, calibrated) -> None:
    path = files["msc.l1_image"]
    with fits.open(path, mode="update") as hdus:
        for axis in (1, 2):
            for term in range(7):
                hdus[1].header[f"PV{axis}_{term}"] = -9999.0
    back = read_products(definitions.get("msc.l1_image"), path).products[0].wcs
    assert np.allclose(
        back.wcs_pix2world([[1.0, 1.0]], 1), calibrated.wcs.wcs_pix2world([[1, 1]], 1)
    )


OLD_SPELLINGS = {
    "L1STATBI": ("STA_BIAS", 0),
    "HASCR": ("STA_CRS", 0),
    "L1SKY": ("SKY_BKG", 0.1),
    "SKYRMS": ("SKY_RMS", 10.0),
    "INST_V": ("VER_INST", "0.0.1"),
    "WCS_S": ("STA_POSI", 0),
    "WCS_V": ("VER_POSI", "2.0.4"),
    "FLUX_S": ("STA_FLUX", 0),
    "CALI_REF": ("REF_FLUX", "GAIA_DR3"),
    "CCDZP": ("ZP", 23.8435),
    "CCDPHRMS": ("ZPRMS", 0.0101),
    "RAOFF": ("RA_OFF", 1.0),
    "CCDNSTAR": ("NS_FLUX", 49),
    "NMATCH": ("NS_MATCH", 25),
    "MLIM": ("MAG_LIM", 21.83),
    "DEAD_CCD": ("Q_DTDEAD", 0),
    "STRLIGHT": ("Q_BRIBKG", 0),
}


def test_older_headers_are_read_by_the_newest_names(definitions, tmp_path) -> None:
    first = fits.PrimaryHDU()
    first.header.update({"INSTRUME": "MSC", "OBSID": "100000100", "EXPTIME": 150.0})
    second = fits.ImageHDU(np.zeros((4, 5), np.float32), name="img")
    second.header.update({old: value for old, (_, value) in OLD_SPELLINGS.items()})
    path = tmp_path / "CSST_MSC_MS_SCI_20270810081950_20270810082220_100000100_06_img_L1_1.fits"
    fits.HDUList([first, second]).writeto(path)
    definition = definitions.get("msc.l1_image")
    assert validate_file(definition, path) == []
    header = read_header(definition, path)
    assert {new: header[new] for new, _ in OLD_SPELLINGS.values()} == dict(OLD_SPELLINGS.values())


@pytest.mark.parametrize(
    ("definition", "name"),
    [
        ("image", "MSC_MS_210525220000_100000020_06_img.fits"),
        ("image", "MSC_MS_210525220000_100000020_06_img_L1.fits"),
        ("weight", "MSC_MS_210525220000_100000020_06_wht_L1.fits"),
        ("flags", "CSST_MSC_MS_SCI_20270810081950_20270810082220_100000100_06_flg_L1_1.fits"),
        ("catalog", "MSC_MS_210525220000_100000020_06_cat.fits"),
        (
            "catalog",
            "CSST_MSC_MS_SCIE_20240821005429_20240821005659_10160000004_12_L1_V01_CAT.fits",
        ),
        ("image", "CSST_MSC_MS_WIDE_20280101000000_20280101000230_10100300001_06_L1_V01_img.fits"),
    ],
)
def test_older_names_are_recognised(definitions, definition, name) -> None:
    assert parse_name(definitions.get(f"msc.l1_{definition}"), name) is not None


def sources() -> QTable:
    n = 3
    table = QTable({"id": np.arange(1, n + 1)})
    for name in ("x", "y", "x_error", "y_error", "a", "b", "a_error", "b_error", "fwhm"):
        table[name] = np.linspace(2, 3, n) * u.pixel
    table["theta"] = np.linspace(-90, 90, n) * u.deg
    table["ra"], table["dec"] = [1.0, np.nan, 3.0] * u.deg, [-1.0, -2.0, -3.0] * u.deg
    table["flux_aperture"] = np.arange(12.0 * n).reshape(n, 12) * u.electron / u.s
    table["light_radius"] = np.arange(3.0 * n).reshape(n, 3) * u.pixel
    table["flags"] = np.array([0, 2, 4], np.int32)
    return table


def test_the_catalogue_has_the_documented_columns(definitions, meta, tmp_path) -> None:
    definition = definitions.get("msc.l1_catalog")
    path = write_product(definition, Table(sources(), meta=meta), RUN, tmp_path)
    assert path.name.endswith("_L1_V01_CAT.fits")
    assert validate_file(definition, path) == []
    with fits.open(path, checksum=True) as hdus:
        data = hdus[1].data
        assert list(data["OBSID"]) == ["10100300001"] * 3
        assert list(data["CCDNO"]) == [6] * 3
        assert list(data["Filter"]) == ["y"] * 3
        assert list(data["Flux_Aper12"]) == [11.0, 23.0, 35.0]
        assert list(data["R90"]) == [2.0, 5.0, 8.0]
        assert list(data["RA"]) == [1.0, -1.0, 3.0]  # not a number: the documented fill
        assert np.all(data["Mag_Kron"] == -1)  # no stage gave it
        assert (data["X"].dtype.itemsize, data["XErr"].dtype.itemsize) == (4, 8)
        assert "Flux_Bulge" not in data.names
        assert hdus[0].header["APERSIZE"].startswith("3,4,5,6,8,10")
    table = read_products(definition, path).products[0].table
    assert np.array_equal(table["flux_aperture"].value, sources()["flux_aperture"].value)
    assert table["x"].unit == u.pixel
