"""Comparisons and fingerprints see every difference, and only differences."""

import copy
from dataclasses import replace

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.table import MaskedColumn, QTable
from astropy.time import Time
from astropy.wcs import WCS

from csstcore.api import Image, Meta, Onnx, Spectra, Table
from csstcore.testing.compare import assert_products_equal
from csstcore.testing.fingerprint import fingerprint


def image():
    wcs = WCS(naxis=2)
    wcs.wcs.crval = [10.0, 20.0]
    meta = Meta(obs_id="1", time=Time("2027-01-01", scale="utc"), gain=[1, 2] * u.electron / u.adu)
    data = np.arange(6, dtype=np.float32).reshape(2, 3)
    data[0, 0] = np.nan
    return Image(data, unit=u.electron, flags=np.zeros((2, 3), np.uint16), wcs=wcs, meta=meta)


def table():
    columns = {
        "x": [1.0, 2.0] * u.pixel,
        "name": ["a", "b"],
        "masked": MaskedColumn([1, 2], mask=[True, False]),
        "time": Time(["2027-01-01", "2027-01-02"]),
        "position": SkyCoord([1, 2] * u.deg, [3, 4] * u.deg),
    }
    return Table(QTable(columns))


def _set(path, value):
    """Return a function that changes one thing inside a product."""

    def change(product):
        exec(f"product.{path} = value", {"product": product, "value": value})  # noqa: S102
        return product

    return change


def _with(**fields):
    return lambda product: replace(product, **fields)


def _meta(**fields):
    return lambda product: replace(product, meta=replace(product.meta, **fields))


CHANGES = [
    (image, _set("data[1, 2]", 5.5), ".data: 1 of 6 values differ, first at (1, 2)"),
    (image, _set("data[0, 0]", 0.0), ".data: 1 of 6 values differ, first at (0, 0)"),
    (image, _set("flags[0, 1]", 1), ".flags: 1 of 6"),
    (image, _set("unit", u.adu), ".unit"),
    (image, _set("wcs.wcs.crval", [10.0, 20.1]), ".wcs: different headers"),
    (image, _with(wcs=None), ".wcs: WCS and NoneType"),
    (image, _set("data", np.arange(6.0).reshape(2, 3)), ".data: float32(2, 3) and float64(2, 3)"),
    (image, _set("flag_bits['bad']", 2), ".flag_bits['bad']: 1 and 2"),
    (image, _set("flag_bits['new']", 2), ".flag_bits: keys"),
    (image, _with(meta=Meta(obs_id="2")), ".meta.obs_id: '1' and '2'"),
    (image, _meta(gain=[1, 3] * u.electron / u.adu), ".meta.gain: 1 of 2"),
    (image, _meta(gain=[1, 2] * u.photon / u.adu), ".meta.gain: unit"),
    (image, _meta(time=Time("2027-01-02")), ".meta.time"),
    (table, _set("table['x'][0]", 1.5 * u.pixel), ".table['x']: 1 of 2"),
    (table, _set("table['name'][0]", "c"), ".table['name']: 1 of 2"),
    (table, _set("table['masked'].mask[1]", True), ".table['masked']: different masks"),
    (table, _set("table['new']", [1, 2]), ".table: columns"),
    (table, _set("table['time']", Time(["2027-01-01", "2027-01-03"])), ".table['time']"),
    (table, _set("table['position']", SkyCoord([1, 2] * u.deg, [3, 5] * u.deg)), "['position']"),
]


@pytest.mark.parametrize(("make", "change", "message"), CHANGES)
def test_every_difference_is_named_and_changes_the_fingerprint(make, change, message):
    changed = change(copy.deepcopy(make()))
    with pytest.raises(AssertionError) as caught:
        assert_products_equal(make(), changed)
    assert message in str(caught.value)
    assert fingerprint(make()) != fingerprint(changed)


@pytest.mark.parametrize("make", [image, table, lambda: Spectra(np.ones((1, 2)), [1, 2] * u.nm)])
def test_equal_products_are_equal(make):
    assert_products_equal(make(), make())
    assert_products_equal([make()], [make()])
    assert fingerprint(make()) == fingerprint(make())


def test_tolerances_hold_for_floating_point_values_only():
    changed = image()
    changed.data += 0.01
    assert_products_equal(image(), changed, atol=0.02)
    changed.flags += 1
    with pytest.raises(AssertionError, match="flags: 6 of 6"):
        assert_products_equal(image(), changed, atol=2)


def test_relative_tolerance():
    changed = image()
    changed.data *= 1.001
    assert_products_equal(changed, image(), rtol=0.002)
    with pytest.raises(AssertionError):
        assert_products_equal(changed, image(), rtol=0.0005)


def test_series_of_different_length_and_other_types_differ():
    with pytest.raises(AssertionError, match="product: 1 and 2 elements"):
        assert_products_equal([image()], [image(), image()])
    with pytest.raises(AssertionError, match="product: Image and Table"):
        assert_products_equal(image(), table())


def test_the_layout_in_memory_does_not_matter():
    turned = image()
    turned.data = np.asfortranarray(turned.data)
    assert fingerprint(turned) == fingerprint(image())


def test_objects_sets_and_paths_have_fingerprints(tmp_path):
    assert fingerprint({"a": {1, 2}, "b": b"x"}) == fingerprint({"a": {2, 1}, "b": b"x"})
    assert fingerprint(Onnx(tmp_path / "a")) != fingerprint(Onnx(tmp_path / "b"))
    objects = np.array(["a", 1], dtype=object)
    assert fingerprint(objects) != fingerprint(np.array(["a", 2], dtype=object))


def test_what_may_change_unnoticed_has_no_fingerprint():
    with pytest.raises(TypeError, match="cannot fingerprint"):
        fingerprint(object())
