"""Recall and precision of cosmic-ray detection by deposit, beside other tools, on simulations.

    python benchmarks/cosmic_rays.py                 # markdown, three charge diffusions
    python benchmarks/cosmic_rays.py --full-frame    # time and memory on 9216 x 9232 pixels

The frames come from csst-sim, which shares no code with the patches the network was trained
on. Other tools (astroscrappy, deepCR) are measured where they are installed.
"""

import argparse
import resource
import time
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import astropy.units as u
import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

import csst_calib
import csst_sim
from csst_calib.stages.cosmic_rays import detect_cosmic_rays
from csst_sim.plan import Exposure, Plan
from csst_sim.settings import DetectorRanges, Optics, Readout
from csst_sim.stages.charge import add_cosmic_rays, apply_brighter_fatter, saturate
from csst_sim.stages.light import add_sky, expose
from csst_sim.stages.scene import draw_scene
from csst_sim.stages.set_up import set_up
from csstcore.api import Image, Meta, Onnx

REFERENCES = Path(csst_sim.__file__).parent / "references"
MODEL = Onnx(Path(csst_calib.__file__).parent / "models" / "cosmic_rays.onnx")
SIDE = 2048
DETECTOR = 8
READ_NOISE = 5.0
GAIN = 1.1
DIFFUSIONS = (0.1, 0.3, 0.45)
BINS = ((3, 5), (5, 10), (10, 20), (20, 40), (40, 100), (100, np.inf))
Method = Callable[[Image], NDArray[np.bool_]]


@dataclass
class Scene:
    """A frame with its truth."""

    image: Image
    deposit: NDArray[np.float32]
    sigma: NDArray[np.float32]
    """Noise without cosmic rays."""
    cores: NDArray[np.intp]
    """Row and column of unsaturated stars with signal to noise above 20, no deposit near."""


def reference(name: str, kind: type) -> object:
    text = (REFERENCES / name).read_text(encoding="utf-8")
    return TypeAdapter(kind).validate_python(tomllib.loads(text))


def scenes(side: int, seed: int) -> Iterator[tuple[float, Scene]]:
    """Yield one exposure of 150 s with three charge diffusions: stars and noise are the same."""
    readout = replace(
        reference("readout_920x608.toml", Readout),
        readout="benchmark",
        channel_columns=side // 8,
        channel_rows=side // 2,
    )
    exposure = Exposure(obs_id="10100000001", time=datetime(2027, 5, 1, tzinfo=UTC))
    plan = Plan("cosmic_rays", "imaging", (exposure,), "benchmark", (DETECTOR,))
    shot = set_up(
        plan,
        readout,
        reference("msc_detector_ranges.toml", DetectorRanges),
        reference("msc_optics.toml", Optics),
        obs_id=exposure.obs_id,
        detector=DETECTOR,
    )
    sky, truth = draw_scene(shot)
    sky = add_sky(sky, shot)
    silent = replace(shot, effects=replace(shot.effects, photon_noise=False))
    rng = np.random.default_rng(seed)
    expected = expose(replace(sky, data=sky.data.copy()), silent, rng=rng).data
    light = apply_brighter_fatter(expose(sky, shot, rng=rng), shot)
    read_noise = rng.normal(0, READ_NOISE, expected.shape).astype(np.float32)
    for diffusion in DIFFUSIONS:
        device = replace(shot.device, diffusion_pixel=diffusion)
        shot = replace(shot, device=device)
        image, hits = add_cosmic_rays(
            replace(light, data=light.data.copy()), shot, rng=np.random.default_rng(seed + 1)
        )
        image = saturate(image, shot)
        saturated = image.data > 0.98 * device.full_well
        image.data += read_noise
        image.data[:] = np.rint(image.data / GAIN) * GAIN
        image.set_flag("saturated", saturated)
        image.flags[device.dead_rows, device.dead_columns] |= image.bit("bad")
        hot = device.bad_dark * exposure.exposure_time_s > READ_NOISE**2
        image.flags[device.bad_rows[hot], device.bad_columns[hot]] |= image.bit("hot")
        image.meta = Meta(exposure_time=150 * u.s, read_noise=READ_NOISE * u.electron)
        sigma = np.sqrt(expected + READ_NOISE**2)
        yield diffusion, Scene(image, hits.data, sigma, clean_cores(truth.table, hits.data))


def clean_cores(table, deposit: NDArray[np.float32]) -> NDArray[np.intp]:
    chosen = (table["type"] == "star") & ~table["saturated"] & (table["signal_to_noise"] > 20)
    x, y = (np.rint(table[name][chosen].value).astype(int) - 1 for name in ("x", "y"))
    away = (np.minimum(x, y) >= 2) & (np.maximum(x, y) < deposit.shape[0] - 2)
    return np.array(
        [
            (row, column)
            for row, column in zip(y[away], x[away], strict=True)
            if not deposit[row - 2 : row + 3, column - 2 : column + 3].any()
        ]
    )


def methods() -> dict[str, Method]:
    """Return what is measured, by name; tools that are not installed are left out."""

    def stage(**settings) -> Method:
        def run(image: Image) -> NDArray[np.bool_]:
            fresh = replace(image, flags=image.flags.copy())
            return detect_cosmic_rays(fresh, MODEL, **settings).flagged("cosmic_ray")

        return run

    found: dict[str, Method] = {
        "network, calibrated threshold": stage(),
        "network, threshold 0.5": stage(threshold=0.5),
        "network, threshold 0.3": stage(threshold=0.3),
        "lacosmic 4.5, contrast 5": stage(method="lacosmic"),
        "lacosmic 4.5, contrast 2": stage(method="lacosmic", contrast=2.0),
    }
    try:
        import astroscrappy
    except ImportError:
        pass
    else:
        for limit in (5.0, 2.0):
            found[f"astroscrappy 4.5, objlim {limit:.0f}"] = lambda image, limit=limit: (
                astroscrappy.detect_cosmics(
                    image.data,
                    inmask=image.flagged("bad", "hot", "saturated"),
                    sigclip=4.5,
                    sigfrac=0.3,
                    objlim=limit,
                    gain=1.0,
                    readnoise=READ_NOISE,
                    satlevel=90_000.0,
                )[0]
            )
    try:
        from deepCR import deepCR
    except ImportError:
        pass
    else:
        network = deepCR(mask="ACS-WFC", device="CPU")
        for threshold in (0.5, 0.1):
            found[f"deepCR ACS-WFC, threshold {threshold}"] = lambda image, threshold=threshold: (
                network.clean(
                    image.data, threshold=threshold, inpaint=False, segment=True, patch=1024
                ).astype(bool)
            )
    return found


def row(scene: Scene, hit: NDArray[np.bool_], seconds: float) -> list[str]:
    """Return the figures of one method; pixels flagged for another cause are left out."""
    judged = ~scene.image.flagged("bad", "hot", "saturated")
    hit, deposit, sigma = hit[judged], scene.deposit[judged], scene.sigma[judged]
    flagged = deposit[hit]
    values = [
        hit[deposit > 3].mean(),
        hit[deposit > 3 * sigma].mean(),
        (flagged > 3).mean(),
        (flagged > 0.1).mean(),
        *(hit[(deposit > low) & (deposit <= high)].mean() for low, high in BINS),
    ]
    everywhere = np.zeros(scene.deposit.shape, bool)
    everywhere[judged] = hit
    rows, columns = scene.cores.T
    false = 100 * everywhere[rows, columns].mean()
    return [f"{value:.4f}" for value in values] + [f"{false:.2f}", f"{seconds:.1f}"]


def compare(side: int, seed: int) -> None:
    titles = ["R > 3 e-", "R > 3 sigma", "P3", "P0.1"]
    titles += [f"{low}-{high}" if np.isfinite(high) else f"> {low}" for low, high in BINS]
    titles += ["star cores %", "CPU s"]
    for diffusion, scene in scenes(side, seed):
        hit = scene.deposit > 3
        share = ((scene.deposit > 3) & (scene.deposit <= 10)).sum() / hit.sum()
        print(
            f"\n### Charge diffusion {diffusion} pixel\n\n{hit.sum():,} pixels above 3 e-, "
            f"{(scene.deposit > 3 * scene.sigma).sum():,} above 3 sigma; {100 * share:.0f} % of "
            f"the former hold 3 to 10 e-; {len(scene.cores)} star cores.\n"
        )
        print("| method | " + " | ".join(titles) + " |")
        print("|---" * (len(titles) + 1) + "|", flush=True)
        for name, method in methods().items():
            start = time.process_time()
            found = method(scene.image)
            cells = row(scene, found, time.process_time() - start)
            print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def full_frame() -> None:
    """Time the network on a frame of 9216 x 9232 pixels made of copies of a small one."""
    _, scene = next(scenes(1152, seed=5))
    shape = (9232, 9216)
    image = Image(np.empty(shape, np.float32), unit=u.electron, flags=np.empty(shape, np.uint16))
    for row in range(0, shape[0], 1152):
        for column in range(0, shape[1], 1152):
            part = np.s_[row : row + 1152, column : column + 1152]
            rows = min(1152, shape[0] - row)
            image.data[part] = scene.image.data[:rows]
            image.flags[part] = scene.image.flags[:rows]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    wall, cpu = time.perf_counter(), time.process_time()
    detect_cosmic_rays(image, MODEL)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(
        f"{image.shape}: {wall:.1f} s wall, {cpu:.1f} s CPU, peak {after / 1024:.0f} MB "
        f"({(after - before) / 1024:.0f} MB above the planes)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=SIDE, help="side of the frame in pixels")
    parser.add_argument("--seed", type=int, default=1, help="seed of noise and cosmic rays")
    parser.add_argument("--full-frame", action="store_true", help="time one full frame instead")
    arguments = parser.parse_args()
    if arguments.full_frame:
        full_frame()
    else:
        compare(arguments.side, arguments.seed)


if __name__ == "__main__":
    main()
