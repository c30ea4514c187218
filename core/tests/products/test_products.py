"""Products refuse planes that do not fit, and open zero-copy ways to the ecosystem."""

from collections.abc import Callable
from typing import Any

import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable
from astropy.time import Time

from csstcore.api import Cube, Image, Meta, Spectra, Table, TimeTable, replace
from csstcore.products.meta import META_FIELDS, META_TIMES, META_UNITS, plain_value


def plane(*shape: int) -> np.ndarray[Any, Any]:
    return np.zeros(shape, np.float32)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Image(plane(2)), "Image.data has shape (2,); expected two dimensions"),
        (lambda: Image(plane(2, 3), variance=plane(3, 2)), "Image.variance has shape (3, 2)"),
        (lambda: Image(plane(2, 3), flags=np.zeros((1, 1), np.uint16)), "Image.flags has shape"),
        (lambda: Spectra(plane(3), np.arange(3) * u.Hz), "Spectra.flux has shape (3,)"),
        (lambda: Spectra(plane(2, 3), np.arange(2) * u.Hz), "Spectra.axis has shape (2,)"),
        (
            lambda: Spectra(plane(2, 3), np.arange(3) * u.Hz, variance=plane(1, 3)),
            "Spectra.variance has shape (1, 3)",
        ),
        (
            lambda: Spectra(plane(2, 3), np.arange(3) * u.Hz, rows=QTable({"a": [1]})),
            "Spectra.rows has 1 rows; expected 2",
        ),
        (lambda: Cube(plane(2, 3)), "Cube.data has shape (2, 3); expected three dimensions"),
        (lambda: Cube(plane(1, 2, 3), variance=plane(2, 3, 1)), "Cube.variance has shape"),
        (lambda: TimeTable(QTable({"a": [1]})), "needs a column 'time'; found a"),
        (lambda: TimeTable(QTable()), "needs a column 'time'; found no columns"),
        (lambda: TimeTable(QTable({"time": Time([2, 1], format="mjd")})), "ascending"),
        (lambda: TimeTable(QTable({"time": [1.0, np.nan]})), "finite"),
    ],
)
def test_planes_that_do_not_fit_are_refused(make: Callable[[], Any], told: str) -> None:
    with pytest.raises(ValueError, match=r"expected|needs|must") as raised:
        make()
    assert told in str(raised.value)


def test_flags_are_set_and_asked_by_name() -> None:
    image = Image(plane(2, 2))
    assert not image.flagged("hot").any()
    first = np.array([[True, False], [False, False]])
    image.set_flag("hot", first)
    image.set_flag("cosmic_ray", ~first)
    assert image.flags is not None
    assert image.flags.tolist() == [[2, 16], [16, 16]]
    assert image.flagged("hot").tolist() == first.tolist()
    assert image.flagged().all()
    assert image.flagged("hot", "cosmic_ray").all()
    with pytest.raises(ValueError, match="no flag is called 'cosmic'; this image has bad, hot"):
        image.set_flag("cosmic", first)


def test_ccddata_shares_the_planes() -> None:
    image = Image(plane(2, 3), u.electron, variance=plane(2, 3), flags=np.ones((2, 3), np.uint16))
    ccd = image.to_ccddata()
    assert np.shares_memory(ccd.data, image.data)
    assert ccd.uncertainty is not None
    assert np.shares_memory(ccd.uncertainty.array, image.variance)
    assert ccd.unit == u.electron
    assert ccd.mask.all()
    assert Image(plane(2, 2)).to_ccddata().uncertainty is None


@pytest.mark.parametrize("individual", [False, True])
def test_a_spectrum_shares_its_values(individual: bool) -> None:
    axis = np.arange(1.0, 4.0) * u.Hz
    if individual:
        axis = np.stack([axis, 2 * axis])
    spectra = Spectra(
        plane(2, 3), axis, u.K, variance=plane(2, 3), flags=np.zeros((2, 3), np.uint16)
    )
    spectrum = spectra.to_spectrum(1)
    assert np.shares_memory(spectrum.flux.value, spectra.flux)
    assert spectrum.spectral_axis[0].to_value(u.Hz) == (2 if individual else 1)
    assert spectrum.unit == u.K
    assert np.shares_memory(spectrum.uncertainty.array, spectra.variance)
    assert len(spectra) == 2


def test_replace_shares_planes() -> None:
    image = Image(plane(2, 2))
    other = replace(image, meta=Meta(filter="g"))
    assert other.data is image.data
    assert image.meta.filter is None


def test_a_table_counts_its_rows() -> None:
    assert len(Table(QTable({"a": [1, 2, 3]}))) == 3
    times = Time([60000.0, 60000.0, 60001.0], format="mjd")
    assert len(TimeTable(QTable({"time": times}))) == 3


def test_every_field_of_meta_has_a_plain_value() -> None:
    values: dict[str, Any] = {name: 3.0 * unit for name, unit in META_UNITS.items()}
    values |= dict.fromkeys(META_TIMES, Time("2027-08-01T00:00:00"))
    values |= {"gain": [1.0, 2.0] * META_UNITS["gain"], "detector": 6, "filter": "g"}
    meta = Meta(**values)
    plain = {name: plain_value(meta, name) for name in META_FIELDS}
    assert plain["gain"] == [1.0, 2.0]
    assert plain["exposure_time"] == 3.0
    assert plain["time"] == "2027-08-01T00:00:00.000"
    assert (plain["detector"], plain["filter"], plain["object"]) == (6, "g", None)
