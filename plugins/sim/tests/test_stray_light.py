"""Satellites, ghosts and scattered light, each against its formula."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from csst_sim.direct import Simulation, shipped
from csst_sim.effects.satellite_trails import Trail, add_trail
from csst_sim.effects.stray_light import add_disc, add_halo
from csst_sim.settings import StrayLight
from csst_sim.stages.stray_light import draw_trail

MakeFrame = Callable[..., Simulation]
TRAIL = Trail(200.0, 150.0, 0.5, 0.0, 30.0, 1.0, 0.0, 0.0, 1000.0, 0.0, -1e5, 1e5)


def drawn(**changes: float) -> NDArray[np.float32]:
    image = np.zeros((300, 400), np.float32)
    add_trail(image, replace(TRAIL, **changes))
    return image


@pytest.mark.parametrize("angle", [0.0, 0.5, np.pi / 2, 2.0, 3.0])
@pytest.mark.parametrize("disc", [0.0, 12.0])
def test_a_trail_has_its_light_per_pixel_of_length(angle: float, disc: float) -> None:
    image = drawn(angle=angle, disc_pixel=disc, start=-80.0, end=80.0)
    assert image.sum() == pytest.approx(30.0 * 160.0, rel=0.01)


@pytest.mark.parametrize("angle", [0.4, 1.3, 2.5])
def test_a_bent_trail_deviates_by_a_square(angle: float) -> None:
    image = drawn(angle=angle, bend=400.0).astype(float)
    y, x = np.mgrid[:300, :400]
    ux, uy = np.cos(angle), np.sin(angle)
    along = (x - 200) * ux + (y - 150) * uy
    across = (x - 200) * uy - (y - 150) * ux
    for place in (0.0, 100.0):
        near = np.abs(along - place) < 2
        middle = (image * across)[near].sum() / image[near].sum()
        assert middle == pytest.approx(-400e-6 * place**2, abs=0.1)


def test_a_tumbling_body_varies_along_its_trail() -> None:
    image = drawn(angle=0.0, tumbling=0.8, period_pixel=100.0)
    column = image.sum(axis=0)
    assert column[200] == pytest.approx(30.0 * 1.8, rel=0.01)
    assert column[250] == pytest.approx(30.0 * 0.2, rel=0.01)


def test_a_ghost_holds_its_light_and_a_halo_falls_by_its_law() -> None:
    image = np.zeros((300, 300), np.float32)
    add_disc(image, 150.0, 150.0, 60.0, 20.0, 2.0)
    assert image.sum() == pytest.approx(2.0 * np.pi * (60**2 - 20**2), rel=0.005)
    assert image[150, 150] == 0
    assert image[150, 190] == 2
    image[:] = 0
    add_halo(image, 150.0, 150.0, 10.0, 3.0, 5.0)
    assert image[150, 150] == 5
    assert image[150, 250] == pytest.approx(5.0 * 101.0**-1.5, rel=1e-3)


def test_it_is_off_unless_the_plan_asks(make_frame: MakeFrame) -> None:
    frame = make_frame(only=("stars", "sky"))
    assert frame.trails is None
    assert frame.stray_light is None


def test_a_plan_can_switch_it_on_and_gets_the_truth(make_frame: MakeFrame) -> None:
    sky = {"stars_per_arcmin2": 200.0, "star_g_mag": (10.0, 20.0)}
    plain = make_frame(only=("stars", "sky"), sky=sky)
    names = ("stars", "sky", "ghosts", "scattered_light", "satellite_trails")
    frame = make_frame(only=names, sky=sky)
    assert frame.trails is not None
    assert frame.stray_light is not None
    table = frame.stray_light.table
    assert set(table["kind"]) == {"ghost", "halo"}
    star = table[(table["kind"] == "ghost")]
    part = star["brightness"] * np.pi * (star["radius"] ** 2 - star["inner_radius"] ** 2)
    fraction = (part.value / star["flux"].value).round(9)
    assert len(set(fraction)) == 2
    assert np.all((fraction > 8e-4) & (fraction < 1.6e-3))
    more = frame.raw.data.astype(float).sum() - plain.raw.data.astype(float).sum()
    assert more > 0


def test_satellites_are_as_numerous_and_bright_as_told() -> None:
    numbers = shipped("msc_stray_light.toml", StrayLight).trails
    rng = np.random.default_rng(2)
    trails = [draw_trail(numbers, (900, 900), rng) for _ in range(2000)]
    brightness = np.log([trail.electron_per_pixel for trail in trails])
    assert np.median(brightness) == pytest.approx(np.mean(np.log([5.0, 5000.0])), abs=0.2)
    tumbling = np.mean([trail.tumbling > 0 for trail in trails])
    assert tumbling == pytest.approx(0.3, abs=0.04)
