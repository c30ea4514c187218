"""The commands of the quick start work as printed, and so do the pipelines that pages show."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .pages import ROOT, blocks

PAGE = "docs/quick_start.md"
ELSEWHERE = ("make demo", "activate", "pip install", "pytest", "lab.clean")
"""What is tried by the demonstration and by the tests of ``csstcore new``."""


@pytest.mark.slow
def test_the_commands_of_the_quick_start_work(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "examples" / "quick_start", tmp_path / "examples" / "quick_start")
    shown = [line for b in blocks("console") if b.page == PAGE for line in b.text.splitlines()]
    lines = [
        line.removeprefix("$ ") for line in shown if not any(word in line for word in ELSEWHERE)
    ]
    assert len(lines) > 15
    shown_pipelines = blocks(check="pipeline")
    for number, block in enumerate(shown_pipelines):
        (tmp_path / f"shown_{number}.toml").write_text(block.text)
        lines.append(f"csstcore run shown_{number}.toml quick/raw -o shown --no-figures")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-c", "set -ex\n" + "\n".join(lines)],
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "_IMG.fits: good" in done.stdout
    assert "0 of 1 jobs would run" in done.stdout
    assert "1 of 1 jobs would run" in done.stdout
    assert len(list((tmp_path / "shown" / "runs").iterdir())) == len(shown_pipelines)
    assert (tmp_path / "quick" / "lab" / "pyproject.toml").is_file()
