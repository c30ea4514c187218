"""CPU time that the framework itself takes for a job of 20 no-op stages on a full frame.

Reading, writing and hashing are reported apart: they pass over every byte once whatever
framework does it. Run it as ``python benchmarks/framework_overhead.py``; it exits with 1 if
the overhead is above the limit.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from csstcore.api import Image, InPlace
from csstcore.plugin import Definition, Pipeline, Stage
from csstcore.plugins.registry import Registry
from csstcore.run import reading, writing
from csstcore.run.environment import Environment, Setup
from csstcore.run.execute import run_job
from csstcore.run.jobs import make_jobs
from csstcore.run.scan import scan
from csstcore.testing.registries import plugin_module

ROWS, COLUMNS = 9232, 9216
STAGES = 20
LIMIT_S = 0.3
DEFINITION = f"""
[definition]
name = "frame"
summary = "A full frame"
product = "Image"
[file]
name = "FRAME_{{obs_id}}.fits"
[file.fields]
obs_id = {{ pattern = '\\d+', from = "meta.obs_id" }}
[meta]
obs_id = "OBSID"
[[hdu]]
name = "PRIMARY"
[hdu.keywords]
OBSID = {{ type = "str", from = "meta.obs_id" }}
[[hdu]]
name = "SCI"
plane = "data"
dtype = "float32"
unit = "adu"
shape = [{ROWS}, {COLUMNS}]
"""
PIPELINE = (
    '[pipeline]\nname = "idle"\nsummary = "Twenty stages that do nothing"\n'
    'group_by = ["obs_id"]\n'
    '[inputs]\nimage = { definition = "bench.frame" }\n'
    + "".join(f'[[stage]]\nid = "idle_{i}"\nuse = "bench.idle"\n' for i in range(STAGES))
    + '[outputs]\nimage = "bench.frame"\n'
)


def idle(image: InPlace[Image]) -> Image:
    """Do nothing."""
    return image


class Clock:
    """CPU time spent in a function."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function, timed."""

        def timed(*arguments: Any) -> Any:
            start = time.thread_time()
            try:
                return function(*arguments)
            finally:
                self.seconds += time.thread_time() - start

        return timed


def main() -> int:
    """Measure and print; return the exit code."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "frame.toml").write_text(DEFINITION)
        (folder / "idle.toml").write_text(PIPELINE)
        frame = fits.ImageHDU(np.ones((ROWS, COLUMNS), np.float32), name="SCI")
        frame.header["BUNIT"] = "adu"
        primary = fits.PrimaryHDU()
        primary.header["OBSID"] = "1"
        fits.HDUList([primary, frame]).writeto(folder / "FRAME_1.fits")
        del frame
        return measure(folder)


def measure(folder: Path) -> int:
    """Run the job three times and judge the best: the machine may be busy."""
    module = plugin_module(
        "bench.plugin",
        Stage("idle", f"{__name__}:idle", "Do nothing"),
        Definition("frame", "frame.toml", "A full frame"),
        Pipeline("idle", "idle.toml", "Twenty stages that do nothing"),
        folder=folder,
    )
    registry = Registry.of({"bench": module})
    read, write = Clock(), Clock()
    reading.read_products = read.around(reading.read_products)
    writing.write_product = write.around(writing.write_product)
    overheads = []
    for number in range(3):
        read.seconds = write.seconds = 0.0
        setup = Setup("bench.idle", str(folder / "out"), f"run{number}")
        env = Environment.of(setup, registry)
        (job,) = make_jobs(
            env.plan, scan(env.plan, env.definitions, [folder / "FRAME_1.fits"])
        ).jobs
        record = run_job(env, job)
        if record.status != "done":
            print(record.why)
            return 1
        overheads.append(record.cpu_s - read.seconds - write.seconds - record.hashing_s)
        print(
            f"job {record.cpu_s:.2f} s CPU: reading {read.seconds:.2f}, "
            f"writing {write.seconds:.2f}, hashing {record.hashing_s:.2f}, "
            f"framework {overheads[-1]:.3f}; "
            f"peak {record.peak_bytes / 1e6:.0f} MB"
        )
    best = min(overheads)
    print(f"framework overhead: {best:.3f} s CPU per job of {STAGES} stages (limit {LIMIT_S})")
    return int(best > LIMIT_S)


if __name__ == "__main__":
    sys.exit(main())
