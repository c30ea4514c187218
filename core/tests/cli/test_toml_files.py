"""`validate` and `describe` of a definition or pipeline given by its path."""

import json

import pytest

from csstcore.cli.main import main

DEFINITION = """
[definition]
name = "raw"
summary = "Raw frame"
product = "Image"
[[hdu]]
name = "PRIMARY"
plane = "data"
"""
PIPELINE = """
[pipeline]
name = "quick"
summary = "A pipeline"
[inputs]
image = { definition = "gone.raw" }
[[stage]]
use = "gone.clean"
[outputs]
image = "gone.raw"
"""


@pytest.fixture
def write(tmp_path, fake_distribution):
    """Write a TOML file beside an installation of one plugin."""
    fake_distribution("good")

    def write_text(text):
        path = tmp_path / "own.toml"
        path.write_text(text)
        return str(path)

    return write_text


def test_a_good_definition_is_good_and_described(write, capsys):
    path = write(DEFINITION)
    assert main(["validate", path]) == 0
    assert capsys.readouterr().out == f"{path}: good (definition)\n"
    assert main(["describe", path]) == 0
    assert "Raw frame" in capsys.readouterr().out


def test_everything_wrong_with_a_definition_is_said(write, capsys):
    path = write(DEFINITION.replace("summary", "sumary").replace('"data"', "3"))
    assert main(["validate", path]) == 5
    out = capsys.readouterr().out
    assert f"{path}: bad (definition)\n" in out
    assert "definition.summary: missing" in out
    assert "did you mean 'summary'?" in out
    assert "hdu.0.plane" in out
    assert main(["describe", path]) == 2


def test_the_product_of_a_definition_must_exist(write, capsys):
    path = write(DEFINITION.replace('"Image"', '"Imag"'))
    assert main(["validate", path, "--json"]) == 5
    (report,) = json.loads(capsys.readouterr().out)
    assert report["is"] == "definition"
    assert "did you mean 'Image'?" in report["problems"][0]


def test_a_pipeline_is_checked_as_one(write, capsys):
    path = write(PIPELINE)
    assert main(["validate", path]) == 5
    out = capsys.readouterr().out
    assert f"{path}: bad (pipeline)\n" in out
    assert "no installed plugin is called gone" in out


@pytest.mark.parametrize("text", ["[scene]\n", "[pipeline", "x = 3\n"])
def test_any_other_toml_is_a_file_like_others(write, text, capsys):
    assert main(["validate", write(text)]) == 5
    assert "own.toml: bad\n" in capsys.readouterr().out
