"""The star subtracted by KLIP beside pyKLIP and VIP, on one simulated cube, in one run.

    export OPENBLAS_NUM_THREADS=1                                    # as in the jobs of a run
    python benchmarks/klip.py                                        # this project alone
    python benchmarks/klip.py --peers PYTHON                         # a Python with pyklip, vip_hci
    python benchmarks/klip.py --peers PYTHON --most-correlated 8     # as pyKLIP by default
    python benchmarks/klip.py --peers PYTHON --skip vip vip_skimage --frames 300

The cube is that of `csst_sim.cpic.direct.simulate_cube`: 40 x 161 x 161 or more frames, 60 degrees
of rotation, four planets. All tools get the same annuli, sectors, modes and exclusion, two cores,
and one thread of BLAS in each process; their images are measured with one estimator of signal over
noise, at the true places of the planets. The best of several repetitions counts.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np

from csst_cpic.planets.aperture_noise import aperture_sums, ratios
from csst_cpic.star.klip import ReducedCube, StarSubtraction, reduce_cube
from csst_cpic.star.reduction import Reduction
from csst_cpic.star.sky_frame import central_pixel, to_offsets
from csst_sim.cpic.direct import SimulatedCube, simulate_cube

PLANETS = ((18.0, 40.0, 8e-9), (32.0, 160.0, 6e-9), (48.0, 280.0, 6e-9), (64.0, 350.0, 6e-9))
"""Separation (pixel), position angle (deg), contrast."""
PEERS = ("pyklip", "vip_skimage", "vip")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", type=Path, help="Python with pyklip and vip_hci")
    parser.add_argument("--skip", nargs="*", default=[], choices=PEERS, help="peers to leave out")
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--most-correlated", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    simulated = simulate_cube(PLANETS, frames=arguments.frames, seed=arguments.seed)
    reduction = Reduction(
        fwhm_pixel=simulated.fwhm_pixel,
        inner_radius_pixel=12.0,
        outer_radius_pixel=76.0,
        annulus_width_pixel=8.0,
        pixel_scale_arcsec=0.016,
        sectors=4,
        components=8,
        exclusion_fwhm=0.5,
        most_correlated=arguments.most_correlated,
    )
    places = " | ".join(f"{separation:.0f}" for separation, _, _ in PLANETS)
    print(f"load {os.getloadavg()[0]:.1f}; {reduction}\n")
    print(f"| tool | wall s | CPU s | S/N at {places} pixels |")
    print("|---" * (len(PLANETS) + 3) + "|")
    reduced, best = timed(
        lambda: reduce_cube(simulated.cube, simulated.angles_deg, reduction), arguments.repetitions
    )
    own = row("csst-cpic", best, reduced.image, simulated)
    if arguments.peers is not None:
        chosen = [name for name in PEERS if name not in arguments.skip]
        for name in chosen:
            peer(arguments.peers, name, simulated, reduction, own, arguments.repetitions)
    injections(simulated, reduction, arguments.repetitions)


def timed(
    work: Callable[[], ReducedCube], repetitions: int
) -> tuple[ReducedCube, tuple[float, float]]:
    """Return the last result and the least wall and CPU time."""
    times = []
    for _ in range(repetitions):
        before = time.perf_counter(), time.process_time()
        result = work()
        times.append((time.perf_counter() - before[0], time.process_time() - before[1]))
    return result, (min(wall for wall, _ in times), min(cpu for _, cpu in times))


def row(
    name: str, best: tuple[float, float], image: np.ndarray, simulated: SimulatedCube
) -> np.ndarray:
    """Print and return the signal over noise of each planet."""
    separation, angle, _ = np.array(PLANETS).T
    dx, dy = to_offsets(separation, angle)
    y, x = central_pixel(image.shape)
    sums = aperture_sums(image.astype(np.float32), simulated.fwhm_pixel)
    ratio, _ = ratios(sums, simulated.fwhm_pixel, y + dy, x + dx)
    values = " | ".join(f"{value:.2f}" for value in ratio)
    print(f"| {name} | {best[0]:.2f} | {best[1]:.2f} | {values} |", flush=True)
    return ratio


def peer(
    python: Path,
    name: str,
    simulated: SimulatedCube,
    reduction: Reduction,
    own: np.ndarray,
    repetitions: int,
) -> None:
    """Run another tool on the same cube."""
    script = Path(__file__).with_name("klip_peers.py")
    environment = os.environ | {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        np.savez(folder / "cube.npz", cube=simulated.cube, angles_deg=simulated.angles_deg)
        (folder / "settings.json").write_text(json.dumps(asdict(reduction)))
        command = [python, script, name, folder, str(repetitions)]
        quiet = subprocess.DEVNULL  # progress bars
        subprocess.run(command, check=True, env=environment, stdout=quiet, stderr=quiet)
        with np.load(folder / f"{name}.npz") as result:
            best = tuple(result["times"].min(axis=0))
            title = f"{name} {result['version']}"
            theirs = row(title, best, result["image"], simulated)
    change = " | ".join(f"{value:+.1%}" for value in own / theirs - 1)
    print(f"| csst-cpic over it | | | {change} |", flush=True)


def injections(simulated: SimulatedCube, reduction: Reduction, repetitions: int) -> None:
    """Print the time of repeating the reduction with a planet added."""
    one = [(40.0, 100.0, 6e-9)]
    quiet = {"noise": False, "raw_contrast": 1e-30, "background_electron": 0.0}
    signal = simulate_cube(one, frames=len(simulated.cube), **quiet).cube
    signal[signal < 1e-4 * signal.max()] = 0  # its own image ends somewhere
    y, x = np.indices(signal.shape[1:]) - signal.shape[1] // 2
    dx, dy = to_offsets(*one[0][:2])
    where = np.hypot(x - dx, y - dy) < 2 * reduction.fwhm_pixel
    subtraction = StarSubtraction(simulated.cube, simulated.angles_deg, reduction)
    _, best = timed(lambda: subtraction.result(signal, where), repetitions)
    print(f"\nwith a planet added: {best[0]:.3f} s wall, {best[1]:.3f} s CPU", flush=True)


if __name__ == "__main__":
    main()
