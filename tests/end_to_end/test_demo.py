"""The demonstration runs to its end, here on the small detector."""

import subprocess
import sys
from pathlib import Path

DEMO = Path(__file__).parents[2] / "examples" / "demo" / "demo.py"


def test_the_demonstration_compares_level_1_with_the_truth(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, str(DEMO), str(tmp_path), "--small"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    found = ("detect_cosmic_rays    done", "calibrate_flux        done", "zero point         2")
    for word in (*found, "whole job", "sources  ", "recall", "report  "):
        assert word in ended.stdout
    assert (tmp_path / "summary.png").stat().st_size > 10_000
