"""Satellite trails and filling on full frames: recall, false trails, time.

    python benchmarks/flags.py [--frames 3] [--trails 20]

Scenes of the simulator (detector 8, g, 150 s) with photon and read noise; trails are drawn with
its physics at a given signal over noise of all their light.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from itertools import pairwise

import astropy.units as u
import numpy as np
from numpy.typing import NDArray

from csst_calib.stages.fill import fill_flagged
from csst_calib.stages.trails import flag_trails
from csst_sim.direct import shipped, shot_of
from csst_sim.effects.cosmic_rays import deposit_cosmic_rays
from csst_sim.effects.satellite_trails import add_trail
from csst_sim.plan import parse_plan
from csst_sim.settings import StrayLight
from csst_sim.shot import Shot
from csst_sim.stages.light import add_sky, expose
from csst_sim.stages.scene import draw_scene
from csst_sim.stages.stray_light import draw_trail
from csstcore.api import Image
from csstcore.notes import collecting

OBS_ID = "10100000001"
READ_NOISE_ELECTRON = 5.0
BINS = (5.0, 10.0, 15.0, 20.0, 30.0, 50.0, 200.0)


def shot(seed: int) -> Shot:
    exposure = {"obs_id": OBS_ID, "time": "2028-01-01T00:00:00Z", "ra_deg": 180.0, "dec_deg": 30.0}
    values = {"name": "flags", "kind": "imaging", "detectors": [8], "instrument_seed": seed}
    return shot_of(
        parse_plan(values | {"sky": {"seed": seed}, "exposure": [exposure]}, "plan"), OBS_ID, 8
    )


def frame(seed: int) -> tuple[Image, Shot]:
    """Return a frame in electrons, cosmic rays above 10 electrons flagged."""
    truth = shot(seed)
    image, _ = draw_scene(truth)
    image = expose(add_sky(image, truth), truth, rng=np.random.default_rng(seed))
    rng = np.random.default_rng([seed, 1])
    image.data += READ_NOISE_ELECTRON * rng.standard_normal(image.shape, dtype=np.float32)
    deposit = deposit_cosmic_rays(image.shape, 150.0, truth.device, rng)
    image.data += deposit
    image.variance = np.maximum(image.data, 0) + np.float32(READ_NOISE_ELECTRON**2)
    image.set_flag("cosmic_ray", deposit > 10.0)
    return image, truth


def search(image: Image) -> tuple[NDArray[np.bool_], int, float]:
    start = time.process_time()
    with collecting() as notes:
        found = flag_trails(image)
    return found.flagged("trail"), int(notes.metrics["trails"]), time.process_time() - start


def measure_trails(image: Image, number: int) -> None:
    """Print the recall by signal over noise."""
    numbers = shipped("msc_stray_light.toml", StrayLight).trails
    rng = np.random.default_rng(7)
    noise = float(1.4826 * np.median(np.abs(np.diff(image.data[::7, ::7]))) / np.sqrt(2))
    rows = []
    for _ in range(number):
        trail = draw_trail(replace(numbers, ending_fraction=0.0), image.shape, rng)
        light = np.zeros_like(image.data)
        add_trail(light, trail)
        target = float(np.exp(rng.uniform(*np.log((BINS[0], BINS[-1])))))
        light *= target * noise / float(np.sqrt(np.vdot(light, light)))
        flag, _, seconds = search(Image(image.data + light, image.unit, flags=image.flags))
        seen = light > 0.3 * noise
        rows.append(
            (
                target,
                float(np.mean(flag[light > 0.5 * light.max()])) > 0.5,
                float(np.mean(flag[seen])) if seen.any() else np.nan,
                float(np.mean(light[flag] > 1e-3 * light.max())) if flag.any() else np.nan,
                seconds,
            )
        )
    table = np.array(rows)
    for low, high in pairwise(BINS):
        part = table[(table[:, 0] >= low) & (table[:, 0] < high)]
        if len(part):
            seen, area = (np.nanmean(c) if np.isfinite(c).any() else np.nan for c in part[:, 2:4].T)
            print(
                f"S/N {low:.0f} to {high:.0f}: {int(part[:, 1].sum())} of {len(part)} found; "
                f"pixels above 0.3 sigma flagged {seen:.4f}; flagged area with light {area:.3f}; "
                f"CPU {np.median(part[:, 4]):.2f} s"
            )


def main() -> None:
    """Run everything."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--frames", type=int, default=3)
    parser.add_argument("--trails", type=int, default=20)
    arguments = parser.parse_args()
    for seed in range(1, arguments.frames + 1):
        image, _ = frame(seed)
        search(image)
        _, count, seconds = search(image)
        print(f"frame {seed} without trails: {count} found, CPU {seconds:.2f} s", flush=True)
    assert image.unit == u.electron
    fill_flagged(image)
    start = time.process_time()
    with collecting() as notes:
        fill_flagged(image)
    seconds = time.process_time() - start
    print(f"filling {notes.metrics['filled_pixels']} pixels: CPU {seconds:.2f} s", flush=True)
    measure_trails(image, arguments.trails)


if __name__ == "__main__":
    main()
