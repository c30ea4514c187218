"""A small plugin, ``demo``, whose pipelines the tests compose."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import pytest
from pydantic import Field

from csstcore.api import Image, InPlace, Reference, Table, Wcs
from csstcore.definitions.catalog import Definitions
from csstcore.pipeline.check import build_plan
from csstcore.pipeline.plan import Plan
from csstcore.plugin import Definition, ReferenceType, Stage, hookimpl
from csstcore.plugins.registry import Registry


def subtract(
    image: InPlace[Image], bias: Reference[Image], *, scale: Annotated[float, Field(gt=0)] = 1.0
) -> Image:
    return image


def detect(
    image: Image, *, threshold: float = 1.5, detector: int
) -> tuple[Annotated[Table, "sources"], Annotated[Image, "background"]]:
    raise AssertionError


def solve(image: Image, sources: Table | None = None) -> Annotated[Wcs, "wcs"]:
    raise AssertionError


def set_wcs(image: Image, wcs: Wcs) -> Annotated[Image, "image"]:
    raise AssertionError


def combine(images: Sequence[Image], *, clip: float = 5.0) -> Annotated[Image, "combined"]:
    raise AssertionError


def register(images: Sequence[Image]) -> Annotated[Sequence[Wcs | None], "wcs"]:
    raise AssertionError


def mixed(images: Sequence[Image], image: Image) -> Annotated[Image, "combined"]:
    raise AssertionError


def broken(image: Image, scale: float = 1.0) -> Annotated[Image, "image"]:
    raise AssertionError


RAW = """
[definition]
name = "raw"
summary = "Raw frame"
product = "Image"
[meta]
obs_id = "OBSID"
detector = "DETECTOR"
file_type = "FILETYPE"
exposure_time = "EXPTIME"
[keys]
mode = "MODE"
bricks = { function = "demo_stages:bricks" }
[[hdu]]
name = "PRIMARY"
plane = "data"
[hdu.keywords]
OBSID = { type = "str", required = true }
DETECTOR = { type = "int", required = true }
FILETYPE = { type = "str" }
EXPTIME = { type = "float", unit = "s" }
MODE = { type = "bool" }
"""
CATALOG = """
[definition]
name = "catalog"
summary = "Catalogue"
product = "Table"
[meta]
obs_id = "OBSID"
[[hdu]]
name = "PRIMARY"
[hdu.keywords]
OBSID = { type = "str", required = true }
[[hdu]]
name = "CAT"
plane = "table"
[[hdu.column]]
name = "X"
dtype = "float32"
"""


@hookimpl
def csst_stages() -> list[Stage]:
    functions = (subtract, detect, solve, set_wcs, combine, register, mixed, broken)
    return [Stage(f.__name__, f"demo_stages:{f.__name__}", f.__name__) for f in functions]


@hookimpl
def csst_definitions() -> list[Definition]:
    return [
        Definition("raw", "raw.toml", "Raw frame"),
        Definition("catalog", "catalog.toml", "Catalogue"),
    ]


@hookimpl
def csst_references() -> list[ReferenceType]:
    return [ReferenceType("bias", "fits", "Master bias", "demo.raw")]


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Plan]:
    """Return a function that checks a pipeline given as TOML text."""
    (tmp_path / "raw.toml").write_text(RAW)
    (tmp_path / "catalog.toml").write_text(CATALOG)
    module = ModuleType("demo_stages")
    module.__dict__.update(globals())
    module.__file__ = str(tmp_path / "plugin.py")
    monkeypatch.setitem(sys.modules, "demo_stages", module)
    registry = Registry.of({"demo": module})

    def run(text: str, settings: dict[str, Any] | None = None) -> Plan:
        path = tmp_path / "pipeline.toml"
        path.write_text(text)
        return build_plan(registry, Definitions(registry), str(path), settings)

    return run
