"""100 full frames of the coronagraph through cpic.l1: time, memory, accuracy against the truth.

    python benchmarks/cpic_level1.py FOLDER              # a folder with 4 GB of room; it is emptied
    python benchmarks/cpic_level1.py FOLDER --em-gain 50

The frames are simulated with all effects, and calibrated with the true flat, dark, clock-induced
charge, gains, linearity and charge transfer of the simulated camera and a bias of 60 frames. The
exit code is 1 if the command takes more than 60 s or 2 GB.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tomllib
from importlib.resources import files
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.table import QTable
from level1_chain import Usage, measured
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from csst_cpic.detector import Detector
from csst_cpic.stages.bias_level import subtract_bias_level
from csst_sim.cpic.calibration import true_references
from csst_sim.cpic.direct import SimulatedFrames, simulate_frames
from csst_sim.cpic.series import hit_mask
from csstcore.api import Image, replace
from csstcore.definitions.catalog import Definitions
from csstcore.definitions.sources import Sources
from csstcore.definitions.write import write_product
from csstcore.plugins.discovery import discover

READOUT, SHAPE = "1080x1050", (1024, 1024)
SECONDS, BIAS_FRAMES, CLIP_ADU = 10.0, 60, 25.0
LIMIT_S, LIMIT_BYTES = 60.0, 2.0e9


def light() -> NDArray[np.float32]:
    """Electrons per second: speckles about the middle, a planet, a faint background."""
    y, x = np.indices(SHAPE)
    speckles = gaussian_filter(np.random.default_rng(3).normal(size=SHAPE), 1.8) ** 2
    glow = 0.05 * speckles / speckles.mean() * np.exp(-np.hypot(y - 511.5, x - 511.5) / 25)
    planet = 0.3 * np.exp(-((y - 490) ** 2 + (x - 530) ** 2) / 6)
    return (0.002 + glow + planet).astype(np.float32)


def prepare(folder: Path, frames: int, em_gain: float) -> SimulatedFrames:
    """Write Level 0 and a store of references."""
    definitions = Definitions(discover())
    text = (files("csst_cpic") / f"references/detector_{READOUT}.toml").read_text()
    detector = Detector(**tomllib.loads(text))
    seen = simulate_frames(
        light(), frames=frames, em_gain=em_gain, readout=READOUT, exposure_time_s=SECONDS
    )
    named = [replace(f, meta=replace(f.meta, filter="f661", telescope="CSST")) for f in seen.frames]
    write_product(definitions.get("cpic.l0"), named, Sources(), folder / "raw")
    zero = simulate_frames(
        frames=BIAS_FRAMES, em_gain=1.0, readout=READOUT, exposure_time_s=0.0, seed=5,
        file_type="BIAS", obs_id="40100000002",
    )  # fmt: skip
    planes = [subtract_bias_level(frame, detector)[0].data for frame in zero.frames]
    meta = replace(named[0].meta, frame=None)
    gains = sorted({1.0, 10.0, 100.0, 1000.0, em_gain, 5000.0})
    references = true_references(seen.device, seen.readout, meta, gains)
    usual = np.abs(planes - np.median(planes, axis=0)) < CLIP_ADU
    mean = np.mean(planes, axis=0, where=usual)
    variance = np.full(SHAPE, 25 / BIAS_FRAMES, np.float32)
    references["bias"] = Image(
        mean.astype(np.float32), u.adu, variance, np.zeros(SHAPE, np.uint16), meta=meta
    )  # fmt: skip
    for name, product in references.items():
        path = write_product(
            definitions.get(f"cpic.{name}"), product, Sources(), folder / "masters"
        )
        words = ["refs", "add", f"cpic.{name}", path, "--useafter", "always"]
        program = [sys.executable, "-m", "csstcore.cli.main", *words, "--refs", folder / "refs"]
        subprocess.run(program, check=True, stdout=subprocess.DEVNULL)
    return seen


def run(folder: Path) -> Usage:
    """Run cpic.l1 through the command line."""
    shutil.rmtree(folder / "out", ignore_errors=True)
    words = [sys.executable, "-m", "csstcore.cli.main", "run", "cpic.l1", folder / "raw"]
    words += ["-o", folder / "out", "--refs", folder / "refs", "--no-figures"]
    return measured("cpic.l1", words, folder)


def show_stages(folder: Path) -> None:
    """Print what the parts of the job took."""
    (path,) = folder.glob("out/runs/*/jobs/*.json")
    record = json.loads(path.read_text())
    print(f"\njob: wall {record['wall_s']:.1f} s, CPU {record['cpu_s']:.1f} s")
    print("\n| stage | wall s | CPU s |\n|---|---|---|")
    for stage in record["stages"]:
        print(f"| {stage['id']} | {stage['wall_s']:.2f} | {stage['cpu_s']:.2f} |")


def show_accuracy(folder: Path, seen: SimulatedFrames) -> None:
    """Print how Level 1 compares with the truth, from every fourth row."""
    rows = slice(None, None, 4)
    (path,) = folder.glob("out/products/**/*_V01.fits")
    truth = SECONDS * light()[rows]
    total, squares, number = (np.zeros(truth.shape) for _ in range(3))
    bright = found = flagged = true = 0
    with fits.open(path) as units:
        for frame, unit in enumerate(units[1:]):
            data, flags = unit.data[0][rows].astype(float), unit.data[1][rows].astype(np.uint16)
            good = flags == 0
            total += np.where(good, data, 0)
            squares += np.where(good, (data - truth) ** 2, 0)
            number += good
            # charge beyond a detection: six read noises or four electrons after multiplication
            least = max(4.0, 6 * seen.device.read_noise / seen.em_gain)
            hit = hit_mask(seen.hit_truth, frame, SHAPE, deposit_electron=least)[rows]
            touched = hit_mask(
                seen.hit_truth, frame, SHAPE, deposit_electron=1.0,
                tail_electron=seen.device.read_noise,
            )[rows]  # fmt: skip
            marked = (flags & (16 | 8)) > 0
            bright, found = bright + int(hit.sum()), found + int((hit & marked).sum())
            flagged += int(((flags & 16) > 0).sum())
            true += int((((flags & 16) > 0) & touched).sum())
    variance = fits.getdata(str(path).replace("_V01.fits", "_V01_ERR.fits"))[rows] ** 2.0
    used = number > len(total) // 1000 + 10
    difference = total[used] / number[used] - truth[used]
    quality = QTable.read(str(path).replace("_V01.fits", "_V01_QUAL.fits"))
    print(f"\nmean of frames minus truth (electron): {difference.mean():+.5f} ", end="")
    of_bias = (seen.device.gain / seen.em_gain) ** 2 * 25 / BIAS_FRAMES
    print(f"+- {np.sqrt((np.mean(variance[used] / number[used]) + of_bias) / used.sum()):.5f}")
    pull = np.sqrt(squares[used].sum() / (variance * number)[used].sum())
    print(f"scatter of pixels about the truth over their errors: {pull:.3f}")
    print(
        f"cosmic rays, charge from {least:.1f} electron: found {found / max(bright, 1):.4f} ",
        end="",
    )
    print(f"of {bright}; flagged pixels that one touched: {true / max(flagged, 1):.4f}")
    offset = np.asarray(quality["BIAS"].value) - seen.series.offset_adu
    print(f"bias level minus truth, scatter between frames (adu): {offset.std():.3f}, ", end="")
    print(f"in read noises {offset.std() * seen.device.gain / seen.device.read_noise:.4f}")


def main() -> int:
    """Measure and print; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder for everything; what is in it goes")
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--em-gain", type=float, default=1000.0)
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    for name in ("raw", "masters", "refs", "out"):
        shutil.rmtree(folder / name, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    seen = prepare(folder, arguments.frames, arguments.em_gain)
    run(folder)  # compiles, where nothing is compiled yet
    load = os.getloadavg()[0]
    usage = run(folder)
    print(f"{arguments.frames} frames, EM gain {arguments.em_gain:g}, load {load:.1f} before")
    print("\n| | wall s | CPU s | peak GB |\n|---|---|---|---|")
    print(
        f"| cpic.l1 | {usage.wall_s:.1f} | {usage.cpu_s:.1f} | {usage.peak_bytes / 1e9:.2f} |",
        flush=True,
    )
    show_stages(folder)
    show_accuracy(folder, seen)
    return int(usage.wall_s > LIMIT_S or usage.peak_bytes > LIMIT_BYTES)


if __name__ == "__main__":
    sys.exit(main())
