"""An observatory in a folder: simulated frames, references made of them, Level 1.

Everything runs as users run it: ``csstcore`` in processes of its own. The demonstration does the
same with full frames.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from csst_sim.plan import Plan, parse_plan
from csstcore.run.record import JobRecord, load_record

DETECTOR, SEED = 8, 3
SKY_OBS_ID = "10100000101"
JOB = f"{SKY_OBS_ID}_{DETECTOR}"
SECONDS = 120
ROOT = Path(__file__).parents[2]
_environment: dict[str, str] = {}


def freeze_sources(folder: Path) -> None:
    """Let all further commands use a copy of the sources.

    Editing them while the tests run is then no change of code.
    """
    for package in ROOT.glob("plugins/*/src/*"):
        shutil.copytree(package, folder / package.name)
    shutil.copytree(ROOT / "core" / "src" / "csstcore", folder / "csstcore")
    _environment["PYTHONPATH"] = str(folder)


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


def start(*words: object, **environment: str) -> subprocess.Popen[str]:
    """Start ``csstcore`` in a process of its own."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("CSSTCORE")}
    return subprocess.Popen(
        [sys.executable, "-m", "csstcore.cli.main", *map(str, words)],
        env={**clean, **_environment, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> Done:
    """Wait for a command."""
    try:
        out, err = process.communicate(timeout=SECONDS)
    finally:
        process.kill()
    return Done(process.returncode, out, err)


def csstcore(*words: object, code: int = 0) -> Done:
    """Run ``csstcore`` and insist on its exit code."""
    done = finish(start(*words))
    assert done.code == code, f"{words}\n{done.out}\n{done.err}"
    assert "Traceback" not in done.err
    return done


@dataclass(frozen=True)
class Observatory:
    """Where everything lies."""

    folder: Path

    @property
    def calibration(self) -> Path:
        """Raw calibration frames."""
        return self.folder / "calibration"

    @property
    def raw(self) -> Path:
        """Raw exposure of the sky, with truth."""
        return self.folder / "raw"

    @property
    def standard(self) -> Path:
        """Raw exposure of the standard field."""
        return self.folder / "standard"

    @property
    def references(self) -> Path:
        """The reference store."""
        return self.folder / "references"

    @property
    def level1(self) -> Path:
        """Output folder of ``mbi.l1``."""
        return self.folder / "level1"

    @property
    def run_folder(self) -> Path:
        """The first run of ``mbi.l1``."""
        return min((self.level1 / "runs").iterdir())

    @property
    def record(self) -> JobRecord:
        """The record of Level 1."""
        return load_record(self.run_folder / "jobs" / f"{JOB}.json")

    @property
    def plan(self) -> Plan:
        """The plan of the exposure."""
        path = self.folder / "sky.toml"
        return parse_plan(tomllib.loads(path.read_text()), str(path))

    def product(self, ending: str) -> Path:
        """The Level 1 file whose name ends so."""
        (path,) = (self.level1 / "products" / "mbi.l1" / JOB).glob(f"*{ending}.fits")
        return path

    def truth(self, ending: str) -> Path:
        """A file that the simulator wrote beside the raw exposure."""
        (path,) = (self.raw / "products" / "sim.msc_imaging" / JOB).glob(f"*{ending}.fits")
        return path

    def run_level1(self, *words: object, output: Path | None = None, code: int = 0) -> Done:
        """Run ``mbi.l1`` on the raw exposure."""
        return csstcore(
            *("run", "mbi.l1", self.raw / "products", "-o", output or self.level1),
            *("--refs", self.references, *words),
            code=code,
        )
