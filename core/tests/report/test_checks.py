from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from csstcore.definitions.model import DefinitionModel
from csstcore.errors import NotApplicable
from csstcore.notes import collecting
from csstcore.plugin import Check, Figure, hookimpl
from csstcore.plugins.registry import Registry
from csstcore.products import Image
from csstcore.report import draw_figures, run_checks

IMAGE = Image(np.full((4, 4), 3.0, np.float32))


def mean(image: Image) -> float:
    return float(image.data.mean())


def not_a_number(image: Image) -> float:
    return float("nan")


def broken(image: Image) -> float:
    raise KeyError("sky")


def leaving(image: Image) -> float:
    sys.exit(3)


def without_wcs(image: Image) -> float:
    raise NotApplicable("the image has no world coordinates")


def picture(image: Image) -> Any:
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots()
    axes.imshow(image.data)
    return figure


def broken_picture(image: Image) -> Any:
    picture(image)
    raise ValueError("nothing to show")


FUNCTIONS = (mean, not_a_number, broken, leaving, without_wcs)


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    science = ModuleType("fake_science")
    for function in (*FUNCTIONS, picture, broken_picture):
        setattr(science, function.__name__, function)
    monkeypatch.setitem(sys.modules, "fake_science", science)
    module: Any = ModuleType("fake.plugin")

    @hookimpl
    def csst_checks() -> list[Check]:
        names = [function.__name__ for function in FUNCTIONS]
        return [Check(name, f"fake_science:{name}", "A check") for name in names]

    @hookimpl
    def csst_figures() -> list[Figure]:
        names = ["picture", "broken_picture", "without_wcs"]
        return [Figure(name, f"fake_science:{name}", "A figure") for name in names]

    module.csst_checks, module.csst_figures = csst_checks, csst_figures
    return Registry.of({"fake": module})


def definition(**tables: Any) -> DefinitionModel:
    head = {"name": "image", "summary": "An image", "product": "Image"}
    return DefinitionModel.model_validate({"definition": head} | tables)


def checked(registry: Registry, use: str, **limits: float) -> Any:
    check = {"id": "level", "use": f"fake.{use}", **limits}
    (result,) = run_checks(definition(check=[check]), IMAGE, "written", registry)
    return result


def test_a_value_within_its_limits_is_ok(registry: Registry) -> None:
    result = checked(registry, "mean", minimum=3.0, maximum=3.0)
    assert (result.value, result.ok, result.why) == (3.0, True, "")
    assert (result.id, result.use, result.minimum, result.maximum) == ("level", "fake.mean", 3, 3)


@pytest.mark.parametrize(
    ("limits", "why"),
    [
        ({"minimum": 3.5}, "3 is below the minimum 3.5"),
        ({"maximum": 2.5}, "3 is above the maximum 2.5"),
    ],
)
def test_a_value_outside_says_how(registry: Registry, limits: dict[str, float], why: str) -> None:
    result = checked(registry, "mean", **limits)
    assert (result.ok, result.why) == (False, why)


def test_a_value_without_limits_is_only_measured(registry: Registry) -> None:
    assert checked(registry, "mean").ok


@pytest.mark.parametrize(
    ("use", "why"),
    [
        ("broken", "the check raised KeyError: 'sky'"),
        ("leaving", "the check raised SystemExit: 3"),
        ("not_a_number", "the value is nan"),
        ("meen", "no check is called 'fake.meen' (did you mean 'fake.mean'?)"),
    ],
)
def test_a_check_that_cannot_be_made_is_not_ok(registry: Registry, use: str, why: str) -> None:
    result = checked(registry, use)
    assert (result.value, result.ok, result.why) == (None, False, why)


def test_a_check_that_does_not_apply_is_ok_without_a_value(registry: Registry) -> None:
    result = checked(registry, "without_wcs", minimum=1.0)
    assert (result.value, result.ok) == (None, True)
    assert result.why == "the image has no world coordinates"


def test_only_the_checks_of_the_moment_run_in_the_order_of_the_definition(
    registry: Registry,
) -> None:
    checks = [
        {"id": "a", "use": "fake.mean", "when": "read"},
        {"id": "b", "use": "fake.broken"},
        {"id": "c", "use": "fake.mean", "when": "read"},
    ]
    results = run_checks(definition(check=checks), IMAGE, "read", registry)
    assert [result.id for result in results] == ["a", "c"]


def test_figures_are_drawn_and_errors_become_caveats(registry: Registry, tmp_path: Path) -> None:
    from matplotlib import pyplot as plt

    figures = [
        {"use": f"fake.{name}"} for name in ("picture", "broken_picture", "without_wcs", "absent")
    ]
    with collecting() as notes:
        drawn = draw_figures(definition(figure=figures), IMAGE, registry, tmp_path / "figures")
    assert drawn == [tmp_path / "figures" / "image-fake.picture.png"]
    assert drawn[0].read_bytes().startswith(b"\x89PNG")
    assert [caveat.split(":")[0] for caveat in notes.caveats] == [
        "figure fake.broken_picture of image",
        "figure fake.absent of image",
    ]
    assert "nothing to show" in notes.caveats[0]
    assert plt.get_fignums() == []
