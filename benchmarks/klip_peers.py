"""The cube of `klip.py` reduced by pyKLIP or VIP, in an environment of theirs.

    PYTHON klip_peers.py NAME FOLDER REPETITIONS      # run by klip.py

NAME is pyklip, vip or vip_skimage.

Reads ``cube.npz`` in the folder and writes ``NAME.npz`` with the image, North up and East left,
and the wall and CPU times of each repetition.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
import warnings
from pathlib import Path

import numpy as np


def main() -> None:
    name, folder, repetitions = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    with np.load(folder / "cube.npz") as stored:
        cube, angles = stored["cube"].astype(float), stored["angles_deg"]
    settings = json.loads((folder / "settings.json").read_text())
    reduce = {"pyklip": pyklip, "vip": vip, "vip_skimage": vip_skimage}[name]
    times = []
    for _ in range(repetitions):
        before = cpu_s(), time.perf_counter()
        image = reduce(cube, angles, settings)
        times.append((time.perf_counter() - before[1], cpu_s() - before[0]))
    np.savez(folder / f"{name}.npz", image=image, times=np.array(times), version=version(name))


def cpu_s() -> float:
    """CPU time of this process and of its children that have ended."""
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def version(name: str) -> str:
    from importlib.metadata import version

    return version("pyklip" if name == "pyklip" else "vip_hci")


def pyklip(cube: np.ndarray, angles: np.ndarray, settings: dict) -> np.ndarray:
    from pyklip.parallelized import klip_parallelized, rotate_imgs

    frames = len(cube)
    middle = [cube.shape[2] // 2, cube.shape[1] // 2]
    centres = np.tile(np.array(middle, float), (frames, 1))
    outer, inner = settings["outer_radius_pixel"], settings["inner_radius_pixel"]
    # The interface of files and their products is left out: it only costs time.
    residuals = klip_parallelized(
        cube,
        centres,
        angles,
        np.ones(frames),
        np.arange(frames),
        inner,
        OWA=outer,
        mode="ADI",
        annuli=round((outer - inner) / settings["annulus_width_pixel"]),
        subsections=settings["sectors"],
        movement=settings["exclusion_fwhm"] * settings["fwhm_pixel"],
        numbasis=np.array([settings["components"]]),
        maxnumbasis=settings["most_correlated"] or frames,
        corr_smooth=0,
        aligned_center=middle,
        numthreads=threads(),
        verbose=False,
    )
    residuals = residuals[0] if isinstance(residuals, tuple) else residuals
    turned = rotate_imgs(
        residuals.reshape(frames, *cube.shape[1:]), angles, centres, middle, threads()
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # pixels without a value
        return np.nanmean(turned, axis=0)


def vip(cube: np.ndarray, angles: np.ndarray, settings: dict, imlib: str = "vip-fft") -> np.ndarray:
    from vip_hci.psfsub import pca_annular

    return pca_annular(
        cube,
        angles,
        radius_int=settings["inner_radius_pixel"],
        fwhm=settings["fwhm_pixel"],
        asize=settings["annulus_width_pixel"],
        n_segments=settings["sectors"],
        delta_rot=settings["exclusion_fwhm"],
        ncomp=settings["components"],
        nproc=threads(),
        imlib=imlib,
        interpolation="biquintic" if imlib == "skimage" else "lanczos4",
        collapse="mean",
        verbose=False,
    )


def vip_skimage(cube: np.ndarray, angles: np.ndarray, settings: dict) -> np.ndarray:
    return vip(cube, angles, settings, "skimage")


def threads() -> int:
    return len(os.sched_getaffinity(0))


if __name__ == "__main__":
    main()
