import io

import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable

from csst_calib import checks, figures
from csstcore.api import Table, replace


@pytest.fixture
def image(make_image, rng, readout):
    plane = rng.normal(12.0, 3.0, readout.shape)
    image = make_image(plane)
    hit = np.zeros(readout.shape, np.bool_)
    hit[:19] = True
    image.data[hit] = 9e4
    image.set_flag("cosmic_ray", hit)
    return replace(image, variance=np.full(readout.shape, 9.0, np.float32))


def test_checks_measure_the_unflagged_pixels(image) -> None:
    assert checks.level(image) == pytest.approx(12.0, abs=0.3)
    assert checks.scatter(image) == pytest.approx(3.0, rel=0.1)
    assert checks.error_ratio(image) == pytest.approx(1.0, rel=0.1)
    assert checks.flagged_fraction(image) == checks.cosmic_ray_fraction(image) == 19 / 192
    assert checks.saturated_fraction(image) == 0.0


def test_checks_of_a_wholly_flagged_image_are_not_numbers(image, readout) -> None:
    image.set_flag("bad", np.ones(readout.shape, np.bool_))
    assert np.isnan(checks.level(image))
    assert np.isnan(checks.scatter(image))


def test_checks_of_an_image_without_flags(make_image) -> None:
    image = make_image(4.0)
    assert checks.flagged_fraction(image) == checks.cosmic_ray_fraction(image) == 0.0
    assert np.isnan(checks.error_ratio(image))


@pytest.mark.parametrize("name", ["image_with_flags", "histogram"])
@pytest.mark.parametrize("planes", ["all", "data only", "all flagged"])
def test_figures_are_drawn(image, name, planes, readout) -> None:
    if planes == "data only":
        image = replace(image, flags=None, variance=None)
    if planes == "all flagged":
        image.set_flag("bad", np.ones(readout.shape, np.bool_))
    picture = io.BytesIO()
    getattr(figures, name)(image).savefig(picture, format="png", dpi=40)
    assert picture.getvalue().startswith(b"\x89PNG")


def test_flag_picture_shows_the_flagged_fraction(image) -> None:
    shown = figures._flagged(image, 19)
    assert np.all(shown[0] == 1.0)
    assert np.all(shown[1:] == 0.0)


def test_gain_figure_shows_every_channel() -> None:
    table = QTable({"channel": np.arange(1, 9)})
    for name, unit in (("gain", u.electron / u.adu), ("read_noise", u.electron)):
        table[name] = np.ones(8) * unit
        table[f"{name}_error"] = np.full(8, 0.1) * unit
    left, right = figures.gains(Table(table)).axes
    assert left.get_ylabel() == "gain (electron / adu)"
    assert len(right.lines[0].get_xdata()) == 8
