"""Photon transfer curves, gain images and masks are written and read back; their checks."""

import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable

from csst_calib import checks, checks_of_channels, plugin
from csst_calib.figures_ptc import nonlinearity_curves
from csst_calib.stages.gain_image import draw_gain_image
from csst_calib.stages.measure_ptc import measure_ptc
from csstcore.api import Image, Table, UnprocessableData
from csstcore.definitions.catalog import Definitions
from csstcore.definitions.read import read_products
from csstcore.definitions.sources import Sources
from csstcore.definitions.write import write_product
from csstcore.plugins.registry import Registry

GAIN_UNIT = u.electron / u.adu


@pytest.fixture
def written(tmp_path):
    """Write a product by a definition and read it back."""
    definitions = Definitions(Registry.of({"calib": plugin}))

    def write(name: str, product):
        definition = definitions.get(f"calib.{name}")
        path = write_product(definition, product, Sources(), tmp_path)
        return read_products(definition, path).products[0]

    return write


@pytest.fixture
def ptc(make_image, rng, readout):
    flats = []
    for level in np.repeat([2e3, 1e4, 3e4], 2):
        light = rng.poisson(level, readout.shape) / 1.1
        flats.append(make_image(light, u.adu, level / 1e3))
    biases = [make_image(rng.normal(0, 5, readout.shape), u.adu, 0.0) for _ in range(2)]
    return measure_ptc(flats, biases, readout, max_lag=2)


def test_photon_transfer_curve_comes_back_as_written(ptc, written) -> None:
    found = written("ptc", ptc[0])
    for before, after in ((ptc[0].levels, found.levels), (ptc[0].fit, found.fit)):
        assert set(before.colnames) == set(after.colnames)
        for name in before.colnames:
            assert np.array_equal(before[name], after[name], equal_nan=True), name
    assert written("gain", ptc[1]).table["gain"].unit == GAIN_UNIT


def test_gain_image_comes_back_as_written(ptc, readout, written) -> None:
    image = draw_gain_image(ptc[1], readout)
    found = written("gain_image", image)
    assert np.array_equal(found.data, image.data)
    assert found.unit == GAIN_UNIT


def test_gain_of_another_readout_is_refused(ptc, readout) -> None:
    with pytest.raises(UnprocessableData, match="has 3 rows; expected 8"):
        draw_gain_image(Table(ptc[1].table[:3]), readout)


def test_mask_comes_back_as_written(make_image, readout, written) -> None:
    rules = np.zeros(readout.shape, np.uint8)
    rules[3, 4] = 5
    mask = Image(rules, meta=make_image().meta)
    mask.set_flag("bad", rules != 0)
    found = written("bad_pixels", mask)
    assert np.array_equal(found.data, rules)
    assert np.array_equal(found.flags, mask.flags)
    assert checks.bad_fraction(found) == 1 / rules.size


def test_checks_take_the_worst_channel(ptc) -> None:
    fit, gain = ptc[0].fit, ptc[1].table
    assert checks_of_channels.largest_chi_square(ptc[0]) == fit["chi_square"].max()
    assert checks_of_channels.smallest_full_well(ptc[0]) == fit["full_well"].value.min()
    assert checks_of_channels.largest_read_noise(ptc[1]) == gain["read_noise"].value.max()
    relative = (gain["gain_error"] / gain["gain"]).max()
    assert checks_of_channels.largest_gain_error(ptc[1]) == relative


def test_nonlinearity_is_drawn() -> None:
    table = QTable({"coefficient": np.full((2, 2), 1e-7), "residual": [1e-4, 3e-4]})
    table["largest_signal"] = [6e4, 7e4] * u.electron
    assert checks_of_channels.largest_residual(Table(table)) == 3e-4
    (axes,) = nonlinearity_curves(Table(table)).axes
    assert len(axes.lines) == 2
