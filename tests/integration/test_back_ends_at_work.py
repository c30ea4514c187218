"""Back-ends on tiny arrays: which element meets which, with repeated and missing keys."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from csstcore.plugin import Definition, Stage
from csstcore.plugins.registry import Registry
from csstcore.run import runner
from csstcore.run.record import JobRecord, load_record
from csstcore.run.request import Request
from csstcore.testing.in_process import InProcess, Silent
from csstcore.testing.registries import IsolatedRegistry, plugin_module

from . import working_sketches

DEFINITION = """
[definition]
name = "{name}"
summary = "A sketch"
product = "Image"
[file]
name = "{kind}_{{number}}.fits"
[file.fields]
number = {{ pattern = '\\d+'{source} }}
[identify]
KIND = ["{kind}"]
[meta]
obs_id = "OBSID"
file_type = "TYPE"
target = "OBJECT"
[[hdu]]
name = "PRIMARY"
[hdu.keywords]
KIND = {{ type = "str", value = "{kind}" }}
OBSID = {{ type = "str", from = "meta.obs_id" }}
TYPE = {{ type = "str", from = "meta.file_type" }}
OBJECT = {{ type = "str", from = "meta.target" }}
FLAGGED = {{ type = "int", from = "metric.flagged", fill = -1 }}
[[hdu]]
name = "SCI"
plane = "data"
dtype = "float32"
unit = "adu"
[[hdu]]
name = "FLG"
plane = "flags"
dtype = "uint16"
required = false
"""
HEAD = """
[pipeline]
name = "{name}"
summary = "A sketch"
group_by = ["target"]
[requires]
csst-sketch = ">=0"
[inputs]
"""

CPIC = """frames = { definition = "sketch.raw", many = true, minimum = 3 }
[[stage]]
use = "sketch.flag_cosmic_rays"
[[stage]]
use = "sketch.set_flags"
in = { image = "frames" }
[outputs]
frames = "sketch.out"
"""
HSTDM = """image = { definition = "sketch.raw", many = true, minimum = 2 }
[[stage]]
use = "sketch.read_dumps"
[[stage]]
use = "sketch.calibrate"
[[stage]]
use = "sketch.subtract_off"
[[stage]]
use = "sketch.shift_to_lsrk"
[[stage]]
use = "sketch.average"
[outputs]
spectrum = "sketch.out"
"""
IFS = """image = { definition = "sketch.raw", many = true }
[[stage]]
use = "sketch.extract_slices"
[[stage]]
use = "sketch.register"
[[stage]]
use = "sketch.build_cube"
[outputs]
cube = "sketch.out"
"""
SLS = """
images = { definition = "sketch.raw", many = true, where = { file_type = "SLIT" } }
directs = { definition = "sketch.raw", many = true, where = { file_type = "DIRECT" } }
[[stage]]
use = "sketch.extract_joint"
[outputs]
joint = "sketch.out"
"""


@dataclass
class Observatory:
    """Frames of one target, and pipelines on them."""

    folder: Path
    registry: Registry
    count: int = 0

    def expose(
        self, value: float, obs_id: str | None = "101", file_type: str = "SCIE"
    ) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
        """Write a frame of one value; the order of files is that of the calls."""
        primary = fits.PrimaryHDU()
        primary.header.update({"KIND": "RAW", "TYPE": file_type, "OBJECT": "M1"})
        if obs_id is not None:
            primary.header["OBSID"] = obs_id
        data = np.full((4, 5), value, np.float32)
        if file_type == "RAY":
            data[: self.count + 1, self.count] = 1000
        (self.folder / "raw").mkdir(exist_ok=True)
        path = self.folder / "raw" / f"RAW_{self.count:02d}.fits"
        sci = fits.ImageHDU(data, name="SCI")
        sci.header["BUNIT"] = "adu"
        fits.HDUList([primary, sci]).writeto(path)
        self.count += 1
        return data

    def reduce(self, name: str, body: str) -> JobRecord:
        pipeline = self.folder / f"{name}.toml"
        pipeline.write_text(HEAD.replace("{name}", name) + body)
        request = Request(str(pipeline), [self.folder / "raw"], self.folder / "out", figures=False)
        summary = runner.run(request, self.registry, lambda _: InProcess(), Silent())
        (job,) = summary.jobs
        return load_record(summary.folder / "jobs" / f"{job.job}.json")


@pytest.fixture
def observatory(
    tmp_path: Path, isolated_registry: IsolatedRegistry, monkeypatch: pytest.MonkeyPatch
) -> Observatory:
    monkeypatch.setattr("csstcore.pipeline.requirements.version", lambda name: "0.1.0")
    for name in ("raw", "out"):
        source = ', from = "field.number"' if name == "out" else ""
        text = DEFINITION.format(name=name, kind=name.upper(), source=source)
        (tmp_path / f"{name}.toml").write_text(text)
    source = working_sketches.__name__
    stages = [
        Stage(name, f"{source}:{name}", name)
        for name, thing in inspect.getmembers(working_sketches, inspect.isfunction)
        if thing.__module__ == source and name not in ("level", "image_of")
    ]
    definitions = [Definition(name, f"{name}.toml", "A sketch") for name in ("raw", "out")]
    module = plugin_module("sketch_at_work", *stages, *definitions, folder=tmp_path)
    return Observatory(tmp_path, isolated_registry(sketch=module))


def test_cpic_each_frame_gets_its_own_mask_though_all_have_one_obs_id(
    observatory: Observatory,
) -> None:
    for _ in range(4):
        observatory.expose(10.0, file_type="RAY")
    record = observatory.reduce("l1", CPIC)
    assert record.status == "done", record.why
    assert len(record.outputs) == 4
    for number, file in enumerate(record.outputs):
        with fits.open(observatory.folder / "out" / file.path) as hdus:
            rows, columns = np.nonzero(hdus["FLG"].data)
            assert rows.tolist() == list(range(number + 1))
            assert set(columns) == {number}
            assert hdus[0].header["FLAGGED"] == number + 1


def test_hstdm_the_off_positions_vanish_and_the_rest_stays_in_order(
    observatory: Observatory,
) -> None:
    for value in (10, 1, 20, 2, 30, 3):
        observatory.expose(value)
    record = observatory.reduce("l2", HSTDM)
    assert len(record.outputs) == 1, record.why
    assert record.stages[-1].metrics == {"levels": "19 37 55"}
    assert [call.status for call in record.stages[3].elements] == ["done", "skipped"] * 3


def test_hstdm_dumps_that_fail_in_place_drop_out_one_by_one(observatory: Observatory) -> None:
    for value in (-1, -1, 10, 1):
        observatory.expose(value)
    record = observatory.reduce("l2", HSTDM)
    assert record.stages[-1].metrics == {"levels": "19"}, record.why
    assert len(record.dropped) == 2


def test_ifs_each_exposure_meets_its_own_position_or_none(observatory: Observatory) -> None:
    for value in (1, 2, -1, 3):
        observatory.expose(value)
    record = observatory.reduce("cube", IFS)
    assert record.stages[-1].metrics == {"pairs": "1:1 2:none 3:3"}, record.why
    assert list(record.dropped) == ["image: obs_id 101, element 2"]


@pytest.mark.parametrize(
    ("slit", "direct", "images", "directs", "why"),
    [
        pytest.param(
            [("1", 1), ("2", 2), ("3", 3)],
            [("3", 33), ("1", 11), ("2", 22)],
            "1 2 3",
            "11 22 33",
            "",
            id="shared keys",
        ),
        pytest.param(
            [("1", 1), ("1", 2)], [("1", 11), ("1", 22)], "1 2", "11 22", "", id="repeated keys"
        ),
        pytest.param(
            [(None, 1), (None, 2)], [(None, 11), (None, 22)], "1 2", "11 22", "", id="no keys"
        ),
        pytest.param(
            [("1", 1), (None, 2)], [("1", 11), ("2", 22)], "2 1", "11 22", "", id="a missing key"
        ),
        pytest.param(
            [("1", 1), ("2", 2)],
            [("2", 22)],
            "1 2",
            "22",
            "2 dispersed images, 1 direct ones",
            id="unequal lengths",
        ),
    ],
)
def test_sls_two_inputs_are_aligned_one_to_one_or_given_whole(
    observatory: Observatory,
    slit: list[tuple[str | None, float]],
    direct: list[tuple[str | None, float]],
    images: str,
    directs: str,
    why: str,
) -> None:
    for frames, file_type in ((slit, "SLIT"), (direct, "DIRECT")):
        for obs_id, value in frames:
            observatory.expose(value, obs_id, file_type)
    record = observatory.reduce("joint", SLS)
    assert record.stages[0].metrics == {"images": images, "directs": directs}
    assert why in record.why
    assert record.status == ("failed" if why else "done"), record.why
