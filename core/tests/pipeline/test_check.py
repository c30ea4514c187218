"""The static check resolves a pipeline, or says everything that is wrong with it at once."""

from collections.abc import Callable

import pytest

from csstcore.errors import ConfigurationError, Problems
from csstcore.pipeline.describe import describe_plan
from csstcore.pipeline.plan import Binding, Plan, Value

Check = Callable[..., Plan]

HEAD = """
[pipeline]
name = "l1"
summary = "A pipeline"
group_by = ["obs_id", "detector"]
[requires]
csst-demo = ">=0"
[inputs]
image = { definition = "demo.raw" }
"""
GOOD = (
    HEAD
    + """
[[stage]]
use = "demo.subtract"
params = { scale = 2 }
[[stage]]
use = "demo.detect"
[[stage]]
use = "demo.solve"
required = false
[[stage]]
use = "demo.set_wcs"
required = false
[outputs]
image = "demo.raw"
sources = "demo.catalog"
"""
)


@pytest.fixture(autouse=True)
def demo_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fake plugin has no metadata, so its requirement is looked up here."""
    from importlib.metadata import version

    monkeypatch.setattr(
        "csstcore.pipeline.requirements.version",
        lambda name: "0.1.0" if name == "csst-demo" else version(name),
    )


def problems(check: Check, text: str, settings: dict[str, object] | None = None) -> str:
    with pytest.raises(Problems) as raised:
        check(text, settings)
    return str(raised.value)


def series(stages: str, outputs: str = 'combined = "demo.raw"', more: str = "many = true") -> str:
    text = HEAD.replace(
        'image = { definition = "demo.raw" }', f'images = {{ definition = "demo.raw", {more} }}'
    )
    return f"{text}\n{stages}\n[outputs]\n{outputs}\n"


def test_names_are_wired_and_every_value_has_an_origin(check: Check) -> None:
    plan = check(GOOD, {"detect.threshold": 3})
    subtract, detect, solve, set_wcs = plan.steps
    assert subtract.bindings == {
        "image": Binding("product", "image"),
        "bias": Binding("reference", "demo.bias"),
    }
    assert subtract.parameters == {"scale": Value(2.0, "pipeline")}
    assert detect.parameters == {
        "threshold": Value(3.0, "command line"),
        "detector": Value("detector", "job key"),
    }
    assert solve.bindings["sources"] == Binding("product", "sources")
    assert not set_wcs.required
    assert detect.outputs == {"sources": "sources", "background": "background"}


def test_products_live_until_their_last_reader(check: Check) -> None:
    subtract, detect, solve, set_wcs = check(GOOD).steps
    assert subtract.live_after == {"image", "sources", "wcs"}
    assert "background" not in detect.live_after
    assert solve.live_after == {"image", "sources", "wcs"}
    assert set_wcs.live_after == {"image", "sources"}


def test_a_stage_on_one_product_is_mapped_over_a_series(check: Check) -> None:
    plan = check(
        series(
            """
[[stage]]
use = "demo.subtract"
in = { image = "images" }
[[stage]]
use = "demo.register"
[[stage]]
use = "demo.combine"
"""
        )
    )
    subtract, register, combine = plan.steps
    assert subtract.mapped
    assert subtract.outputs == {"image": "images"}
    assert not register.mapped
    assert not combine.mapped
    assert not plan.outputs[0].series


def test_a_reference_may_be_a_product_of_this_pipeline(check: Check) -> None:
    plan = check(
        series(
            """
[[stage]]
use = "demo.combine"
out = { combined = "master" }
[[stage]]
use = "demo.subtract"
in = { image = "images", bias = "master" }
""",
            'master = "demo.raw"',
        )
    )
    assert plan.steps[1].bindings["bias"] == Binding("product", "master")
    assert plan.steps[1].mapped


def test_describe_shows_wires_values_and_origins(check: Check) -> None:
    text = describe_plan(check(GOOD, {"detect.threshold": 3}))
    assert "image: Image  <- demo.raw" in text
    assert "bias <- reference demo.bias" in text
    assert "threshold = 3.0  (command line)" in text
    assert "scale = 2.0  (pipeline)" in text
    assert "detector = key detector  (job key)" in text
    assert "3 solve  demo.solve  (csst-demo 0.1.0, may fail)" in text
    assert "sources: Table  -> demo.catalog" in text


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('"demo.subtract"', '"demo.subtrct"', "did you mean 'demo.subtract'?"),
        ('"demo.subtract"', '"other.subtract"', "no installed plugin is called other"),
        ("scale = 2", "scal = 2", "no parameter 'scal' (did you mean 'scale'?)"),
        ("scale = 2", "scale = -2", "parameter 'scale': Input should be greater than 0; found -2"),
        ("params = { scale = 2 }", 'in = { imag = "image" }', "in names 'imag' (did you mean"),
        ("params = { scale = 2 }", 'in = { image = "imag" }', "no product is called 'imag' here"),
        ("params = { scale = 2 }", 'out = { x = "image" }', "out names 'x'; demo.subtract has"),
        ("params = { scale = 2 }", 'references = { bias = "demo.dark" }', "'demo.dark'"),
        ("params = { scale = 2 }", "required = false", "cannot have required = false"),
        ('use = "demo.solve"', 'use = "demo.solve"\nin = { image = "sources" }', "takes Image, "),
        ('use = "demo.solve"', 'use = "demo.solve"\nid = "detect"', "'detect' is taken"),
        ('use = "demo.solve"', 'use = "demo.combine"\nin = { images = "image" }', "many = true"),
        ('use = "demo.solve"', 'use = "demo.broken"', "put it after a bare *"),
        ('use = "demo.solve"', 'use = "demo.detect"\nparams = { detector = 3 }', "key of the job"),
        ('sources = "demo.catalog"', 'sources = "demo.raw"', "demo.raw holds Image, the product"),
        ('sources = "demo.catalog"', 'source = "demo.catalog"', "did you mean 'sources'?"),
        ('sources = "demo.catalog"', 'sources = "demo.catlog"', "did you mean 'demo.catalog'?"),
        ('"detector"]', '"detecto"]', "no key 'detecto' (did you mean 'detector'?)"),
        ('"demo.raw" }', '"demo.raw", where = { filetype = "X" } }', "did you mean 'file_type'"),
        ('"demo.raw" }', '"demo.raw", by = ["brik"] }', "'brik', which is neither in group_by nor"),
        ('"demo.raw" }', '"demo.raw", where = { obs_id = { minimum = 1 } } }', "it is a text"),
        ('"demo.raw" }', '"demo.raw", where = { obs_id = 3 } }', "3 never equals a text"),
        ('"demo.raw" }', '"demo.raw", where = { detector = ["6", 7] } }', "'6' never equals a nu"),
        ('"demo.raw" }', '"demo.raw", where = { exposure_time = true } }', "True never equals a"),
        ('"demo.raw" }', '"demo.raw", where = { mode = 1 } }', "1 never equals a bool"),
        ('csst-demo = ">=0"', 'csst-demo = ">=9"', "requires csst-demo >=9; installed is 0.1.0"),
        ('csst-demo = ">=0"', 'csst-demo = "nine"', "'nine' is no version range"),
        ('csst-demo = ">=0"', "", "uses stages of csst-demo; name it in [requires]"),
        ('csst-demo = ">=0"', 'csst-demo=">=0"\ncsst-no = ">=2"', "not installed: csst-no>=2"),
    ],
)
def test_every_problem_is_named(check: Check, old: str, new: str, told: str) -> None:
    assert GOOD.count(old) >= 1
    assert told in problems(check, GOOD.replace(old, new, 1))


def test_conditions_that_can_be_met_are_accepted(check: Check) -> None:
    where = 'obs_id = ["1", "2"], detector = { minimum = 6 }, exposure_time = 150, mode = true'
    raw = f'image = {{ definition = "demo.raw", where = {{ {where}, bricks = "any" }} }}'
    plan = check(GOOD.replace('image = { definition = "demo.raw" }', raw))
    assert plan.inputs[0].model.where["obs_id"] == ("1", "2")


@pytest.mark.parametrize(
    ("input_", "told"),
    [
        ("where = { detector = [[6]] }", "inputs.image.where.detector.0: expected text, a number"),
        ("where = { detector = 2028-01-01 }", "inputs.image.where.detector: expected text, a"),
        ("where = { detector = { minimun = 6 } }", "unknown key (did you mean 'minimum'?)"),
        ("where = { detector = { minimum = 6, maximum = 3 } }", "minimum is larger than maximum"),
        ("where = { detector = {} }", "needs minimum, maximum or both"),
        ("where = { detector = [] }", "inputs.image.where.detector: the list is empty"),
        ('by = ["obs_id", "obs_id"]', "inputs.image.by: 'obs_id' is named twice"),
    ],
)
def test_one_wrong_value_of_an_input_makes_one_line(check: Check, input_: str, told: str) -> None:
    with pytest.raises(Problems) as raised:
        check(GOOD.replace('definition = "demo.raw"', f'definition = "demo.raw", {input_}'))
    (line,) = raised.value.problems
    assert told in line


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('"detector"]', '"obs_id"]', "pipeline.group_by: 'obs_id' is named twice"),
        ('s = "demo.catalog"', 's = ["demo.catalog", "demo.catalog"]', "outputs.sources: 'demo."),
        ('s = "demo.catalog"', "s = []", "outputs.sources: the list is empty"),
        ('s = "demo.catalog"', 's = ["catalog"]', "outputs.sources.0: String"),
        ('s = "demo.catalog"', 's = ["demo.catalog", "catalog"]', "outputs.sources.1: String"),
        ('s = "demo.catalog"', "s = { a = 1 }", "outputs.sources: Input should be a valid str"),
        ('n = "demo.raw"', 'n = ["demo.raw", "demo.raw"]', "inputs.image.definition: 'demo.raw'"),
    ],
)
def test_a_wrong_list_of_names_makes_one_line(check: Check, old: str, new: str, told: str) -> None:
    with pytest.raises(Problems) as raised:
        check(GOOD.replace(old, new, 1))
    (line,) = raised.value.problems
    assert told in line


def test_a_stage_is_called_a_stage_once(check: Check) -> None:
    report = problems(check, GOOD.replace('"demo.solve"', '"demo.broken"'))
    assert "stage broken: demo.broken, parameter 'scale'" in report
    report = problems(check, GOOD.replace('"demo.solve"', '"demo.nothing"'))
    assert "stage nothing: no stage is called 'demo.nothing'" in report


def test_all_problems_come_in_one_report(check: Check) -> None:
    text = GOOD.replace("scale = 2", "scal = 2").replace('sources = "demo.catalog"', 'x = "demo.b"')
    report = problems(check, text, {"solv.x": 1, "detect": 2})
    assert "'scal'" in report
    assert "output x" in report
    assert "did you mean 'solve'?" in report
    assert "write STAGE.PARAMETER=VALUE" in report


def test_a_missing_plugin_makes_one_problem_that_names_its_distribution(check: Check) -> None:
    text = GOOD.replace("demo.solve", "gone.solve").replace("demo.set_wcs", "gone.set_wcs")
    text = text.replace('csst-demo = ">=0"', 'csst-demo = ">=0"\ncsst-gone = ">=1,<2"')
    with pytest.raises(Problems) as raised:
        check(text)
    (only,) = raised.value.problems
    assert "csst-gone" in only
    assert "gone" in only
    assert "pip install" in only


def test_a_parameter_without_value_names_both_ways_to_give_one(check: Check) -> None:
    text = GOOD.replace('group_by = ["obs_id", "detector"]', 'group_by = ["obs_id"]')
    assert "has no value; set it in params, or group by it" in problems(check, text)


def test_a_stage_that_takes_one_and_all_is_refused(check: Check) -> None:
    stage = '[[stage]]\nuse = "demo.mixed"\nin = { image = "images" }'
    assert "a stage is either mapped or takes the series" in problems(check, series(stage))


def test_a_stage_that_comes_too_early_is_told_so(check: Check) -> None:
    text = GOOD.replace('use = "demo.subtract"', 'use = "demo.set_wcs"\nid = "early"', 1)
    text = text.replace("params = { scale = 2 }", 'in = { wcs = "solve" }', 1)
    assert "the stage 'solve' comes after this one" in problems(check, text)


def test_an_optional_stage_may_not_change_the_type_of_a_name(check: Check) -> None:
    text = GOOD.replace(
        'use = "demo.solve"\nrequired = false',
        'use = "demo.solve"\nrequired = false\nout = { wcs = "image" }',
    )
    assert "it may fail, and 'image' is then still Image" in problems(check, text)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[pipeline", "is not TOML"),
        ("", "pipeline: missing"),
        (GOOD.replace("summary", "sumary"), "unknown key (did you mean 'summary'?)"),
        (GOOD.replace("use =", "uses =", 1), "unknown key (did you mean 'use'?)"),
        (GOOD.replace('image = { definition = "demo.raw" }', ""), "inputs"),
        (series("", more="minimum = 2"), "minimum needs many = true"),
    ],
)
def test_a_malformed_file_names_table_and_key(check: Check, text: str, told: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        check(text)
    assert told in str(raised.value)
