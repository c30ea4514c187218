"""What is written is read back, satisfies its definition, and is good for other tools."""

from __future__ import annotations

from dataclasses import replace

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits

from csstcore.api import Cube, Image, Mask, Meta, Spectra
from csstcore.definitions.header import Header
from csstcore.definitions.read import merge_products, read_products
from csstcore.definitions.sources import Sources
from csstcore.definitions.validate import validate_file
from csstcore.definitions.write import write_product
from csstcore.errors import FileError


def test_an_image_comes_back(camera, image, tmp_path) -> None:
    path = write_product(camera, image, Sources(), tmp_path / "new")
    assert path.name == "CAM_10100000001_20270102030405_07.fits"
    assert validate_file(camera, path) == []
    back = read_products(camera, path).products[0]
    assert np.array_equal(back.data, image.data)
    assert back.unit == image.unit
    clean = image.flags == 0
    assert np.allclose(back.variance[clean], image.variance[clean], rtol=1e-6)
    assert np.all(np.isinf(back.variance[~clean]))
    assert back.meta.obs_id == image.meta.obs_id
    assert back.meta.time == image.meta.time
    assert u.allclose(back.meta.gain, image.meta.gain)
    for plane in (back.data, back.variance, back.flags):
        assert plane.dtype.isnative
        assert plane.flags.c_contiguous
        assert plane.flags.writeable
    sky = back.wcs.wcs_pix2world([[100.0, 200.0]], 1)
    assert np.array_equal(sky, image.wcs.wcs_pix2world([[100.0, 200.0]], 1))


def test_astropy_reads_the_file_and_its_checksums(camera, image, raw, raw_image, tmp_path) -> None:
    for definition, product in ((camera, image), (raw, raw_image)):
        path = write_product(definition, product, Sources(), tmp_path)
        with fits.open(path, checksum=True) as hdus:  # a wrong sum is a warning, here an error
            hdus.verify("exception")
            assert np.array_equal(hdus["SCI"].data, product.data)


def test_raw_frames_keep_every_value(raw, raw_image, tmp_path) -> None:
    path = write_product(raw, raw_image, Sources(), tmp_path)
    back = read_products(raw, path).products[0]
    assert back.data.dtype == np.uint16
    assert np.array_equal(back.data, raw_image.data)
    assert back.unit == u.adu


def test_a_large_plane_is_handled_in_blocks(raw, tmp_path) -> None:
    data = np.random.default_rng(1).integers(0, 65536, (701, 999)).astype(np.uint16)
    product = Image(data=data, unit=u.adu, meta=Meta(obs_id="7"))
    path = write_product(raw, product, Sources(), tmp_path)
    assert validate_file(raw, path) == []
    assert np.array_equal(read_products(raw, path).products[0].data, data)


def test_a_view_is_written_as_it_looks(camera, image, tmp_path) -> None:
    big = np.arange(140, dtype=np.float32).reshape(14, 10)
    view = big[::2, ::-2]
    product = replace(image, data=view, variance=None, flags=None)
    path = write_product(camera, product, Sources(), tmp_path)
    assert np.array_equal(read_products(camera, path).products[0].data, view)
    assert np.array_equal(big.ravel(), np.arange(140))


@pytest.mark.parametrize("mode", ["r", "c"])
def test_planes_mapped_from_a_file_are_written(camera, image, tmp_path, mode) -> None:
    source = tmp_path / "plane.npy"
    np.save(source, image.data)
    before = source.read_bytes()
    mapped = np.load(source, mmap_mode=mode)
    path = write_product(camera, replace(image, data=mapped), Sources(), tmp_path)
    assert validate_file(camera, path) == []
    assert np.array_equal(mapped, image.data)
    assert source.read_bytes() == before
    assert np.array_equal(read_products(camera, path).products[0].data, image.data)


def test_writing_leaves_the_product_unchanged(camera, image, tmp_path) -> None:
    before = [plane.tobytes() for plane in (image.data, image.variance, image.flags)]
    image.flag_bits = {"bad": 1, "cosmic_ray": 16}
    write_product(camera, image, Sources(), tmp_path)
    assert before == [plane.tobytes() for plane in (image.data, image.variance, image.flags)]


def test_gzip_is_read(camera, image, tmp_path) -> None:
    import gzip

    path = write_product(camera, image, Sources(), tmp_path)
    packed = tmp_path / (path.name + ".gz")
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert np.array_equal(read_products(camera, packed).products[0].data, image.data)


def test_flags_are_remapped_by_name(camera, image, tmp_path) -> None:
    image.flag_bits = {"cosmic_ray": 16, "bad": 1, "hot": 2}
    path = write_product(camera, image, Sources(), tmp_path)
    back = read_products(camera, path).products[0]
    assert back.flag_bits == {"bad": 1, "cosmic_ray": 4}
    for name in ("bad", "cosmic_ray"):
        assert np.array_equal(back.flagged(name), image.flagged(name))


@pytest.mark.parametrize("bits", [{"bad": 1, "ghost": 16}, {"bad": 1}])
def test_a_set_flag_the_file_cannot_name_is_an_error(camera, image, tmp_path, bits) -> None:
    image.flag_bits = bits
    with pytest.raises(FileError, match=r"HDU FLG: flag .* is set, but the file has only bad"):
        write_product(camera, image, Sources(), tmp_path)
    assert list(tmp_path.glob("*.fits*")) == []


FORMS = """
[definition]
name = "forms"
summary = ""
product = "Image"
[file]
name = "a.fits"
[[hdu]]
name = "PRIMARY"
plane = "data"
dtype = "float32"
unit = "electron / s"
[[hdu]]
name = "ERR"
plane = "variance"
dtype = "float32"
form = "FORM"
unit = "UNIT"
"""


@pytest.mark.parametrize(
    ("form", "unit", "stored"),
    [
        ("variance", "electron2 / s2", 4.0),
        ("inverse_variance", "s2 / electron2", 0.25),
        ("standard_deviation", "electron / s", 2.0),
    ],
)
def test_forms_of_variance(define, tmp_path, form, unit, stored) -> None:
    definition = define(FORMS.replace("FORM", form).replace("UNIT", unit))
    data = np.ones((2, 2), np.float32)
    per_second = Image(data=data, variance=4 * data, unit=u.electron / u.s)
    per_minute = Image(data=60 * data, variance=4 * 3600 * data, unit=u.electron / u.min)
    for product in (per_second, per_minute):
        path = write_product(definition, product, Sources(), tmp_path)
        with fits.open(path) as hdus:
            assert np.allclose(hdus["ERR"].data, stored)
        back = read_products(definition, path).products[0]
        assert np.allclose(back.variance, 4.0)
        assert np.allclose(back.data, 1.0)
        assert back.variance.dtype == np.float32


def test_zero_or_unknown_variance_has_no_weight(define, tmp_path) -> None:
    text = FORMS.replace("FORM", "inverse_variance").replace("UNIT", "s2 / electron2")
    variance = np.array([[0, np.inf], [np.nan, -1]], np.float32)
    image = Image(data=np.ones((2, 2), np.float32), variance=variance, unit=u.electron / u.s)
    path = write_product(define(text), image, Sources(), tmp_path)
    with fits.open(path) as hdus:
        assert np.all(hdus["ERR"].data == 0)


def test_a_series_is_one_file_split_along_its_first_axis(define, tmp_path) -> None:
    definition = define(
        "[definition]\nname='f'\nsummary=''\nproduct='Image'\n[file]\nname='a.fits'\n"
        "[[hdu]]\nname='PRIMARY'\n[[hdu]]\nname='IMAGE'\nplane='data'\ndtype='uint16'\n"
        "unit='adu'\nsplit='axis'\n"
        "[[hdu]]\nname='DQ'\nplane='flags'\ndtype='uint16'\nsplit='axis'\nrequired=false\n"
        "[flags]\nbad={value=1}\n"
    )
    rng = np.random.default_rng(0)
    frames = [
        Image(
            data=rng.integers(0, 65536, (3, 5)).astype(np.uint16),
            flags=rng.integers(0, 2, (3, 5)).astype(np.uint16),
            unit=u.adu,
            flag_bits={"bad": 1},
        )
        for _ in range(4)
    ]
    path = write_product(definition, frames, Sources(), tmp_path)
    assert validate_file(definition, path) == []  # 15 pixels of 2 bytes: frames begin mid-word
    back = read_products(definition, path).products
    assert [frame.meta.frame for frame in back] == [0, 1, 2, 3]
    for frame, other in zip(frames, back, strict=True):
        assert np.array_equal(frame.data, other.data)
        assert np.array_equal(frame.flags, other.flags)


def test_planes_of_one_product_in_several_files_are_merged(define, image, tmp_path) -> None:
    head = "[definition]\nname='{0}'\nsummary=''\nproduct='Image'\n[file]\nname='{0}.fits'\n"
    head += "[flags]\nbad={{value=1}}\ncosmic_ray={{value=16}}\n[[hdu]]\nname='PRIMARY'\n"
    img = define(head.format("img") + "[[hdu]]\nname='SCI'\nplane='data'\nunit='electron/s'")
    wht = define(head.format("wht") + "[[hdu]]\nname='SCI'\nplane='variance'")
    flg = define(head.format("flg") + "[[hdu]]\nname='SCI'\nplane='flags'")
    files = [
        read_products(one, write_product(one, image, Sources(), tmp_path))
        for one in (img, wht, flg)
    ]
    merged = merge_products(files)[0]
    assert np.array_equal(merged.data, image.data)
    assert np.array_equal(merged.variance, image.variance)
    assert np.array_equal(merged.flags, image.flags)
    assert merged.unit == image.unit
    with pytest.raises(FileError, match=r"wht\.fits: has no plane for Image\.data"):
        _ = files[1].products


def test_spectra_cubes_and_masks_come_back(define, tmp_path) -> None:
    head = "[definition]\nname='a'\nsummary=''\nproduct='{}'\n[file]\nname='a.fits'\n"
    head += "[[hdu]]\nname='PRIMARY'\n"
    spectra = define(
        head.format("Spectra")
        + "[[hdu]]\nname='FLUX'\nplane='flux'\ndtype='float32'\nunit='K'\n"
        + "[[hdu]]\nname='AXIS'\nplane='axis'\ndtype='float64'\nunit='Hz'\nquantity=true\n"
    )
    product = Spectra(np.ones((2, 9), np.float32), np.linspace(1, 2, 9) * u.GHz, u.mK)
    path = write_product(spectra, product, Sources(), tmp_path)
    back = read_products(spectra, path).products[0]
    assert u.allclose(back.axis, product.axis)
    assert back.axis.unit == u.Hz
    assert np.allclose(back.flux, 1e-3)
    cube = define(head.format("Cube") + "[[hdu]]\nname='FLUX'\nplane='data'\ndtype='float64'\n")
    data = np.arange(24.0).reshape(2, 3, 4)
    path = write_product(cube, Cube(data), Sources(), tmp_path)
    assert np.array_equal(read_products(cube, path).products[0].data, data)
    mask = define(head.format("Mask") + "[[hdu]]\nname='M'\nplane='mask'\ndtype='bool'\n")
    bits = np.eye(3, dtype=bool)
    path = write_product(mask, Mask(bits), Sources(), tmp_path)
    back = read_products(mask, path).products[0]
    assert back.mask.dtype == bool
    assert np.array_equal(back.mask, bits)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"unit": u.m}, r"HDU SCI: found the unit 'm', expected 'electron / s'"),
        ({"data": np.ones((5, 7), complex)}, "HDU SCI: found complex128, expected float32"),
        ({"meta": Meta(obs_id="10100000001")}, "field 'start' of the file name: no value from"),
    ],
)
def test_a_product_that_does_not_fit_leaves_no_file(
    camera, image, tmp_path, change, message
) -> None:
    folder = tmp_path / "out"
    with pytest.raises(FileError, match=message):
        write_product(camera, replace(image, **change), Sources(), folder)
    assert not folder.exists() or list(folder.iterdir()) == []


def test_a_required_keyword_without_value_is_an_error(camera, image, tmp_path) -> None:
    product = replace(image, meta=replace(image.meta, exposure_time=None))
    with pytest.raises(FileError, match=r"keyword EXPTIME: no value from meta\.exposure_time"):
        write_product(camera, product, Sources(), tmp_path)


def test_a_value_that_is_not_allowed_is_an_error(camera, image, tmp_path) -> None:
    header = Header(tmp_path / "x", {"MODE": "MEDIUM"})
    with pytest.raises(FileError, match="keyword MODE: found 'MEDIUM', expected one of FAST"):
        write_product(camera, image, Sources(headers={"image": header}), tmp_path)


def test_failing_in_the_middle_leaves_the_old_file(camera, image, tmp_path, monkeypatch) -> None:
    path = write_product(camera, image, Sources(), tmp_path)
    old = path.read_bytes()

    def broken(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("csstcore.definitions.write.os.fsync", broken)
    with pytest.raises(FileError, match="cannot be written: No space left on device"):
        write_product(camera, image, Sources(), tmp_path)
    assert [entry for entry in tmp_path.iterdir() if entry.suffix != ".toml"] == [path]
    assert path.read_bytes() == old
