"""A folder of simulated calibration frames, and a store that the pipelines fill in order."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from ..end_to_end.observatory import csstcore

DETECTOR = 8
BIASES = [("BIAS", 0.0)] * 6
DARKS = [("DARK", seconds) for seconds in (300.0, 300.0, 600.0, 900.0, 900.0)]
FLATS = [("FLAT", seconds) for seconds in (0.5, 1.0, 8.0, 20.0, 32.0, 44.0, 60.0)] * 2
ORDER = ("gain", "bias", "nonlinearity", "dark", "shutter", "flat", "bad_pixels")
DRAWN = ("gain", "nonlinearity", "bad_pixels")
"""References whose pictures are drawn; the others have the same."""


@dataclass(frozen=True)
class Laboratory:
    """Where everything lies."""

    folder: Path

    @property
    def frames(self) -> Path:
        return self.folder / "raw" / "products"

    @property
    def references(self) -> Path:
        return self.folder / "references"

    def made(self, name: str) -> Path:
        """The reference of a kind."""
        (path,) = (self.folder / "made" / "products").rglob(f"MSC_{DETECTOR}_{name}_2*.fits")
        return path

    def make(self, pipeline: str, name: str) -> None:
        """Make a reference from the folder of frames and put it to use."""
        out = self.folder / "made"
        figures = () if name in DRAWN else ("--no-figures",)
        csstcore("run", pipeline, self.frames, "-o", out, "--refs", self.references, *figures)
        words = ("refs", "add", f"calib.{name}", self.made(name), "--useafter", "always")
        csstcore(*words, "--refs", self.references)


def write_plan(path: Path) -> None:
    text = 'name = "toolkit"\nkind = "calibration"\nreadout = "920x608"\n'
    text += f"detectors = [{DETECTOR}]\ninstrument_seed = 3\n"
    for number, (kind, seconds) in enumerate(BIASES + DARKS + FLATS, 1):
        text += f'\n[[exposure]]\nobs_id = "101{number:08d}"\nfile_type = "{kind}"\n'
        text += f"time = 2027-08-01T{number // 6:02d}:{number % 6}0:00Z\n"
        text += f"exposure_time_s = {seconds}\nlamp_electron_per_s = 1500.0\n"
    path.write_text(text)


@pytest.fixture(scope="session")
def laboratory(tmp_path_factory: pytest.TempPathFactory) -> Laboratory:
    """Simulate all frames and make every reference from the same folder."""
    laboratory = Laboratory(tmp_path_factory.mktemp("laboratory"))
    laboratory.references.mkdir()
    plan = laboratory.folder / "plan.toml"
    write_plan(plan)
    words = ("run", "sim.msc_calibration", plan, "-o", laboratory.folder / "raw")
    csstcore(*words, "-j", 2, "--no-figures")
    for name in ORDER:
        laboratory.make("calib.make_ptc" if name == "gain" else f"calib.make_{name}", name)
    return laboratory
