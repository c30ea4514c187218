"""The shape of `mbi.l1`."""

from __future__ import annotations

import pytest

from csstcore.definitions.catalog import Definitions
from csstcore.pipeline.check import build_plan
from csstcore.pipeline.plan import Plan, Step
from csstcore.plugins.discovery import discover


@pytest.fixture(scope="module")
def plan() -> Plan:
    registry = discover()
    return build_plan(registry, Definitions(registry), "mbi.l1")


def step(plan: Plan, name: str) -> Step:
    return next(each for each in plan.steps if each.id == name)


def test_the_name_of_the_survey_finds_it(plan):
    registry = discover()
    assert build_plan(registry, Definitions(registry), "csst-msc-l1-mbi").name == plan.name


def test_it_takes_the_eighteen_imaging_detectors_only(plan):
    detectors = plan.model.inputs["image"].where["detector"]
    assert len(detectors) == 18
    assert not {1, 2, 3, 4, 5, 10, 21, 26, 27, 28, 29, 30} & set(detectors)


def test_detection_sees_the_filled_image_and_level_1_keeps_the_unfilled(plan):
    for name in ("estimate_background", "detect_sources", "measure_photometry"):
        assert step(plan, name).bindings["image"].name == "filled"
    assert "filled" not in plan.model.outputs


def test_only_the_calibration_of_the_frame_is_required(plan):
    optional = {each.id for each in plan.steps if not each.required}
    assert {"solve_position", "set_wcs", "detect_sources", "measure_photometry"} <= optional
    assert step(plan, "divide_flat").required


def test_variance_is_estimated_between_dark_and_flat(plan):
    order = [each.id for each in plan.steps]
    assert order.index("subtract_dark") < order.index("estimate_variance")
    assert order.index("estimate_variance") < order.index("divide_flat")


def test_the_filled_image_is_dropped_after_the_photometry(plan):
    assert "filled" not in step(plan, "measure_photometry").live_after
    assert "image" in step(plan, "measure_photometry").live_after
