"""The contract tests pass on a good plugin, and each rule fails on a plugin that breaks it."""

import pytest

# Imported here once: pytester forgets what an inner run imports.
import csstcore.pipeline.check
import csstcore.testing.contract
import csstcore.testing.fingerprint  # noqa: F401
from csstcore.plugins.discovery import discover

pytest_plugins = ["pytester"]

PLUGIN = """
from __future__ import annotations

from csstcore.plugin import Check, Definition, Pipeline, Stage, hookimpl


@hookimpl
def csst_stages() -> list[Stage]:
    return [
        Stage("shift", "fake_good.stages:shift", "Shift an image"),
        Stage("stack", "fake_good.stages:stack", "Stack images"),
    ]


@hookimpl
def csst_checks() -> list[Check]:
    return [Check("level", "fake_good.stages:level", "Level of an image")]


@hookimpl
def csst_definitions() -> list[Definition]:
    return [Definition("image", "image.toml", "An image")]


@hookimpl
def csst_pipelines() -> list[Pipeline]:
    return [Pipeline("l1", "l1.toml", "Level 1")]
"""

STAGES = '''
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

from csstcore.api import Image, InPlace


def shift(image: InPlace[Image], bias: Image, *, by: float = 1.0) -> Image:
    """Shift an image."""
    image.data += by * bias.data
    return image


def stack(images: Sequence[Image]) -> tuple[
    Annotated[Image, "stacked"], Annotated[Sequence[Image | None], "kept"]
]:
    """Stack images.

    And more.
    """
    return replace(images[0]), [None for _ in images]


def level(image: Image) -> float:
    """Level of an image."""
    return 0.0
'''

DEFINITION = """
[definition]
name = "image"
summary = "An image"
product = "Image"
source = "this test"

[file]
name = "image_{obs_id}.fits"

[file.fields]
obs_id = { pattern = "\\\\d+", from = "meta.obs_id" }

[meta]
obs_id = "OBSID"

[[hdu]]
name = "PRIMARY"
plane = "data"

[hdu.keywords]
OBSID = { type = "str", required = true, comment = "exposure", from = "meta.obs_id" }
"""

PIPELINE = """
[pipeline]
name = "l1"
summary = "Level 1"
group_by = ["obs_id"]

[inputs]
image = { definition = "good.image" }
bias = { definition = "good.image", optional = false }

[[stage]]
use = "good.shift"

[outputs]
image = "good.image"
"""

TESTS = """
import numpy as np
from csstcore.api import Image
from csstcore.testing.contract import *

PLUGIN = "good"


def make():
    return Image(np.ones((2, 2), np.float32))


def examples():
    return {"shift": ((make(), make()), {"by": 2.0}), "stack": (([make(), make()],), {})}
"""


@pytest.fixture
def contract(fake_distribution, pytester):
    """Run the contract tests on the good plugin, parts of it replaced."""

    def run(*swaps, tests=TESTS, **more):
        files = {"stages.py": STAGES, "image.toml": DEFINITION, "l1.toml": PIPELINE}
        sources = {"plugin.py": PLUGIN, **files, **more}
        for old, new in swaps:
            assert any(old in text for text in [*sources.values(), tests])
            sources = {path: text.replace(old, new) for path, text in sources.items()}
            tests = tests.replace(old, new)
        fake_distribution("good", sources.pop("plugin.py"), files=sources)
        pytester.makepyfile(test_it=tests)
        options = [f"-pno:{name}" for name in ("cacheprovider", "hypothesispytest", "xdist")]
        outcome = pytester.runpytest_inprocess("-q", *options)
        discover.cache_clear()
        failed = [line for line in outcome.outlines if line.startswith(("FAILED", "ERROR"))]
        return outcome.parseoutcomes(), "\n".join(failed), outcome.stdout.str()

    return run


def test_a_good_plugin_keeps_the_contract(contract):
    counts, failed, text = contract()
    assert not failed, text
    assert counts == {"passed": 20, "skipped": 1}


@pytest.mark.parametrize(
    ("old", "new", "test"),
    [
        (
            "from csstcore.plugin import Check",
            "import numpy\nfrom csstcore.plugin import Check",
            "test_plugin_module_is_cheap_to_import",
        ),
        (
            "from csstcore.plugin import Check",
            "import re\nfrom csstcore.plugin import Check",
            "test_plugin_sees_only_the_public_core",
        ),
        (
            "import Image, InPlace",
            "import Image, InPlace\nfrom csstcore import errors",
            "test_plugin_sees_only_the_public_core",
        ),
        (
            "return 0.0",
            "import csst_calib\n    return 0.0",
            "test_plugin_sees_only_the_public_core",
        ),
        ("stages:level", "stages:lever", "test_target_is_importable"),
        ("Shift an image.", "Move an image.", "test_summary_is_that_of_the_code"),
        ('"""Stack images.', '"""', "test_summary_is_that_of_the_code"),
        ('summary = "Level 1"', 'summary = "Level 2"', "test_summary_is_that_of_the_code"),
        ("bias: Image,", "bias,", "test_stage_signature_is_accepted"),
        ('product = "Image"', 'prodcut = "Image"', "test_definition_loads"),
        ('use = "good.shift"', 'use = "good.shiver"', "test_pipeline_passes_the_static_check"),
        ('"stack": (([make(), make()],), {})', "", "test_every_stage_has_an_example"),
        ('"stack": ((', '"stuck": ((', "test_every_stage_has_an_example"),
        (
            "image.data += by * bias.data",
            "bias.data += 1",
            "test_stage_leaves_its_inputs_unchanged",
        ),
        (
            "return replace(images[0])",
            "images[1].data[0] = 7\n    return replace(images[0])",
            "test_stage_leaves_its_inputs_unchanged",
        ),
        ("    return image\n", "    return image.data\n", "test_stage_returns_what_it_declares"),
        ("[None for _ in images]", "[0 for _ in images]", "test_stage_returns_what_it_declares"),
        (
            "image.data += by",
            "raise NotApplicable('no')\n    image.data += by",
            "test_stage_returns_what_it_declares",
        ),
        ("[Check(", "[", "test_plugin_is_active"),
        ('PLUGIN = "good"', 'PLUGIN = "other"', "test_plugin_is_active"),
        ('PLUGIN = "good"', "", "test_plugin_is_active"),
    ],
)
def test_a_broken_rule_fails_its_test(contract, old, new, test):
    swaps = [(old, new)]
    if "NotApplicable" in new:
        swaps.append(("import Image, InPlace", "import Image, InPlace, NotApplicable"))
    _, failed, text = contract(*swaps)
    assert test in failed, text


REQUIRES = '[requires]\ncsst-not-there = ">=0.1"\n\n[inputs]'
STAGE = '[[stage]]\nuse = "not_there.move"\nin = { image = "image" }\n\n[outputs]'


def test_a_pipeline_may_lack_distributions_that_it_requires(contract):
    counts, failed, text = contract(("[inputs]", REQUIRES), ("[outputs]", STAGE))
    assert not failed, text
    assert counts == {"passed": 20, "skipped": 1}


def test_a_pipeline_may_lack_nothing_else(contract):
    _, failed, text = contract(("[outputs]", STAGE))
    assert "test_pipeline_passes_the_static_check" in failed, text


def test_a_plugin_without_stages_needs_no_examples(contract):
    plugin = "from csstcore.plugin import hookimpl\n"
    tests = 'from csstcore.testing.contract import *\nPLUGIN = "good"\n'
    counts, failed, text = contract(tests=tests, **{"plugin.py": plugin})
    assert not failed, text
    assert counts == {"passed": 4, "skipped": 8}


RULES = """
@hookimpl
def csst_references():
    from csstcore.plugin import ReferenceRules

    return [ReferenceRules("good.bias", "rules.toml", "The shipped bias")]
"""


@pytest.mark.parametrize(
    ("rule", "passes"),
    [('file = "image.toml"', True), ('file = "not_there.toml"', False), ('flie = "x"', False)],
)
def test_shipped_rules_are_valid_and_complete(contract, rule, passes):
    text = f'[reference]\ntype = "good.bias"\n\n[[rule]]\n{rule}\n'
    _, failed, output = contract(**{"plugin.py": PLUGIN + RULES, "rules.toml": text})
    assert ("test_reference_rules_load" not in failed) == passes, output
