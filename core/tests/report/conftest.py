"""Runs that were never made: records as `csstcore.run` writes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from csstcore.run.record import (
    CallRecord,
    CheckRecord,
    FigureRecord,
    FileRecord,
    JobRecord,
    ParameterRecord,
    StageRecord,
    save_record,
)
from csstcore.run.status import Failure, Status

STAGES = (
    "calib.subtract_overscan",
    "calib.subtract_bias",
    "calib.divide_flat",
    "calib.detect_cosmic_rays",
    "imaging.detect_sources",
    "imaging.solve_position",
    "imaging.measure_photometry",
)
RECORD = "2027-03-01T0{}:1{}:{:02d}.123456+00:00"


def picture(path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.imshow(np.random.default_rng(1).normal(size=(60, 100)), cmap="gray")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def stage(use: str, rng: np.random.Generator, number: int, **changes: Any) -> StageRecord:
    name = use.split(".")[1]
    metrics: dict[str, Any] = {}
    if name == "detect_sources":
        metrics = {"sources": int(9000 + 400 * rng.normal()), "background_rms": 4.2 + rng.normal()}
    if name == "solve_position":
        metrics = {"residual_arcsec": 0.011 + 0.002 * abs(rng.normal()), "matched": 412 + number}
    if name == "detect_cosmic_rays":
        metrics = {"cosmic_ray_pixels": int(210_000 + 9000 * rng.normal()), "method": "deepcr"}
    values: dict[str, Any] = {
        "status": Status.DONE,
        "id": name,
        "use": use,
        "distribution": "csst-calib",
        "version": "0.1.0",
        "wall_s": float(3 + 2 * rng.random()),
        "cpu_s": float(2 + 2 * rng.random()),
        "peak_bytes": int(1.1e9 + 5e8 * rng.random()),
        "metrics": metrics,
        "parameters": {"threshold": ParameterRecord(1.5, "default")},
    }
    return StageRecord(**values | changes)


def job(number: int, run: str = "20270301-001") -> JobRecord:
    """A job; every seventh fails, every fifth has a caveat and a check out of limits."""
    rng = np.random.default_rng(number)
    stages = [stage(use, rng, number) for use in STAGES]
    record = JobRecord(
        job=f"{10100000000 + number // 18}-{number % 18 + 6:02d}",
        pipeline="mbi.l1",
        run=run,
        status=Status.DONE,
        keys={"obs_id": str(10100000000 + number // 18), "detector": number % 18 + 6},
        started=RECORD.format(1, 2, number % 60),
        ended=RECORD.format(2, 4, number % 60),
        wall_s=38.2 + float(rng.normal()),
        cpu_s=31.0,
        peak_bytes=2_310_000_000,
        inputs=[FileRecord("image", f"/data/raw/{number}.fits", "a" * 64, 177_000_000)],
        references=[FileRecord("calib.bias", "/refs/files/ab/bias_07.fits", "b" * 64, 340_000_000)],
        outputs=[FileRecord("image", f"products/{number}_img.fits", "c" * 64, 340_000_000)],
        stages=stages,
        checks=[
            CheckRecord("sky_background", "imaging.sky_level", "written", "msc.l1_image",
                        0.31 + 0.05 * float(rng.normal()), True, 0.0, 5.0),
            CheckRecord("bias_level", "msc.bias_level", "read", "msc.l0", 1002.4, True, 900, 1100),
        ],
        versions={"csstcore": "0.1.0", "csst-calib": "0.1.0", "numpy": "2.4.6"},
    )  # fmt: skip
    if number % 5 == 3:
        stages[5].status = record.status = Status.CAVEATS
        stages[5].caveats = ["only 31 reference stars matched; the fit is linear"]
        record.caveats = stages[5].caveats
        record.checks.append(
            CheckRecord("position_residual", "imaging.residual", "written", "msc.l1_image",
                        0.071, False, None, 0.05, "0.071 is above the maximum 0.05")
        )  # fmt: skip
    if number % 7 == 6:
        why = "no reference of type calib.flat: it wants detector 6, the observation has detector 7"
        stages[2].status, stages[2].why = Status.FAILED, why
        for blocked in stages[3:]:
            blocked.status, blocked.why = Status.BLOCKED, "divide_flat failed"
            blocked.metrics, blocked.caveats = {}, []
            blocked.wall_s = blocked.cpu_s = 0.0
            blocked.peak_bytes = 0
        record.status, record.why, record.failed_stage = Status.FAILED, why, "divide_flat"
        record.failure = Failure.ERROR
        record.outputs, record.checks, record.caveats = [], [], []
        record.not_written = {"image": "divide_flat failed"}
    if number == 1:
        stages[0].elements = [
            CallRecord(Status.DONE, "frame 0", wall_s=0.2, peak_bytes=10**8),
            CallRecord(Status.SKIPPED, "frame 1", "the frame is empty"),
        ]
        record.checks += [
            CheckRecord(
                "level",
                "msc.level",
                "read",
                "msc.l0",
                10.0 + n,
                n < 3,
                None,
                12.5,
                element=f"frame {n}",
            )
            for n in range(4)
        ]
    return record


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes the records of a run and returns its folder."""

    def make(count: int, *, figures: bool = False) -> Path:
        folder = tmp_path / "out" / "runs" / "20270301-001"
        for number in range(count):
            record = job(number)
            if figures and record.outputs:
                path = folder / "figures" / record.job / "msc.l1_image-imaging.preview.png"
                picture(path)
                record.figures = [
                    FigureRecord("imaging.preview", "msc.l1_image", str(path.relative_to(folder)))
                ]
            save_record(record, folder / "jobs")
        return folder

    return make
