"""Trails of the simulator's traps, measured and corrected by models and code of calibration.

The small detector has channels 16 times shorter than the survey camera's: its traps are made
as many times denser, so that trails are as large as on a full frame.
"""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import TypeAdapter

import csst_msc
from csst_calib.readout import Readout
from csst_calib.stages.cti import correct_cti
from csst_sim.direct import shot_of
from csst_sim.plan import parse_plan
from csst_sim.shot import Shot
from csst_sim.stages.charge import transfer
from csst_sim.stages.light import expose, light_lamp
from csst_sim.stages.read_out import read_out
from csstcore.api import Image, Table
from csstcore.definitions.catalog import Definitions
from csstcore.definitions.read import read_products
from csstcore.definitions.sources import Sources
from csstcore.definitions.write import write_product
from csstcore.pipeline.check import build_plan
from csstcore.plugins.discovery import discover

from .test_sim_runs import run

OBS_ID, SHORTER, FRAMES = "10100000001", 16, 8
LEVELS = (1e4, 4e4, 7e4)


def shipped_readout() -> Readout:
    folder = Path(csst_msc.__file__).parent / "references" / "readout"
    values = tomllib.loads((folder / "msc_920x608.toml").read_text())
    return TypeAdapter(Readout).validate_python(values)


def shot(**exposure: Any) -> Shot:
    """An exposure of the small detector with denser traps and a read noise of 0.7 electron."""
    plan = {
        "name": "test",
        "kind": "calibration",
        "readout": "920x608",
        "detectors": [7],
        "exposure": [{"obs_id": OBS_ID, "time": "2028-01-01T00:00:00"} | exposure],
    }
    found = shot_of(parse_plan(plan, "plan"), OBS_ID, 7)
    device = replace(
        found.device,
        trap_parallel=found.device.trap_parallel * SHORTER,
        trap_serial=found.device.trap_serial * SHORTER,
        read_noise=np.full(16, 0.7),
    )
    return replace(found, device=device)


def raw_frame(level: float, rng: np.random.Generator) -> Image:
    """A raw flat, or a bias without light."""
    kind = {"file_type": "FLAT", "lamp_electron_per_s": level} if level else {"file_type": "BIAS"}
    exposure = shot(exposure_time_s=1.0 if level else 0.0, **kind)
    image = expose(light_lamp(exposure), exposure, rng=rng)
    return read_out(transfer(image, exposure), exposure, rng=rng)[0]


@pytest.fixture(scope="module")
def definitions() -> Definitions:
    return Definitions(discover())


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory, definitions: Definitions) -> Table:
    """The reference that ``calib.make_cti`` makes of files."""
    folder, rng = tmp_path_factory.mktemp("cti"), np.random.default_rng(4)
    for number, level in enumerate((*LEVELS, 0.0, 0.0, 0.0) * FRAMES):
        frame = raw_frame(level, rng)
        meta = replace(frame.meta, obs_id=f"{10100000001 + number}")
        raw = definitions.get("msc.l0")
        write_product(raw, replace(frame, meta=meta), Sources(), folder / "raw")
    run("calib.make_cti", folder / "raw", folder / "out")
    (path,) = (folder / "out" / "products").rglob("*_cti_*.fits")
    product: Table = read_products(definitions.get("calib.cti"), path).products[0]
    return product


def scene(rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Sky of 30 electrons with warm pixels and cosmic rays of 300 to 50000."""
    data = np.full(shape, 30.0, np.float32)
    hit = rng.random(shape) < 2e-3
    data[hit] += np.exp(rng.uniform(np.log(300), np.log(5e4), hit.sum())).astype(np.float32)
    return data


def test_trails_on_the_sky_are_removed_to_a_few_percent(measured: Table) -> None:
    readout = shipped_readout()
    true = scene(np.random.default_rng(8), readout.shape)
    raw = transfer(Image(true.copy(), u.electron), shot(file_type="DARK")).data
    image = Image(np.empty(readout.shape, np.float32), u.electron)
    for channel in readout:
        image.data[channel.active] = raw[channel.raw]
    trail = image.data - true
    left = correct_cti(image, readout, measured).data - true
    assert np.abs(trail).max() > 1.0
    assert np.abs(left).sum() < 0.05 * np.abs(trail).sum()


def test_level_1_corrects_linear_charge_before_anything_that_light_did(
    definitions: Definitions,
) -> None:
    steps = [step.id for step in build_plan(discover(), definitions, "mbi.l1").steps]
    assert steps.index("correct_nonlinearity") < steps.index("correct_cti")
    assert steps.index("correct_cti") < steps.index("subtract_dark")


def test_raw_files_are_assembled_and_back(definitions: Definitions, tmp_path: Path) -> None:
    raw = raw_frame(3e4, np.random.default_rng(5))
    path = write_product(definitions.get("msc.l0"), raw, Sources(), tmp_path / "raw")
    run("calib.assemble", path, tmp_path / "assembled")
    (assembled,) = (tmp_path / "assembled" / "products").rglob("*_assembled.fits")
    run("calib.disassemble", assembled, tmp_path / "back")
    (back,) = (tmp_path / "back" / "products").rglob("*.fits")
    assert back.name == path.name
    found = read_products(definitions.get("msc.l0"), back).products[0]
    for channel in shipped_readout():
        assert np.array_equal(found.data[channel.raw], raw.data[channel.raw])
        assert np.all(found.data[channel.overscan] == 1000)
    for name in ("obs_id", "detector", "readout", "file_type", "time"):
        assert getattr(found.meta, name) == getattr(raw.meta, name)
    assert u.allclose(found.meta.gain, raw.meta.gain)
