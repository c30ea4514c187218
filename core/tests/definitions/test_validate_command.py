"""``csstcore validate``: verdicts, reasons and exit codes."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import ModuleType

import pytest
from click.testing import CliRunner

from csstcore.cli.validate import command
from csstcore.definitions.sources import Sources
from csstcore.definitions.write import write_product
from csstcore.errors import ConfigurationError, CsstError
from csstcore.plugin import Definition, Reader, hookimpl
from csstcore.plugins.registry import Registry

READER = """
import numpy as np
from csstcore.api import Image

def read(path, *, header_only=False):
    if path.read_bytes()[:4] != b"TEXT":
        raise RuntimeError("no text")
    return {"OBSID": "12", "KIND": "text"}, [] if header_only else [Image(np.zeros((2, 2)))]
"""
TEXT = """
[definition]
name = "text"
summary = ""
product = "Image"
reader = "lab.text"
[identify]
KIND = "text"
[meta]
obs_id = "OBSID"
"""


@pytest.fixture
def texts(camera_text) -> dict[str, str]:
    return {"frame": camera_text}


def plugin(folder: Path, names: list[str]) -> ModuleType:
    module = ModuleType("lab_plugin")
    module.__file__ = str(folder / "lab_plugin.py")
    (folder / "lab_reader.py").write_text(READER)

    @hookimpl
    def csst_definitions() -> list[Definition]:
        """Return definitions."""
        return [Definition(name, f"{name}.toml", "A definition") for name in names]

    @hookimpl
    def csst_readers() -> list[Reader]:
        """Return readers."""
        return [Reader("text", "lab_reader:read", "Read text")]

    module.csst_definitions = csst_definitions
    module.csst_readers = csst_readers
    return module


@pytest.fixture
def run(texts, tmp_path, monkeypatch):
    """Run the command with a made-up plugin; returns exit code and output."""
    folder = tmp_path / "lab"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    for name, text in {**texts, "text": TEXT}.items():
        (folder / f"{name}.toml").write_text(text)
    registry = Registry.of({"lab": plugin(folder, [*texts, "text"])})
    monkeypatch.setattr("csstcore.plugins.discovery.discover", lambda: registry)

    def call(*arguments: object) -> tuple[int, str]:
        result = CliRunner().invoke(command, [str(argument) for argument in arguments])
        assert result.exception is None or isinstance(result.exception, (SystemExit, CsstError))
        if isinstance(result.exception, CsstError):
            raise result.exception
        return result.exit_code, result.output

    return call


@pytest.fixture
def good(camera, image, tmp_path) -> Path:
    return write_product(camera, image, Sources(), tmp_path)


@pytest.fixture
def bad(camera, image, tmp_path) -> Path:
    path = write_product(camera, image, Sources(), tmp_path / "bad")
    content = path.read_bytes()
    path.write_bytes(content.replace(b"'10100000001'", b"'1010000000x'", 1))
    return path


def test_good_files(run, good) -> None:
    assert run(good) == (0, f"{good}: good (lab.frame)\n")


def test_bad_files_with_every_reason(run, good, bad) -> None:
    code, output = run(good, bad)
    assert code == 4
    assert f"{bad}: bad (lab.frame)\n" in output
    assert "keyword OBSID: found '1010000000x'" in output
    assert "HDU PRIMARY: CHECKSUM" in output
    assert run(bad)[0] == 5


def test_a_file_nothing_recognises_names_the_nearest(run, good) -> None:
    other = good.rename(good.with_name("x.fits"))
    code, output = run(other)
    assert code == 5
    assert "no definition recognises it; nearest is lab.frame, but file name 'x.fits'" in output


def test_a_given_definition_is_used_whatever_the_name(run, good) -> None:
    other = good.rename(good.with_name("x.fits"))
    code, output = run("--definition", "lab.frame", other)
    assert code == 5
    assert "file name 'x.fits': expected CAM_" in output
    with pytest.raises(ConfigurationError, match=r"lab\.frame"):
        run("--definition", "lab.fram", other)


def test_json_for_scripts(run, good, bad) -> None:
    code, output = run("--json", good, bad)
    assert code == 4
    reports = json.loads(output)
    assert [report["good"] for report in reports] == [True, False]
    assert list(reports[1]["definitions"]) == ["lab.frame"]


def test_unreadable_files_are_bad(run, tmp_path) -> None:
    (tmp_path / "empty.fits").touch()
    code, output = run(tmp_path / "empty.fits", tmp_path / "none.fits")
    assert code == 5
    assert "begins with an empty file" in output or "no text" in output
    assert "No such file" in output or "no text" in output


def test_a_pipe_is_bad_and_is_not_waited_for(run, tmp_path) -> None:
    os.mkfifo(tmp_path / "pipe.fits")
    code, text = run(tmp_path / "pipe.fits")
    assert code == 5
    assert "pipe.fits: no regular file" in text


def test_a_definition_with_its_own_reader(run, tmp_path) -> None:
    path = tmp_path / "x.txt"
    path.write_bytes(b"TEXT")
    assert run(path) == (0, f"{path}: good (lab.text)\n")


def test_a_broken_definition_is_named_and_the_others_still_work(texts, request, good) -> None:
    texts["broken"] = "[definition]\nname = 1"
    run = request.getfixturevalue("run")
    code, output = run(good)
    assert code == 0
    assert "not used: " in output
    assert "broken.toml" in output
    assert f"{good}: good (lab.frame)" in output


def test_usage(run) -> None:
    assert run()[0] == 2
