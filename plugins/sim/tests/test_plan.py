"""Plans: what they say, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from csst_sim.direct import shot_of
from csst_sim.plan import detectors, obs_ids, parse_plan, read_plan
from csstcore.api import FileError, NotApplicable

Values = Callable[..., dict[str, Any]]

TEXT = """
name = "night"
kind = "imaging"
detectors = [6, 7]

[effects]
cosmic_rays = false

[[exposure]]
obs_id = "10100000001"
time = 2028-01-01T08:00:00+08:00

[[exposure]]
obs_id = "10100000002"
time = 2028-01-01T00:05:00
detectors = [8]
effects = { cosmic_rays = true }
"""


def test_plan_gives_every_exposure_and_detector(tmp_path: Path) -> None:
    path = tmp_path / "night.toml"
    path.write_text(TEXT)
    header, products = read_plan(path)
    assert obs_ids(header) == ["10100000001", "10100000002"]
    assert detectors(header) == [6, 7, 8]
    (plan,) = products
    assert plan.meta.readout == "9560x9264"
    assert plan.exposure_of("10100000001", 8) is None
    second = plan.exposure_of("10100000002", 8)
    assert plan.effects_of(plan.exposure[0]).cosmic_rays is False
    assert plan.effects_of(second).cosmic_rays is True
    assert plan.exposure[0].time == "2028-01-01T00:00:00.000"


def test_header_alone_makes_no_product(tmp_path: Path) -> None:
    path = tmp_path / "night.toml"
    path.write_text(TEXT)
    assert read_plan(path, header_only=True)[1] == []


def test_exposure_that_is_not_planned_is_not_applicable(make_values: Values) -> None:
    plan = parse_plan(make_values(), "plan")
    with pytest.raises(NotApplicable, match="no exposure 10100000001 of detector 9"):
        shot_of(plan, "10100000001", 9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"obs_id": "12"}, "obs_id"),
        ({"time": 5}, "date and time"),
        ({"time": "yesterday"}, "time"),
        ({"exposure_time_s": -1.0}, "exposure_time_s"),
        ({"detectors": [31]}, "detectors"),
        ({"filetype": "SCIE"}, "filetype"),
        ({"ra_deg": 361.0}, "ra_deg"),
        ({"effects": {"cosmic_ray": True}}, "no effect is called 'cosmic_ray'"),
    ],
)
def test_wrong_exposure_is_named(make_values: Values, change: dict[str, Any], message: str) -> None:
    values = make_values()
    values["exposure"][0] |= change
    with pytest.raises(FileError, match=message):
        parse_plan(values, "plan.toml")


def test_all_problems_of_a_plan_are_told_at_once(make_values: Values) -> None:
    values = make_values() | {"detectors": [], "kind": "calibration"}
    values["exposure"] *= 2
    with pytest.raises(FileError) as caught:
        parse_plan(values, "plan.toml")
    for part in ("plan.toml", "occurs twice", "no detectors", "SCIE in a plan of kind calibration"):
        assert part in str(caught.value)


@pytest.mark.parametrize("content", [b"[[exposure", b"\xff\xfe", b""])
def test_file_that_is_no_plan_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.toml"
    path.write_bytes(content)
    with pytest.raises(FileError, match=r"bad\.toml"):
        read_plan(path)
