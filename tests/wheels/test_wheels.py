"""Every wheel by itself: a fresh environment with what it declares to need, and nothing else."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, distribution
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
NAMES = sorted(path.name for path in (ROOT / "plugins").iterdir() if path.is_dir())
OURS = {"csstcore": ROOT / "core"} | {f"csst-{name}": ROOT / "plugins" / name for name in NAMES}
pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Build all wheels; path by distribution."""
    dist = tmp_path_factory.mktemp("dist")
    for name, folder in OURS.items():
        source = tmp_path_factory.mktemp(name) / name
        shutil.copytree(folder, source, ignore=shutil.ignore_patterns("__pycache__", "tests"))
        run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", dist, source)
    return {name: next(dist.glob(f"{name.replace('-', '_')}-*.whl")) for name in OURS}


def run(*words: object, code: int = 0, folder: Path | None = None) -> str:
    """Run a command and return what it printed."""
    done = subprocess.run(
        [str(word) for word in words], capture_output=True, text=True, check=False, cwd=folder
    )
    assert done.returncode == code, f"{words}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


@dataclass(frozen=True)
class Environment:
    """A virtual environment."""

    folder: Path

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    @property
    def packages(self) -> Path:
        """Its site-packages."""
        (found,) = self.folder.glob("lib/python*/site-packages")
        return found

    def csstcore(self, *words: object, code: int = 0) -> str:
        """Run the installed command."""
        return run(self.folder / "bin" / "csstcore", *words, code=code, folder=self.folder)


def requirements(found: Distribution) -> Iterator[Requirement]:
    for text in found.requires or ():
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield requirement


def closure(*names: str) -> dict[str, Distribution]:
    """Return the named distributions and all they need, directly or not."""
    result: dict[str, Distribution] = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop().lower().replace("_", "-")
        if name not in result:
            result[name] = distribution(name)
            waiting += [requirement.name for requirement in requirements(result[name])]
    return result


def make(folder: Path, wheels: dict[str, Path], *names: str, alone: bool = False) -> Environment:
    """Make an environment with wheels of ours and links to the foreign packages they declare.

    Parameters
    ----------
    alone
        Without those of our distributions that the named ones require.
    """
    venv.create(folder, with_pip=False)
    environment = Environment(folder)
    wanted = closure(*names, "pytest")
    for name, found in wanted.items():
        if name not in OURS:
            link(found, environment.packages)
    ours = [name for name in wanted if name in OURS and (name in names or not alone)]
    pip = (sys.executable, "-m", "pip", "--python", environment.python)
    run(*pip, "install", "--no-index", "--no-deps", *(wheels[name] for name in ours))
    return environment


def link(found: Distribution, packages: Path) -> None:
    for top in {file.parts[0] for file in found.files or ()} - {"..", "__pycache__"}:
        if not (packages / top).exists():
            (packages / top).symlink_to(Path(str(found.locate_file(top))))


@pytest.mark.parametrize("name", NAMES)
def test_a_wheel_works_with_what_it_requires(
    wheels: dict[str, Path], tmp_path: Path, name: str
) -> None:
    own = f"csst-{name}"
    environment = make(tmp_path / "environment", wheels, "csstcore", own)
    run(environment.python, "-c", f"import csst_{name}", folder=tmp_path)
    plugins = json.loads(environment.csstcore("list", "plugins", "--json"))
    required = {key.removeprefix("csst-") for key in closure(own) if key in OURS} - {"csstcore"}
    assert {plugin["namespace"] for plugin in plugins} == required
    assert {plugin["state"] for plugin in plugins} == {"active"}
    located = run(environment.python, "-c", f"import csst_{name} as m; print(m.__file__)")
    assert located.startswith(str(environment.folder))
    environment.csstcore("doctor")
    shutil.copytree(OURS[own] / "tests", tmp_path / "tests")
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --import-mode=importlib\n")
    test = tmp_path / "tests" / "test_contract.py"
    said = run(environment.python, "-m", "pytest", "-q", "--noconftest", test, folder=tmp_path)
    assert "passed" in said


@pytest.mark.parametrize("name", NAMES)
def test_a_wheel_holds_its_toml_and_no_tests(wheels: dict[str, Path], name: str) -> None:
    files = zipfile.ZipFile(wheels[f"csst-{name}"]).namelist()
    source = OURS[f"csst-{name}"] / "src"
    wanted = {path.relative_to(source).as_posix() for path in source.rglob("*.toml")}
    assert wanted <= set(files)
    assert f"csst_{name}/py.typed" in files
    assert not [file for file in files if "tests/" in file or file.endswith((".pyc", ".nbi"))]


@pytest.mark.parametrize(
    ("installed", "pipeline", "missing"),
    [
        (["csst-calib"], "calib.make_bias", ["csst-msc"]),
        (["csst-mbi", "csst-msc", "csst-calib"], "mbi.l1", ["csst-imaging"]),
        (["csst-mbi"], "mbi.l1", ["csst-imaging", "csst-msc", "csst-calib"]),
    ],
)
def test_a_pipeline_names_the_distributions_it_lacks(
    wheels: dict[str, Path],
    tmp_path: Path,
    installed: list[str],
    pipeline: str,
    missing: list[str],
) -> None:
    environment = make(tmp_path / "environment", wheels, "csstcore", *installed, alone=True)
    said = environment.csstcore("describe", pipeline, code=2)
    assert "Traceback" not in said
    assert all(name in said for name in missing)


def test_the_core_alone_lists_nothing(wheels: dict[str, Path], tmp_path: Path) -> None:
    environment = make(tmp_path / "environment", wheels, "csstcore")
    assert "no plugins are installed" in environment.csstcore("list")


def test_versions_fit_each_other() -> None:
    trees: dict[str, Any] = {
        name: tomllib.loads((folder / "pyproject.toml").read_text())["project"]
        for name, folder in OURS.items()
    }
    for tree in trees.values():
        for text in tree["dependencies"]:
            requirement = Requirement(text)
            if requirement.name in trees:
                assert requirement.specifier.contains(trees[requirement.name]["version"])
