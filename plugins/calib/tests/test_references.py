"""References are written, recognised and read back by their definitions."""

import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable

from csst_calib import plugin
from csst_calib.traps import TrapModel
from csstcore.api import Table, replace
from csstcore.definitions.catalog import Definitions
from csstcore.definitions.read import read_products
from csstcore.definitions.sources import Sources
from csstcore.definitions.write import write_product
from csstcore.plugins.registry import Registry


@pytest.fixture
def definitions() -> Definitions:
    return Definitions(Registry.of({"calib": plugin}))


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("bias", u.electron),
        ("dark", u.electron / u.s),
        ("flat", u.dimensionless_unscaled),
        ("shutter", u.s),
    ],
)
def test_image_reference_comes_back_as_written(definitions, make_image, rng, name, unit, tmp_path):
    image = make_image(0.0, unit, filter="r")
    image.data[:] = rng.normal(1.0, 0.1, image.shape)
    image = replace(image, variance=np.square(image.data))
    image.set_flag("hot", image.data > 1.2)
    definition = definitions.get(f"calib.{name}")
    path = write_product(definition, image, Sources(metrics={"combined_frames": 9}), tmp_path)
    assert path.name == f"TEST_7_{name}_20270810081950.fits"
    found = read_products(definition, path)
    product = found.products[0]
    assert np.array_equal(product.data, image.data)
    np.testing.assert_allclose(product.variance, image.variance, rtol=1e-6)
    assert np.array_equal(product.flags, image.flags)
    assert product.unit == unit
    assert product.meta.instrument == "TEST"
    assert product.meta.time == image.meta.time
    if name == "dark":
        assert product.meta.exposure_time == 100.0 * u.s


def test_gain_reference_comes_back_as_written(definitions, make_image, tmp_path) -> None:
    table = QTable({"channel": np.arange(1, 9, dtype=np.int32)})
    for name, unit in (("gain", u.electron / u.adu), ("read_noise", u.electron)):
        table[name] = np.linspace(1, 2, 8) * unit
        table[f"{name}_error"] = np.full(8, 0.1) * unit
    definition = definitions.get("calib.gain")
    path = write_product(definition, Table(table, make_image().meta), Sources(), tmp_path)
    found = read_products(definition, path).products[0].table
    for name in table.colnames:
        assert np.all(found[name] == table[name])


def test_nonlinearity_reference_comes_back_as_written(definitions, make_image, tmp_path) -> None:
    table = QTable({"channel": np.arange(1, 9, dtype=np.int32)})
    table["coefficient"] = np.arange(16.0).reshape(8, 2) * 1e-7
    table["largest_signal"] = np.full(8, 8e4) * u.electron
    table["residual"] = np.zeros(8)
    definition = definitions.get("calib.nonlinearity")
    path = write_product(definition, Table(table, make_image().meta), Sources(), tmp_path)
    found = read_products(definition, path).products[0].table
    assert np.array_equal(found["coefficient"], table["coefficient"])


def test_trap_reference_comes_back_as_written(definitions, make_image, readout, tmp_path) -> None:
    table = QTable({"channel": np.arange(1, 9, dtype=np.int32)})
    for direction in ("parallel", "serial"):
        for name, unit, columns in (
            ("density", u.electron, 2),
            ("density_error", u.electron, 2),
            ("release", u.pixel, 2),
            ("trail", u.electron, 16),
            ("trail_error", u.electron, 16),
            ("trail_fit", u.electron, 16),
        ):
            values = np.linspace(0.5, 1.0, 8 * columns, dtype=np.float32).reshape(8, columns)
            table[f"{direction}_{name}"] = values * unit
        table[f"{direction}_exponent"] = np.full(8, 0.5)
        table[f"{direction}_exponent_error"] = np.full(8, 0.01)
    definition = definitions.get("calib.cti")
    path = write_product(definition, Table(table, make_image().meta), Sources(), tmp_path)
    found = read_products(definition, path).products[0]
    for name in table.colnames:
        assert np.all(found.table[name] == table[name])
    assert np.all(
        TrapModel.of(found, readout).serial[3].density == table["serial_density"][3].value
    )


@pytest.mark.parametrize(("given", "found"), [(7, 7), ("SITE", "SITE"), ("07", "07")])
def test_detector_comes_back_as_number_or_name(
    definitions, make_image, given, found, tmp_path
) -> None:
    definition = definitions.get("calib.bias")
    image = make_image(detector=given)
    image = replace(image, variance=image.data.copy())
    image.set_flag("bad", image.data > 0)
    path = write_product(definition, image, Sources(), tmp_path)
    assert read_products(definition, path).products[0].meta.detector == found
