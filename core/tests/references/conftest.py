"""A plugin `calib` with one reference type of each kind and shipped rules for one of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from csstcore.cli.main import main
from csstcore.plugin import Definition, ReferenceRules, ReferenceType, hookimpl
from csstcore.plugins import discovery
from csstcore.plugins.registry import Registry


@dataclass
class Section:
    columns: int


@dataclass
class Readout:
    """What `calib.readout` holds in these tests."""

    rows: int
    gains: tuple[float, ...] = ()
    sections: list[Section] = field(default_factory=list)


Run = Callable[..., tuple[int, str, str]]

DEFINITION = """
[definition]
name = "bias"
summary = "Master bias"
product = "Image"

[identify]
KIND = ["BIAS"]

[meta]
instrument = "INSTRUME"
detector = { keyword = "DETECTOR", type = "int" }
time = "DATE-OBS"

[[hdu]]
name = "PRIMARY"
[hdu.keywords]
KIND = { type = "str", required = true }
INSTRUME = { type = "str", required = true }
DETECTOR = { type = "int", required = true }
DATE-OBS = { type = "str" }

[[hdu]]
name = "SCI"
plane = "data"
dtype = "float32"
unit = "adu"
"""


def write_bias(path: Path, detector: int = 7, **keywords: Any) -> Path:
    """Write a master bias that satisfies the definition `calib.bias`."""
    primary = fits.PrimaryHDU()
    primary.header.update(
        {"KIND": "BIAS", "INSTRUME": "MSC", "DETECTOR": detector, "DATE-OBS": "2027-01-05T06:07:08"}
        | keywords
    )
    data = fits.ImageHDU(np.full((3, 4), detector, np.float32), name="SCI")
    data.header["BUNIT"] = "adu"
    fits.HDUList([primary, data]).writeto(path)
    return path


STARS = """
[definition]
name = "stars"
summary = "Stars"
product = "Table"

[[hdu]]
name = "STARS"
plane = "table"
[[hdu.column]]
name = "ra"
dtype = "float64"
unit = "deg"
required = true
[[hdu.column]]
name = "dec"
dtype = "float64"
unit = "deg"
required = true
[[hdu.column]]
name = "name"
dtype = "str"
required = false
"""


def write_stars(path: Path, ra: Any, dec: Any, unit: str = "deg", **more: Any) -> Path:
    """Write a Parquet table of stars that satisfies the definition `calib.stars`."""
    arrow, parquet = map(pytest.importorskip, ("pyarrow", "pyarrow.parquet"))
    columns = {"ra": np.asarray(ra, float), "dec": np.asarray(dec, float)} | more
    table = arrow.table(columns)
    fields = [
        f.with_metadata({"unit": unit}) if f.name in ("ra", "dec") else f for f in table.schema
    ]
    parquet.write_table(table.cast(arrow.schema(fields)), path)
    return path


def write_network(path: Path, length: int | str = 1, names: str = "xy", **properties: str) -> Path:
    onnx = pytest.importorskip("onnx")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    node = helper.make_node("Relu", [names[0]], [names[1]])
    ends = [helper.make_tensor_value_info(name, kind, [length]) for name in names]
    graph = helper.make_graph([node], "network", ends[:1], ends[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, properties)
    path.write_bytes(model.SerializeToString())
    return path


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def make_registry(folder: Path) -> Registry:
    shipped = folder / "references"
    shipped.mkdir(parents=True)
    (shipped / "small.toml").write_text("rows = 608\n")
    (shipped / "readout.toml").write_text(
        '[reference]\ntype = "calib.readout"\n'
        '[[rule]]\nfile = "small.toml"\nmatch = { readout = "920x608" }\n'
    )
    (folder / "bias.toml").write_text(DEFINITION)
    (folder / "stars.toml").write_text(STARS)
    module: Any = ModuleType("fake_calib.plugin")
    module.__file__ = str(folder / "plugin.py")

    @hookimpl
    def csst_references() -> list[ReferenceType | ReferenceRules]:
        return [
            ReferenceType("bias", "fits", "Master bias", definition="calib.bias"),
            ReferenceType("readout", "toml", "Geometry", product=f"{__name__}:Readout"),
            ReferenceType("network", "onnx", "Cosmic-ray network"),
            ReferenceType("stars", "parquet", "Stars", definition="calib.stars"),
            ReferenceType("limits", "json", "Limits", product=f"{__name__}:Readout"),
            ReferenceRules("calib.readout", "references/readout.toml", "Test readout"),
        ]

    @hookimpl
    def csst_definitions() -> list[Definition]:
        return [
            Definition("bias", "bias.toml", "Master bias"),
            Definition("stars", "stars.toml", "Stars"),
        ]

    module.csst_references, module.csst_definitions = csst_references, csst_definitions
    return Registry.of({"calib": module})


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return make_registry(tmp_path / "plugin")


@pytest.fixture
def reference(tmp_path: Path) -> Path:
    path = tmp_path / "bias_07.fits"
    path.write_bytes(b"the master bias of detector 7")
    return path


@pytest.fixture
def refs(
    tmp_path: Path,
    registry: Registry,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    """Return a function that runs ``csstcore refs`` on a store in `tmp_path`."""
    monkeypatch.setattr(discovery, "discover", lambda: registry)
    monkeypatch.setenv("CSSTCORE_REFS", str(tmp_path / "refs"))

    def run(*arguments: object) -> tuple[int, str, str]:
        code = main(["refs", *map(str, arguments)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run
