"""Charge transfer on full frames: traps measured, trails removed, time and memory.

Simulates flats, biases and one exposure of the sky with and without traps, which the simulator
moves charge past by its own code and from parameters that the measurement does not see.

    python benchmarks/cti.py FOLDER --flats 40 --biases 60

keeps the frames in FOLDER (180 MB each) and takes those that are there.
"""

from __future__ import annotations

import argparse
import resource
import time
import tomllib
from itertools import pairwise
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray
from pydantic import TypeAdapter

import csst_msc
from csst_calib.readout import Readout
from csst_calib.stages.cti import correct_cti
from csst_calib.stages.gain import apply_gain
from csst_calib.stages.measure_cti import measure_cti
from csst_calib.stages.overscan import subtract_overscan
from csst_sim.direct import shot_of, simulate
from csst_sim.plan import parse_plan
from csst_sim.stages.charge import transfer
from csstcore.api import Image, Meta, replace

DETECTOR = 7
LEVELS_ELECTRON = (5e3, 1.5e4, 3e4) + 4 * (5e4, 7e4)
"""Most of the flats are bright: their trails stand out of the noise."""
LAGS = 12
CHARGES_ELECTRON = (300.0, 1e3, 3e3, 1e4, 5e4)
Plane = NDArray[Any]


def geometry() -> Readout:
    """Return the readout of the survey camera."""
    folder = Path(csst_msc.__file__).parent / "references" / "readout"
    values = tomllib.loads((folder / "msc_9560x9264.toml").read_text())
    return TypeAdapter(Readout).validate_python(values)


def frame(folder: Path, name: str, obs_id: int, **exposure: Any) -> Image:
    """Return a raw frame, from the folder if it is there; planes stay on disk."""
    path = folder / f"{name}.npy"
    kind = "imaging" if exposure.get("file_type", "SCIE") == "SCIE" else "calibration"
    entry = {"obs_id": f"{obs_id:011d}", "time": "2028-01-01T00:00:00"} | exposure
    plan = {"name": "cti", "kind": kind, "detectors": [DETECTOR], "exposure": [entry]}
    parsed = parse_plan(plan, "plan")
    meta_path = folder / "gain.npy"
    if not (path.exists() and meta_path.exists()):
        simulation = simulate(parsed, entry["obs_id"], DETECTOR)
        np.save(path, simulation.raw.data)
        np.save(meta_path, simulation.shot.device.header_gain)
        if simulation.truth is not None:
            simulation.truth.table.write(folder / "stars.ecsv", overwrite=True)
    gain = np.load(meta_path) * u.electron / u.adu
    return Image(np.load(path, mmap_mode="r"), u.adu, meta=Meta(gain=gain))


def calibration(folder: Path, flats: int, biases: int) -> tuple[list[Image], list[Image]]:
    """Return flats of several levels, and biases."""
    lit = [
        frame(
            folder,
            f"flat_{number:03d}",
            10100001000 + number,
            file_type="FLAT",
            exposure_time_s=10.0,
            lamp_electron_per_s=LEVELS_ELECTRON[number % len(LEVELS_ELECTRON)] / 10.0,
        )
        for number in range(flats)
    ]
    dark = [
        frame(folder, f"bias_{n:03d}", 10100002000 + n, file_type="BIAS", exposure_time_s=0.0)
        for n in range(biases)
    ]
    return lit, dark


def electrons(raw: Image, readout: Readout) -> Image:
    """Return the active area in electrons, level subtracted."""
    return apply_gain(subtract_overscan(raw, readout), readout)


def lag_profile(plane: Plane, chosen: Plane, axis: int, readout: Readout) -> Plane:
    """Return the mean of `plane` 0, 1, 2 ... pixels behind the chosen ones."""
    total, count = np.zeros(LAGS), 0
    for channel in readout:
        values, where = (
            np.moveaxis(p[channel.active][channel.read_order], axis, 0) for p in (plane, chosen)
        )
        at, line = np.nonzero(where[:-LAGS])
        total += [values[at + lag, line].sum(dtype=float) for lag in range(LAGS)]
        count += len(at)
    return total / max(count, 1)


def scene(readout: Readout) -> tuple[Plane, Plane]:
    """Return a sky of 30 electrons with single bright pixels, and the same after transfer."""
    plan = {"name": "cti", "kind": "imaging", "detectors": [DETECTOR]}
    entry = {"obs_id": "10100003000", "time": "2028-01-01T00:00:00"}
    shot = shot_of(parse_plan(plan | {"exposure": [entry]}, "plan"), entry["obs_id"], DETECTOR)
    rng = np.random.default_rng(1)
    true = np.full(readout.shape, 30.0, np.float32)
    bright = tuple(rng.integers(0, size, true.size // 3000) for size in true.shape)
    low, high = np.log([CHARGES_ELECTRON[0], CHARGES_ELECTRON[-1]])
    true[bright] += np.exp(rng.uniform(low, high, len(bright[0]))).astype(np.float32)
    raw = transfer(Image(true, u.electron), shot).data
    seen = np.empty_like(true)
    for channel in readout:
        seen[channel.active] = raw[channel.raw]
    return true, seen


def report_trails(true: Plane, seen: Plane, corrected: Plane, readout: Readout) -> None:
    """Print what is left of the trails behind bright pixels, by their charge."""
    total, left_total = (np.abs(p - true).sum(dtype=float) for p in (seen, corrected))
    print(f"all pixels: |left| / |trail| = {left_total / total:.4f}")
    print("charge (e-)        pixels  axis      trail (e-)  left (e-)  |left| / |trail|")
    for low, high in pairwise(CHARGES_ELECTRON):
        chosen = (true > low) & (true < high)
        for axis, name in ((0, "parallel"), (1, "serial")):
            trail = lag_profile(seen - true, chosen, axis, readout)[1:]
            left = lag_profile(corrected - true, chosen, axis, readout)[1:]
            ratio = np.abs(left).sum() / np.abs(trail).sum()
            print(
                f"{low:7.0f} - {high:7.0f}  {chosen.sum():8d}  {name:8s}  {trail.sum():9.4f}  "
                f"{left.sum():9.4f}  {ratio:.3f}"
            )


def report_stars(truth: QTable, planes: dict[str, Plane], readout: Readout) -> None:
    """Print the mean shift of stars away from the amplifier and their loss of flux."""
    stars = truth[(truth["type"] == "star") & (truth["saturated"] == 0)]
    bright = stars[stars["signal_to_noise"] > 100]
    print(f"{len(bright)} stars with signal to noise above 100")
    measured = {name: _moments(plane, bright, readout) for name, plane in planes.items()}
    for name in ("seen", "corrected"):
        shift = measured[name] - measured["true"]
        y, x = 1e3 * np.median(shift[:, :2], axis=0)
        flux = 1e3 * np.median(shift[:, 2] / measured["true"][:, 2])
        print(
            f"{name:9s}  y {y:7.4f}  x {x:7.4f} thousandths of a pixel  flux {flux:7.4f} per mille"
        )


def _moments(plane: Plane, stars: Any, readout: Readout) -> Plane:
    """Return y and x along the direction of reading, and flux in a radius of 5 pixels."""
    rows = []
    half = readout.channel_rows
    grid_y, grid_x = np.mgrid[-8:9, -8:9]
    for star in stars:
        y, x = int(star["y"].value) - 1, int(star["x"].value) - 1
        if not (10 < y < plane.shape[0] - 10 and 10 < x < plane.shape[1] - 10):
            continue
        stamp = plane[y - 8 : y + 9, x - 8 : x + 9].astype(float)
        stamp = stamp - np.median(stamp[np.hypot(grid_y, grid_x) > 7])
        weight = np.exp(-(grid_y**2 + grid_x**2) / (2 * 2.0**2)) * stamp
        inner = np.hypot(grid_y, grid_x) <= 5
        sign = 1 if y < half else -1
        rows.append(
            (
                sign * (weight * grid_y).sum() / weight.sum(),
                (weight * grid_x).sum() / weight.sum(),
                stamp[inner].sum(),
            )
        )
    return np.array(rows)


def spent(wall: float, cpu: float) -> str:
    """Return wall and CPU time since then."""
    return f"{time.perf_counter() - wall:.1f} s wall, {time.process_time() - cpu:.1f} s CPU"


def peak_gb() -> float:
    """Return the largest resident memory so far, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--flats", type=int, default=40)
    parser.add_argument("--biases", type=int, default=60)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    readout = geometry()
    flats, biases = calibration(options.folder, options.flats, options.biases)
    start = time.perf_counter(), time.process_time()
    cti = measure_cti(flats, biases, readout)
    print("measure_cti", spent(*start))
    raw = {}
    for name, traps in (("true", False), ("seen", True)):
        effects = {"charge_transfer": traps, "bias_structure": False}
        sky = frame(
            options.folder, f"sky_{name}", 10100003000, ra_deg=180.0, dec_deg=30.0, effects=effects
        )
        raw[name] = replace(sky, data=np.array(sky.data))
    for channel in readout:  # of the same level: what is left is the trails
        raw["seen"].data[channel.overscan] = raw["true"].data[channel.overscan]
    planes = {name: electrons(image, readout).data for name, image in raw.items()}
    del raw
    planes["corrected"] = correct_cti(Image(planes["seen"].copy(), u.electron), readout, cti).data
    report_stars(QTable.read(options.folder / "stars.ecsv"), planes, readout)
    del planes
    true, seen = scene(readout)
    image = Image(seen.copy(), u.electron)
    before, start = peak_gb(), (time.perf_counter(), time.process_time())
    correct_cti(image, readout, cti)
    print("correct_cti", spent(*start), f"peak memory grew by {peak_gb() - before:.2f} GB")
    report_trails(true, seen, image.data, readout)


if __name__ == "__main__":
    main()
