"""``csstcore new plugin``: a package that passes its own tests, ruff and mypy at once."""

import os
import subprocess
import sys

import pytest

from csstcore.cli.main import main


def run(folder, *arguments, path=""):
    """Run a module of this Python in a folder and return what it said if it failed."""
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(path), "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr if done.returncode else ""


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """Make a plugin package and install its wheel into a folder of its own."""
    folder = tmp_path_factory.mktemp("new")
    assert main(["new", "plugin", "try_it", "--folder", str(folder)]) == 0
    installed = folder / "installed"
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--target", str(installed)]
    assert not run(folder / "try_it", "pip", "install", *options, ".")
    return folder / "try_it", installed


def test_the_new_plugin_passes_its_own_tests(package):
    folder, installed = package
    assert not run(folder, "pytest", "-q", "-p", "no:cacheprovider", path=installed)


def test_the_new_plugin_lists_itself(package):
    folder, installed = package
    program = "csstcore.cli.main"
    done = subprocess.run(
        [sys.executable, "-m", program, "list", "stages"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "try_it.subtract_level" in done.stdout


@pytest.mark.parametrize("arguments", [("check", "."), ("format", "--check", ".")])
def test_the_new_plugin_passes_ruff(package, arguments):
    pytest.importorskip("ruff")
    assert not run(package[0], "ruff", *arguments, "--no-cache")


def test_the_new_plugin_passes_mypy(package, tmp_path):
    pytest.importorskip("mypy")
    assert not run(package[0], "mypy", "--cache-dir", str(tmp_path), path=package[1])


@pytest.mark.parametrize("name", ["two-words", "Upper", "1st", "class", "a/b", "..", "日"])
def test_a_name_that_cannot_be_a_namespace_is_refused(tmp_path, capsys, name):
    assert main(["new", "plugin", name, "--folder", str(tmp_path)]) == 2
    assert f"the name {name!r} cannot be a namespace" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_an_existing_folder_is_not_touched(tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    assert main(["new", "plugin", "mine", "--folder", str(tmp_path)]) == 2
    assert "exists; choose another name" in capsys.readouterr().err
    assert not list((tmp_path / "mine").iterdir())


def test_a_folder_that_cannot_be_written_is_said(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["new", "plugin", "mine", "--folder", str(tmp_path / "file" / "deep")]) == 2
    assert "cannot be written: Not a directory" in capsys.readouterr().err
