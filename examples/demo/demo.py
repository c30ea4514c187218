"""The demonstration: simulate, calibrate, run ``mbi.l1``, and compare with the truth.

Every step is a ``csstcore`` command that is printed before it runs; only the plans and the
final comparison are made here.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from make_plans import FULL, SMALL, write_plans
from summary import print_summary

DETECTOR = 8
SEED = 20
SKY_STARS_FROM = "2027-08-01T12:00:00"
"""After the exposure of the standard field, before that of the sky."""


def main() -> int:
    """Run the demonstration in a folder; the same command goes on where it was stopped."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where everything is written")
    parser.add_argument("--small", action="store_true", help="use the small test detector")
    arguments = parser.parse_args()
    folder: Path = arguments.folder
    references = folder / "references"
    references.mkdir(parents=True, exist_ok=True)
    os.environ["CSSTCORE_REFS"] = str(references)
    start = time.monotonic()
    readout = SMALL if arguments.small else FULL
    calibration, standard, sky = write_plans(folder, readout, DETECTOR, SEED)
    simulate(folder, calibration, standard, sky)
    make_references(folder)
    make_colour_terms(folder)
    csstcore("run", "mbi.l1", products(folder / "exposure", "*_L0_*.fits"), "-o", folder / "level1")
    print_summary(folder)
    print(f"\nall of it took {time.monotonic() - start:.0f} s")
    return 0


def simulate(folder: Path, calibration: Path, standard: Path, sky: Path) -> None:
    """Simulate calibration frames, the sky, and one exposure each of two fields of it."""
    csstcore("run", "sim.msc_calibration", calibration, "-o", folder / "calibration", "-j", "2")
    csstcore("run", "sim.sky", standard, sky, "-o", folder / "sky", "-j", "2")
    csstcore("run", "sim.msc_imaging", standard, "-o", folder / "standard")
    csstcore("run", "sim.msc_imaging", sky, "-o", folder / "exposure")


def make_references(folder: Path) -> None:
    """Make every reference from the simulated frames; each goes into the store at once.

    The gain comes first and holds for all times: the other references are in electrons.
    """
    for name, start in (("standard", "always"), ("sky", SKY_STARS_FROM)):
        (stars,) = products(folder / "sky" / "products" / "sim.sky" / name, "reference_stars.fits")
        csstcore("refs", "add", "imaging.stars", stars, "--useafter", start)
    frames = products(folder / "calibration", "*_L0_*.fits")
    for name in ("gain", "bias", "nonlinearity", "dark", "flat"):
        always = ["--useafter", "always"] if name == "gain" else []
        csstcore("refs", "make", f"calib.make_{name}", frames, "-o", folder / "made", *always)


def make_colour_terms(folder: Path) -> None:
    """Take the standard field to Level 1, and the relation to Gaia's photometry from there."""
    raw = products(folder / "standard", "*_L0_*.fits")
    csstcore("run", "mbi.l1", raw, "-o", folder / "standard_level1")
    catalogs = products(folder / "standard_level1", "*_CAT.fits")
    csstcore("refs", "make", "mbi.make_colour_terms", catalogs, "-o", folder / "made")


def products(folder: Path, pattern: str) -> list[Path]:
    """Return the files below `folder` that match, sorted."""
    return sorted(folder.rglob(pattern))


def csstcore(*words: str | Path | Iterable[Path]) -> None:
    """Run a ``csstcore`` command, or end with its exit code."""
    command = [str(Path(sys.executable).with_name("csstcore"))]
    for word in words:
        command += [str(word)] if isinstance(word, (str, Path)) else map(str, word)
    shown = " ".join(["csstcore", *command[1:]])
    print(f"\n$ {shown if len(shown) < 160 else shown[:157] + '...'}", flush=True)
    code = subprocess.run(command, check=False).returncode
    if code:
        sys.exit(code)


if __name__ == "__main__":
    if shutil.which("csstcore", path=str(Path(sys.executable).parent)) is None:
        sys.exit("csstcore is not installed beside this Python; run `make demo`")
    sys.exit(main())
