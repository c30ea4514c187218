"""A small instrument (``lab``), its files, and a run without worker processes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

import csstcore
from csstcore.plugins.registry import Registry
from csstcore.run import runner
from csstcore.run.record import JobRecord, load_record
from csstcore.run.request import Request, Summary
from csstcore.run.runner import run
from csstcore.testing.distributions import FakeDistributions
from csstcore.testing.in_process import InProcess, Silent
from csstcore.testing.registries import IsolatedRegistry

LAB = Path(__file__).parent / "lab"

HEAD = """
[pipeline]
name = "test"
summary = "A test"
group_by = ["obs_id", "detector"]
[requires]
csst-lab = ">=0.1"
"""
ONE = HEAD + '[inputs]\nimage = { definition = "lab.raw" }\n'


@pytest.fixture(scope="session")
def lab_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the installed distribution ``csst-lab``, for ``sys.path``."""
    folder = tmp_path_factory.mktemp("installed")
    texts = {
        path.relative_to(LAB).as_posix(): path.read_text()
        for path in LAB.rglob("*")
        if path.suffix in (".py", ".toml")
    }
    FakeDistributions(folder)("lab", texts.pop("plugin.py"), distribution="csst-lab", files=texts)
    return folder


@pytest.fixture
def lab(
    lab_folder: Path, isolated_registry: IsolatedRegistry, monkeypatch: pytest.MonkeyPatch
) -> Registry:
    monkeypatch.syspath_prepend(str(lab_folder))
    return isolated_registry(lab=import_module("csst_lab.plugin"))


def write_raw(folder: Path, obs_id: int, detector: int, value: float = 10.0, **more: Any) -> Path:
    """Write a raw frame of the lab: 4 x 5 pixels of one value."""
    shape = more.pop("shape", (4, 5))
    name, kind = more.pop("name", "RAW"), more.pop("kind", "RAW")
    primary = fits.PrimaryHDU()
    primary.header.update({"KIND": kind, "OBSID": str(obs_id), "DETECTOR": detector} | more)
    data = fits.ImageHDU(np.full(shape, value, np.float32), name="SCI")
    data.header["BUNIT"] = "adu"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}_{obs_id}_{detector}.fits"
    fits.HDUList([primary, data]).writeto(path, overwrite=True)
    return path


@dataclass
class Bench:
    """Runs pipelines of the lab in a folder of its own."""

    folder: Path
    registry: Registry
    last: Summary | None = None
    raw: Path = field(init=False)
    output: Path = field(init=False)

    def __post_init__(self) -> None:
        self.raw, self.output = self.folder / "raw", self.folder / "out"

    def pipeline(self, text: str) -> str:
        path = self.folder / "test.toml"
        path.write_text(text)
        return str(path)

    def request(self, text: str, *paths: Path, **options: Any) -> Request:
        options.setdefault("figures", False)
        return Request(self.pipeline(text), paths or (self.raw,), self.output, **options)

    def __call__(self, text: str, *paths: Path, **options: Any) -> dict[str, JobRecord]:
        """Run a pipeline on the raw files and return the records of the jobs that ran."""
        request = self.request(text, *paths, **options)
        self.last = run(request, self.registry, lambda _: InProcess(), Silent())
        return self.records(self.last)

    def one(self, text: str, *paths: Path, **options: Any) -> JobRecord:
        """Run a pipeline that has one job and return its record."""
        (record,) = self(text, *paths, **options).values()
        return record

    @staticmethod
    def records(summary: Summary) -> dict[str, JobRecord]:
        records = [load_record(path) for path in (summary.folder / "jobs").glob("*.json")]
        return {record.job: record for record in records}

    def product(self, record: JobRecord, name: str = "image") -> fits.HDUList:
        (file,) = [file for file in record.outputs if file.name == name]
        return fits.open(self.output / file.path)

    def data(self, record: JobRecord, name: str = "image") -> np.ndarray[Any, Any]:
        with self.product(record, name) as hdus:
            return np.array(hdus[1].data)


@pytest.fixture
def bench(tmp_path: Path, lab: Registry, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(runner, "write_report", lambda folder: folder / "report.html")
    return Bench(tmp_path, lab)


@pytest.fixture(scope="session")
def frozen_core(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources: editing them while the tests run is no change of code."""
    folder = tmp_path_factory.mktemp("core")
    shutil.copytree(
        Path(csstcore.__file__).parent,
        folder / "csstcore",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    return folder


Command = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def command(lab_folder: Path, frozen_core: Path) -> Iterator[Command]:
    """Start ``csstcore`` as users do; what still runs at the end of the test is killed."""
    started: list[subprocess.Popen[str]] = []

    def start(*words: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "csstcore.cli.main", *map(str, words)],
            env={**os.environ, "PYTHONPATH": f"{frozen_core}{os.pathsep}{lab_folder}"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()
