"""The seven calibration products of the coronagraph, from simulated sets to Level 1."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from numpy.typing import NDArray

from csst_sim.cpic.device import CpicDevice
from csst_sim.cpic.direct import simulate_frames
from csstcore.cli.main import main
from csstcore.testing.in_process import InProcess

SEED = 11
HIGH_GAIN = 1000.0
PRODUCTS = ("bias", "linearity", "em_gain", "cti", "dark", "cic", "flat")
"""In the order in which they need each other."""
TYPES = {name: name for name in PRODUCTS} | {"linearity": "nonlinearity"}
ACTIVE = (slice(2, 130), slice(32, 160))
RAMP_S = (0.4, 0.8, 1.4, 2.5, 4.0, 6.0, 8.0, 9.2)
ENDS = {1.0: 8500.0, HIGH_GAIN: 51_000.0}
"""Counts of the longest exposure of a ramp by EM gain."""


def observations() -> Iterator[dict[str, float | str]]:
    """Everything that is taken, as entries of a plan."""
    yield {"file_type": "BIAS", "frames": 24, "exposure_time_s": 0.0}
    for em_gain, counts in ENDS.items():
        lamp = 8.0 * counts / em_gain / RAMP_S[-1]
        for seconds in RAMP_S:
            frames = 8 if em_gain > 1 and seconds < 2 else 3
            yield {"file_type": "LINEARITY", "frames": frames, "exposure_time_s": seconds,
                   "em_gain": em_gain, "lamp_electron_per_s": lamp}  # fmt: skip
    for frames, seconds in ((50, 0.5), (40, 8.0)):
        yield {"file_type": "EMGAIN", "frames": frames, "exposure_time_s": seconds,
               "em_gain": HIGH_GAIN, "lamp_electron_per_s": 1.0}  # fmt: skip
    for level in (8000.0, 15_000.0):
        yield {"file_type": "CTI", "frames": 16, "lamp_electron_per_s": level / 10}
    yield {"file_type": "CIC", "frames": 4, "exposure_time_s": 0.0, "em_gain": 1.0}  # linearity
    yield {"file_type": "CIC", "frames": 110, "exposure_time_s": 0.0, "em_gain": HIGH_GAIN}
    yield {"file_type": "DARK", "frames": 40, "exposure_time_s": 100.0, "em_gain": HIGH_GAIN}
    yield {"file_type": "FLAT", "frames": 12, "lamp_electron_per_s": 3000.0}
    yield {"file_type": "SCIE", "frames": 6, "em_gain": HIGH_GAIN, "star": "hip1"}


@dataclass(frozen=True)
class Laboratory:
    """A folder with all frames, and the references made of them."""

    folder: Path

    def command(self, *words: object, code: int = 0) -> str:
        """Run ``csstcore`` and return what it says."""
        said = StringIO()
        with redirect_stdout(said), redirect_stderr(said):
            found = main([str(word) for word in words])
        assert found == code, said.getvalue()
        return said.getvalue()

    def make(self, name: str) -> str:
        """Make a product from the folder of all frames and add it to the store."""
        return self.command(
            "refs", "make", f"cpic.make_{name}", self.folder / "raw" / "products",
            "-o", self.folder / "made", "--refs", self.folder / "refs", "--useafter", "always",
        )  # fmt: skip

    def path(self, name: str) -> Path:
        (path,) = (self.folder / "made").rglob(f"CPIC_EMCCD_{TYPES.get(name, name)}_2*.fits")
        return path

    def image(self, name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Values and errors of a reference; NaN where it is flagged ``bad``."""
        with fits.open(self.path(name)) as file:
            values, errors = (file[unit].data.astype(float) for unit in ("SCI", "ERR"))
            values[file["DQ"].data & 1 != 0] = np.nan
        return values, errors

    def table(self, name: str) -> Table:
        with fits.open(self.path(name)) as file:
            return Table(file["TABLE"].data)


@pytest.fixture(scope="module")
def laboratory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    """Simulate all frames and make every product from the same folder."""
    folder = tmp_path_factory.mktemp("laboratory")
    (folder / "refs").mkdir()
    plan = f'name = "calibration"\nkind = "cpic"\nreadout = "176x136"\ninstrument_seed = {SEED}\n'
    plan += '[[star]]\nname = "hip1"\nmagnitude = 3.0\n'
    for number, each in enumerate(observations(), 1):
        plan += f'[[observation]]\nobs_id = "401{number:08d}"\n'
        plan += f"time = 2028-01-{number:02d}T00:00:00Z\n"
        plan += "".join(f"{key} = {value!r}\n".replace("'", '"') for key, value in each.items())
    (folder / "plan.toml").write_text(plan)
    laboratory = Laboratory(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("csstcore.run.pool.ProcessPool", InProcess)
        words = ("run", "sim.cpic", folder / "plan.toml", "-o", folder / "raw", "--no-figures")
        laboratory.command(*words)
        for name in PRODUCTS:
            assert f"cpic.{TYPES[name]}: rule 1" in laboratory.make(name)
        yield laboratory


@pytest.fixture(scope="module")
def camera() -> CpicDevice:
    """The hidden truth."""
    return simulate_frames(frames=1, exposure_time_s=0.0, instrument_seed=SEED).device


def pulls(found: NDArray[np.float64], true: NDArray[np.float64], error: NDArray[np.float64]):
    usable = np.isfinite(found) & (error > 0)
    return ((found - true)[usable]) / error[usable]


def quiet(camera: CpicDevice) -> NDArray[np.bool_]:
    """Pixels without a warm or hot one before them, whose tail would reach them."""
    dark = camera.dark[2:]
    warm = np.pad(dark >= 0.02, ((1, 1), (60, 1)))
    near = np.zeros_like(dark, bool)
    for down in range(3):
        for back in range(62):
            near |= warm[down : down + 128, back : back + 128] & ((down == 1) | (back > 58))
    return ~near


def test_bias_shows_the_fixed_pattern(laboratory: Laboratory, camera: CpicDevice) -> None:
    bias, error = laboratory.image("bias")
    left = bias - camera.fixed_pattern[ACTIVE]
    assert abs(left.mean()) < 0.25
    assert ((left - left.mean()) / error).std() == pytest.approx(1, abs=0.1)


def test_counts_are_linear_to_80_percent_of_the_full_well(
    laboratory: Laboratory, camera: CpicDevice
) -> None:
    table = laboratory.table("linearity")
    for em_gain in ENDS:
        own = table[table["em_gain"] == em_gain]
        linear, square = camera.loss(camera.em_gain(em_gain))
        well = camera.register_full_well
        largest = 0.8 * min(well, camera.pixel_full_well * camera.em_gain(em_gain))
        charge = np.linspace(6000.0, largest, 300)
        counts = charge * (1 - linear * charge / well - square * (charge / well) ** 2) / camera.gain
        corrected = counts * np.interp(counts, own["counts"], own["relative_gain"])
        ratio = corrected / charge * np.interp(3000.0, counts, charge / counts)
        assert np.abs(ratio / np.interp(3000.0, counts, ratio) - 1).max() < 0.005
        assert np.all(own["relative_gain_error"] < 0.005)


def test_em_gain_is_right_by_both_methods(laboratory: Laboratory, camera: CpicDevice) -> None:
    """By electrons of the header's gain, which is 0.5 % off, and counts linear at 3000 adu."""
    (row,) = laboratory.table("em_gain")
    true = camera.em_gain(HIGH_GAIN) * camera.header_gain / camera.gain
    true *= 1 - camera.loss(true)[0] * 3000 * camera.gain / camera.register_full_well
    assert row["em_gain"] == pytest.approx(true, rel=0.01)
    for name, tolerance in (("likelihood", 0.005), ("moments", 0.01)):
        gain, error = row[f"{name}_em_gain"], row[f"{name}_em_gain_error"]
        assert abs(gain - true) < max(tolerance * true, 3 * error)
        assert error < 0.005 * gain


def test_dark_and_clock_induced_charge_are_right_with_their_errors(
    laboratory: Laboratory, camera: CpicDevice
) -> None:
    dark, dark_error = laboratory.image("dark")
    cic, cic_error = laboratory.image("cic")
    gain, far = camera.em_gain(HIGH_GAIN), quiet(camera)
    serial = camera.serial_cic * (1 - 1 / gain) / np.log(gain)
    for found, error, true in (
        (dark, dark_error, camera.dark[2:]),
        (cic, cic_error, camera.cic[ACTIVE[0]] + serial),
    ):
        known = far & np.isfinite(found)
        assert 0.9 < pulls(found[known], true[known], error[known]).std() < 1.1
        off = found[known].mean() - true[known].mean()
        assert abs(off) < 3 * error[known].mean() / known.sum() ** 0.5
        assert abs(off) < 0.03 * true[known].mean()


def test_hot_pixels_are_found(laboratory: Laboratory, camera: CpicDevice) -> None:
    with fits.open(laboratory.path("bad_pixels")) as file:
        flags = file["DQ"].data
    dark = camera.dark[2:]
    assert np.all(flags[dark > 0.3] & 0b111)
    assert np.all(flags[(dark > 0.03) & (dark < 0.15)] & 0b111)
    assert np.count_nonzero(flags[quiet(camera)]) <= 3


def test_transfers_are_right_and_their_trails_go(
    laboratory: Laboratory, camera: CpicDevice
) -> None:
    (row,) = laboratory.table("cti")
    for name in ("vertical", "horizontal"):
        true, release = getattr(camera, f"cti_{name}"), getattr(camera, f"cti_{name}_pixel")
        assert abs(row[f"{name}_inefficiency"] - true) < 3 * row[f"{name}_inefficiency_error"]
        assert row[f"{name}_inefficiency"] == pytest.approx(true, rel=0.15)
        assert abs(row[f"{name}_release"] - release) < 4 * row[f"{name}_release_error"]


def test_flat_is_as_good_as_its_photons(laboratory: Laboratory, camera: CpicDevice) -> None:
    flat, error = laboratory.image("flat")
    lit = np.isfinite(flat) & (camera.flat > 0.6)
    left = flat / camera.flat * camera.flat[lit].mean() - flat[lit].mean()
    assert left[lit].std() < 0.003
    excess = left[lit].var() - np.mean(error[lit] ** 2)
    assert excess < 0.001**2
    assert pulls(flat[lit], camera.flat[lit] / camera.flat[lit].mean(), error[lit]).std() < 1.1


def test_level_1_uses_all_of_them(laboratory: Laboratory) -> None:
    folder = laboratory.folder
    words = ("run", "cpic.l1", folder / "raw" / "products", "-o", folder / "level1")
    said = laboratory.command(*words, "--refs", folder / "refs", "--no-figures")
    assert "1 done" in said
    (record,) = (folder / "level1").rglob("jobs/*.json")
    used = json.dumps(json.loads(record.read_text())["references"])
    for name in (*PRODUCTS, "bad_pixels"):
        assert laboratory.path(name).name in used
