"""Gridding of on-the-fly dumps: samples per second, and an hour of dumps from file to cube.

    OMP_NUM_THREADS=1 python benchmarks/hstdm_gridding.py              # kernels and baselines
    python benchmarks/hstdm_gridding.py --hour FOLDER                  # writes 600 MB there first

A sample is a dump times a channel times a pixel in the footprint of the kernel.
"""

from __future__ import annotations

import argparse
import resource
import time
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
from astropy.table import QTable
from astropy.time import Time
from pydantic import TypeAdapter

import csst_hstdm.plugin
from csst_hstdm.flags import FLAG_BITS
from csst_hstdm.gridding import Gridding
from csst_hstdm.map_plane import contributions, tangent_plane
from csst_hstdm.receiver import Receiver
from csst_hstdm.stages.grid_spectra import grid_spectra
from csst_hstdm.stages.subtract_baseline import subtract_baseline
from csst_hstdm.weighted_sums import weighted_sums
from csstcore.api import Meta, Spectra
from csstcore.definitions.catalog import Definitions
from csstcore.definitions.read import read_products
from csstcore.definitions.sources import Sources
from csstcore.definitions.write import write_product
from csstcore.plugins.registry import Registry

REST_HZ, STEP_HZ = 492.160651e9, 73242.1875
START = Time("2028-03-01T00:00:00", scale="utc")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dumps", type=int, default=1024)
    parser.add_argument("--channels", type=int, default=4096)
    parser.add_argument("--hour", type=Path, help="folder for a Level 1 file of an hour")
    parser.add_argument("--make", type=Path, help="only write that file")
    arguments = parser.parse_args()
    if arguments.make is not None:
        print(make(arguments.make))
    elif arguments.hour is not None:
        hour(arguments.hour)
    else:
        for kernel in ("gaussian", "bessel_gaussian"):
            speed(kernel, arguments.dumps, arguments.channels)
        baselines(500, 16384)


def speed(kernel: Any, dumps: int, channels: int) -> None:
    """Print the samples per CPU second of the sums, which are nearly all of the stage."""
    receiver, gridding = (
        reference(Receiver, "receiver_proposed"),
        reference(Gridding, "gridding_kernels"),
    )
    beam = float(receiver.beam_fwhm_arcsec(REST_HZ))
    spectra = level_1(dumps, channels)
    ra, dec = (spectra.rows[name].to_value(u.deg) for name in ("ra", "dec"))
    wcs = tangent_plane(ra, dec, pixel_arcsec=beam / 4, margin_arcsec=beam / 2)
    part = contributions(wcs, np.arange(dumps), ra, dec, gridding.kernel(kernel), beam_arcsec=beam)
    weights = np.ones(dumps)
    pixels = int(np.prod(wcs.pixel_shape))
    data = np.empty((channels, pixels), np.float32)
    variance = np.empty_like(data)
    best = np.inf
    for _ in range(4):  # the first compiles
        before = time.process_time()
        weighted_sums([spectra], [part], [weights], [0], pixels, data, variance)
        best = min(best, time.process_time() - before)
    samples = len(part.pixel) * channels
    print(
        f"{kernel}: {len(part.pixel) / dumps:.1f} pixels a dump, map {wcs.pixel_shape}, "
        f"{best:.3f} s CPU, {samples / best:.2e} samples/s/core"
    )


def baselines(dumps: int, channels: int) -> None:
    """Print the CPU time of baselines with one standing wave."""
    phase = np.random.default_rng(2).random((dumps, 1))
    wave = np.sin(2 * np.pi * (7.3 * np.arange(channels) / channels + phase), dtype=np.float32)
    best = np.inf
    for _ in range(3):
        spectra = level_1(dumps, channels)
        spectra.flux += wave
        before = time.process_time()
        subtract_baseline(spectra)
        best = min(best, time.process_time() - before)
    print(f"baselines of {dumps} spectra of {channels} channels: {best:.2f} s CPU")


def make(folder: Path) -> Path:
    """Write an hour of dumps of 1 s as a Level 1 file."""
    definitions = Definitions(Registry.of({"hstdm": csst_hstdm.plugin}))
    return write_product(definitions.get("hstdm.l1"), level_1(3600, 16384), Sources(), folder)


def hour(folder: Path) -> None:
    """Print time and memory from a Level 1 file to the written cube."""
    definitions = Definitions(Registry.of({"hstdm": csst_hstdm.plugin}))
    (path,) = folder.glob("*_L1_V01.fits")
    receiver, gridding = (
        reference(Receiver, "receiver_proposed"),
        reference(Gridding, "gridding_kernels"),
    )
    wall, cpu = time.monotonic(), time.process_time()
    (dumps,) = read_products(definitions.get("hstdm.l1"), path).products
    lap("read", wall, cpu)
    cube = grid_spectra([dumps], receiver, gridding)
    lap(f"gridded {cube.data.shape}", wall, cpu)
    write_product(definitions.get("hstdm.l2_cube"), cube, Sources(), folder)
    lap("written", wall, cpu)


def lap(what: str, wall: float, cpu: float) -> None:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    print(
        f"{what}: {time.monotonic() - wall:.1f} s wall, {time.process_time() - cpu:.1f} s CPU, "
        f"peak {peak:.2f} GiB",
        flush=True,
    )


def level_1(dumps: int, channels: int) -> Spectra:
    """A line and noise in a raster of 60 x 60 dumps an hour, a quarter of a beam apart."""
    side = int(np.ceil(np.sqrt(dumps)))
    place = np.arange(dumps)
    rows = QTable({"time": START + (place + 0.5) * u.s})
    rows["exposure_time"], rows["t_sys"] = np.ones(dumps) * u.s, np.full(dumps, 250.0) * u.K
    rows["state"], rows["sideband"], rows["frame"] = (
        ["ON"] * dumps,
        ["USB"] * dumps,
        ["LSRK"] * dumps,
    )
    rows["scan"], rows["subscan"], rows["flag"] = np.ones((3, dumps), np.int32) * [[1], [1], [0]]
    rows["ra"] = (83.8 + 0.0052 * (place % side)) * u.deg
    rows["dec"] = (-5.4 + 0.0052 * (place // side)) * u.deg
    for name in ("lo_frequency", "rest_frequency"):
        rows[name] = np.full(dumps, REST_HZ) * u.Hz
    rows["velocity_shift"] = np.zeros(dumps) * u.km / u.s
    rows["temperature_scale"] = ["T_A*"] * dumps
    flux = np.random.default_rng(1).standard_normal((dumps, channels), np.float32)
    steps = (np.arange(channels) - channels / 2) / 20
    flux += 5 * np.exp(-(steps**2)).astype(np.float32)
    meta = Meta(
        instrument="HSTDM",
        obs_id="50000000001",
        project_id="P1",
        object="map",
        file_type="OTFM",
        detector=1,
        time=START,
        end_time=START + dumps * u.s,
        exposure_time=dumps * u.s,
    )
    axis = (6_711_000 + np.arange(channels)) * STEP_HZ * u.Hz
    return Spectra(
        flux,
        axis,
        u.K,
        np.ones_like(flux),
        np.zeros(flux.shape, np.uint16),
        rows,
        meta,
        dict(FLAG_BITS),
    )


def reference(kind: type[Any], name: str) -> Any:
    text = files("csst_hstdm").joinpath(f"references/{name}.toml").read_text()
    return TypeAdapter(kind).validate_python(tomllib.loads(text))


if __name__ == "__main__":
    main()
