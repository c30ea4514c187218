"""The pipelines of every back-end are expressible: their sketches pass the static check."""

import inspect
from pathlib import Path
from types import ModuleType

import pytest

from csstcore.definitions.catalog import Definitions
from csstcore.pipeline.check import build_plan
from csstcore.pipeline.plan import Plan
from csstcore.plugin import Definition, ReferenceType, Stage, hookimpl
from csstcore.plugins.registry import Registry

from . import back_end_sketches

DEFINITIONS = {
    "image": "Image",
    "weight": "Image",
    "flags": "Image",
    "psf": f"{back_end_sketches.__name__}:Psf",
    "table": "Table",
    "spectra": "Spectra",
    "cube": "Cube",
}
REFERENCES = (
    "stars",
    "colour_terms",
    "distortion",
    "detection_model",
    "trace_model",
    "sky_template",
    "sensitivity",
    "em_gain",
    "bias",
    "library",
    "slice_trace",
    "sideband_gain",
    "orbit",
    "element",
    "static_sky",
    "galaxies",
)

PIPELINES = {
    "mbi.l1": """
group_by = ["obs_id", "detector"]
[inputs]
image = { definition = "sketch.image", where = { detector = [6, 7, 8] } }
[[stage]]
use = "sketch.fill_flagged"
out = { image = "filled" }
[[stage]]
use = "sketch.detect_sources"
in = { image = "filled" }
[[stage]]
use = "sketch.solve_position"
required = false
[[stage]]
use = "sketch.set_wcs"
required = false
[[stage]]
use = "sketch.model_psf"
required = false
[[stage]]
use = "sketch.calibrate_flux"
required = false
[[stage]]
use = "sketch.measure_photometry"
[outputs]
image = ["sketch.image", "sketch.weight", "sketch.flags"]
catalog = "sketch.table"
psf = "sketch.psf"
""",
    "mbi.position": """
group_by = ["obs_id"]
[inputs]
sources = { definition = "sketch.table", many = true, minimum = 2 }
[[stage]]
use = "sketch.solve_focal_plane"
[outputs]
sources = "sketch.table"
""",
    "mbi.coadd": """
group_by = ["brick"]
[inputs]
images = { definition = "sketch.image", many = true }
[[stage]]
use = "sketch.coadd"
[outputs]
coadd = "sketch.image"
""",
    "mbi.merge": """
group_by = ["brick"]
[inputs]
catalogs = { definition = "sketch.table", many = true }
[[stage]]
use = "sketch.merge_catalogs"
[outputs]
merged = "sketch.table"
""",
    "sls.l1": """
group_by = ["obs_id", "detector"]
[inputs]
image = { definition = "sketch.image", where = { detector = [1, 2, 3, 4, 5, 10] } }
bricks = { definition = "sketch.table", many = true, by = ["brick"] }
[[stage]]
use = "sketch.merge_bricks"
[[stage]]
use = "sketch.find_zeroth_orders"
required = false
[[stage]]
use = "sketch.fit_trace"
[[stage]]
use = "sketch.estimate_sky"
[[stage]]
use = "sketch.model_contamination"
[[stage]]
use = "sketch.extract_spectra"
[[stage]]
id = "contamination_2"
use = "sketch.model_contamination"
[[stage]]
id = "extract_2"
use = "sketch.extract_spectra"
[outputs]
spectra = "sketch.spectra"
""",
    "cpic.l1": """
group_by = ["obs_id"]
[inputs]
frames = { definition = "sketch.image", where = { file_type = "SCIE" }, many = true, minimum = 3 }
[[stage]]
use = "sketch.flag_cosmic_rays"
[[stage]]
use = "sketch.set_flags"
in = { image = "frames" }
[outputs]
frames = "sketch.image"
""",
    "cpic.make_dark": """
group_by = ["detector"]
[inputs]
bias = { definition = "sketch.image", where = { file_type = "BIAS" }, many = true }
dark = { definition = "sketch.image", where = { file_type = "DARK" }, many = true }
[[stage]]
id = "combine_bias"
use = "sketch.combine"
in = { images = "bias" }
out = { combined = "master_bias" }
[[stage]]
use = "sketch.subtract_bias"
in = { image = "dark", bias = "master_bias" }
[[stage]]
use = "sketch.fit_dark_and_cic"
in = { darks = "dark" }
[outputs]
dark_rate = "sketch.image"
""",
    "cpic.l2_adi": """
group_by = ["target"]
[inputs]
frames = { definition = "sketch.image", many = true }
[[stage]]
use = "sketch.select_frames"
[[stage]]
use = "sketch.subtract_psf"
[outputs]
residual = "sketch.image"
""",
    "ifs.cube": """
group_by = ["target"]
[inputs]
image = { definition = "sketch.image", where = { file_type = "SCIE" }, many = true, minimum = 1 }
[[stage]]
use = "sketch.extract_slices"
[[stage]]
use = "sketch.register"
[[stage]]
use = "sketch.build_cube"
[[stage]]
use = "sketch.splice"
[outputs]
cube = "sketch.cube"
spectrum = "sketch.spectra"
""",
    "hstdm.l2": """
group_by = ["project_id"]
[inputs]
dumps = { definition = "sketch.spectra", many = true }
[[stage]]
use = "sketch.flag_glitches"
[[stage]]
use = "sketch.solve_loads"
[[stage]]
use = "sketch.calibrate"
[[stage]]
use = "sketch.subtract_off"
[[stage]]
use = "sketch.shift_to_lsrk"
[[stage]]
use = "sketch.average"
[[stage]]
use = "sketch.grid"
[outputs]
spectrum = "sketch.spectra"
cube = "sketch.cube"
""",
    "ast.frame": """
group_by = ["obs_id", "detector"]
[inputs]
catalog = { definition = "sketch.table" }
[[stage]]
use = "sketch.solve_frame"
[outputs]
positions = "sketch.table"
""",
    "ast.brick": """
group_by = ["brick"]
[inputs]
catalogs = { definition = "sketch.table", many = true }
[[stage]]
use = "sketch.match_epochs"
[[stage]]
use = "sketch.fit_five_parameters"
[outputs]
stars = "sketch.table"
""",
    "ast.moving": """
group_by = ["window"]
[inputs]
catalog = { definition = "sketch.table", many = true }
[[stage]]
use = "sketch.detect_moving"
[[stage]]
use = "sketch.link"
[outputs]
orbits = "sketch.table"
""",
    "sim.imaging": """
group_by = ["obs_id", "detector"]
[inputs]
pointing = { definition = "sketch.table" }
[[stage]]
use = "sketch.draw_scene"
[[stage]]
use = "sketch.add_cosmic_rays"
[outputs]
image = "sketch.image"
truth = "sketch.table"
cosmic_rays = "sketch.image"
""",
}


def definition_text(name: str, product: str) -> str:
    plane = {"Table": "table", "Spectra": "flux"}.get(product, "data")
    column = '[[hdu.column]]\nname = "X"\ndtype = "float32"\n' if product == "Table" else ""
    return f"""
[definition]
name = "{name}"
summary = "A sketch"
product = "{product}"
[keys]
window = {{ value = "2028" }}
[[hdu]]
name = "SCI"
plane = "{plane}"
{column}"""


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    for name, product in DEFINITIONS.items():
        (tmp_path / f"{name}.toml").write_text(definition_text(name, product))
    module = ModuleType("sketch_plugin")
    module.__file__ = str(tmp_path / "plugin.py")
    functions = [
        name
        for name, thing in inspect.getmembers(back_end_sketches, inspect.isfunction)
        if thing.__module__ == back_end_sketches.__name__
    ]

    @hookimpl
    def csst_stages() -> list[Stage]:
        source = back_end_sketches.__name__
        return [Stage(name, f"{source}:{name}", name) for name in functions]

    @hookimpl
    def csst_definitions() -> list[Definition]:
        return [Definition(name, f"{name}.toml", "A sketch") for name in DEFINITIONS]

    @hookimpl
    def csst_references() -> list[ReferenceType]:
        return [ReferenceType(name, "fits", "A sketch", "sketch.table") for name in REFERENCES]

    for hook in (csst_stages, csst_definitions, csst_references):
        setattr(module, hook.__name__, hook)
    monkeypatch.setattr("csstcore.pipeline.requirements.version", lambda name: "0.1.0")
    return Registry.of({"sketch": module})


@pytest.mark.parametrize("name", PIPELINES)
def test_the_sketch_passes_the_static_check(name: str, registry: Registry, tmp_path: Path) -> None:
    path = tmp_path / "pipeline.toml"
    requires = '[requires]\ncsst-sketch = ">=0.1"\n'
    head = f'[pipeline]\nname = "{name.partition(".")[2]}"\nsummary = "A sketch"\n'
    body = PIPELINES[name].replace("[inputs]", requires + "[inputs]", 1)
    path.write_text(head + body)
    plan = build_plan(registry, Definitions(registry), str(path))
    assert isinstance(plan, Plan)
    assert {output.name for output in plan.outputs} == set(plan.model.outputs)


def test_series_of_several_files_are_mapped_and_gathered(
    registry: Registry, tmp_path: Path
) -> None:
    path = tmp_path / "pipeline.toml"
    body = PIPELINES["hstdm.l2"].replace("[inputs]", '[requires]\ncsst-sketch = ">=0"\n[inputs]')
    path.write_text('[pipeline]\nname = "l2"\nsummary = "A sketch"\n' + body)
    plan = build_plan(registry, Definitions(registry), str(path))
    mapped = {step.id: step.mapped for step in plan.steps}
    assert mapped == {
        "flag_glitches": True,
        "solve_loads": True,
        "calibrate": True,
        "subtract_off": False,
        "shift_to_lsrk": True,
        "average": False,
        "grid": False,
    }
