"""Accuracy of the coronagraph's calibration products against the simulator's hidden truth.

    python benchmarks/cpic_calibration.py                              # 8 cameras, small format
    python benchmarks/cpic_calibration.py --cameras 1 --readout 1080x1050

The sets of frames are those of the guide; the full format has 64 times the pixels and takes fewer
frames. Small numbers of frames make large errors: pulls tell whether these are honest.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
import tomllib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files

import astropy.units as u
import numpy as np
from numpy.typing import NDArray

from csst_calib.readout import Readout
from csst_calib.stages.bias import subtract_bias
from csst_calib.stages.combine import combine
from csst_calib.stages.normalise_flat import normalise_flat
from csst_cpic.camera.transfer import Transfer, remove_trails, trailed
from csst_cpic.detector import Detector
from csst_cpic.stages.bias_level import subtract_bias_level
from csst_cpic.stages.cosmic_rays import flag_cosmic_rays, set_flags
from csst_cpic.stages.cte import correct_cte
from csst_cpic.stages.dark import subtract_dark_and_cic
from csst_cpic.stages.electrons import to_electrons
from csst_cpic.stages.fit_dark_and_cic import fit_dark_and_cic
from csst_cpic.stages.measure_cti import measure_cti
from csst_cpic.stages.measure_em_gain import measure_em_gain
from csst_cpic.stages.measure_linearity import measure_linearity
from csst_cpic.stages.nonlinearity import correct_nonlinearity
from csst_cpic.stages.saturation import flag_saturation
from csst_cpic.stages.variance import average_frames, estimate_variance
from csst_sim.cpic.device import CpicDevice
from csst_sim.cpic.direct import simulate_frames
from csstcore.api import Image, Meta

GAINS = {1.0: 8500.0, 100.0: 54_000.0, 1000.0: 51_000.0}
"""Counts of the longest exposure of a ramp by EM gain."""
RAMP_S = (0.3, 0.6, 1.0, 1.5, 2.5, 4.0, 5.5, 7.0, 8.5, 9.4)
FRAMES = {
    "176x136": {"bias": 30, "ramp": 4, "faint": 50, "bright": 40, "cti": 16, "cic": 110,
                "dark": 40, "flat": 20},
    "1080x1050": {"bias": 12, "ramp": 1, "faint": 6, "bright": 4, "cti": 2, "cic": 12, "dark": 12,
                  "flat": 8},
}  # fmt: skip


@dataclass
class Laboratory:
    """A camera and what its frames give."""

    seed: int
    readout: str
    _taken: int = 0
    found: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        shipped = files("csst_cpic") / "references"
        self.detector = Detector(
            **tomllib.loads((shipped / f"detector_{self.readout}.toml").read_text())
        )
        self.geometry = Readout(
            **tomllib.loads((shipped / f"readout/cpic_{self.readout}.toml").read_text())
        )
        self.frames = FRAMES[self.readout]
        self.camera: CpicDevice = self._simulate(1, 0.0, 1.0, 0.0).device

    def _simulate(self, frames: int, seconds: float, em_gain: float, rate: float):
        self._taken += 1
        return simulate_frames(
            rate, frames=frames, exposure_time_s=seconds, em_gain=em_gain, readout=self.readout,
            instrument_seed=self.seed, seed=1000 * self.seed + self._taken,
        )  # fmt: skip

    def raw(self, name: str, seconds: float, em_gain: float = 1.0, rate: float = 0.0):
        """Take raw frames."""
        return self._simulate(self.frames[name], seconds, em_gain, rate).frames

    def levelled(self, frames: Sequence[Image], full_fraction: float = 0.9) -> list[Image]:
        """Subtract the level of every row and, once there is one, the master bias."""
        images = [
            subtract_bias_level(
                flag_saturation(image, self.detector, full_fraction=full_fraction), self.detector
            )[0]
            for image in frames
        ]
        return (
            images if not hasattr(self, "bias") else [subtract_bias(i, self.bias) for i in images]
        )

    def electrons(self, frames: Sequence[Image]) -> list[Image]:
        """Make linear electrons of raw frames."""
        images = [correct_nonlinearity(i, self.nonlinearity) for i in self.levelled(frames)]
        return [to_electrons(image, self.detector, self.em_gain) for image in images]

    def make(self) -> None:
        """Make all products in their order."""
        biases = self.raw("bias", 0.0)
        self.bias = combine(self.levelled(biases))
        flats = []
        for em_gain, counts in GAINS.items():
            rate = 8.0 * counts / em_gain / RAMP_S[-1]
            if em_gain > 1:
                flats += self.raw("faint", 0.0, em_gain)
            for seconds in RAMP_S:
                flats += self.raw("ramp", seconds, em_gain, rate)
        self.nonlinearity = measure_linearity(self.levelled(flats, 1.0), self.detector)
        flats = [
            image
            for em_gain in (100.0, 1000.0)
            for name, seconds in (("faint", 0.5), ("bright", 8.0))
            for image in self.levelled(self.raw(name, seconds, em_gain, 1.0))
        ]
        flats = [correct_nonlinearity(image, self.nonlinearity) for image in flats]
        self.em_gain = measure_em_gain(flats, self.detector)
        lamps = [i for level in (8e3, 15e3) for i in self.raw("cti", 10.0, rate=level / 10)]
        self.cti = measure_cti(lamps, biases, self.detector)
        darks = self.raw("cic", 0.0, 1000.0)
        for seconds in (20.0, 100.0):
            darks += self.raw("dark", seconds, 1000.0)
        self.dark, self.cic, _ = fit_dark_and_cic(self.electrons(darks), self.detector)
        self.flat = self._flat()

    def _flat(self) -> Image:
        frames = self.electrons(self.raw("flat", 10.0, rate=3000.0))
        frames = [correct_cte(image, self.detector, self.cti) for image in frames]
        hits = flag_cosmic_rays(frames, self.detector)
        mean = average_frames(frames, hits)
        frames = [set_flags(image, hit) for image, hit in zip(frames, hits, strict=True)]
        frames = [estimate_variance(image, mean, self.detector) for image in frames]
        frames = [subtract_dark_and_cic(image, self.dark, self.cic) for image in frames]
        frames = [normalise_flat(image, self.geometry) for image in frames]
        return normalise_flat(combine(frames, clip_mad=8.0), self.geometry)


def judge(lab: Laboratory) -> dict[str, float]:
    """Return errors and pulls of every product by name."""
    return {**of_bias(lab), **of_linearity(lab), **of_gain(lab), **of_cti(lab), **of_dark(lab),
            **of_flat(lab)}  # fmt: skip


def of_bias(lab: Laboratory) -> dict[str, float]:
    left = lab.bias.data - lab.camera.fixed_pattern[lab.detector.active]
    pull = (left - left.mean()) / np.sqrt(lab.bias.variance)
    return {"bias: level (adu)": left.mean(), "bias: std of pulls": pull.std()}


def of_linearity(lab: Laboratory) -> dict[str, float]:
    found = {}
    for em_gain in GAINS:
        true = lab.camera.em_gain(em_gain)
        linear, square = lab.camera.loss(true)
        well = lab.camera.register_full_well
        charge = np.linspace(6000.0, 0.8 * min(well, lab.camera.pixel_full_well * true), 400)
        counts = charge * (1 - linear * charge / well - square * (charge / well) ** 2)
        counts /= lab.camera.gain
        meta = Meta(em_gain=em_gain * u.one)
        image = Image(np.array([counts], np.float32), u.adu, meta=meta)
        before = counts / charge
        after = correct_nonlinearity(image, lab.nonlinearity).data[0] / charge
        # The scale of the factor is the gain's; what is left is the change along the counts.
        off, was = (100 * np.abs(r / np.median(r) - 1).max() for r in (after, before))
        found[f"linearity, EM gain {em_gain:g}: largest residual (%)"] = off
        found[f"linearity, EM gain {em_gain:g}: uncorrected (%)"] = was
    return found


def of_gain(lab: Laboratory) -> dict[str, float]:
    found = {}
    for row in lab.em_gain.table:
        true = lab.camera.em_gain(row["commanded_em_gain"])
        # Of linear counts, which are those at 3000 adu, and electrons by the header's gain.
        linear, _ = lab.camera.loss(true)
        charge = 3000.0 * lab.camera.gain / lab.camera.register_full_well
        true *= (1 - linear * charge) * lab.camera.header_gain / lab.camera.gain
        for name in ("likelihood", "moments"):
            key = f"EM gain {row['commanded_em_gain']:g}, {name}"
            gain, error = row[f"{name}_em_gain"], row[f"{name}_em_gain_error"]
            found[f"{key}: error (%)"] = 100 * (gain / true - 1)
            found[f"{key}: pull"] = (gain - true) / error
        found[f"EM gain {row['commanded_em_gain']:g}, taken: error (%)"] = 100 * (
            row["em_gain"] / true - 1
        )
    return found


def of_cti(lab: Laboratory) -> dict[str, float]:
    found = {}
    (row,) = lab.cti.table
    for name, packets in (
        ("vertical", lab.detector.shape[0]),
        ("horizontal", lab.detector.shape[1]),
    ):
        true = Transfer(
            getattr(lab.camera, f"cti_{name}"), getattr(lab.camera, f"cti_{name}_pixel")
        )
        measured = Transfer(row[f"{name}_inefficiency"], row[f"{name}_release"].value)
        line = np.zeros(packets)
        line[packets - 20] = 1e4
        seen = trailed(line, true)
        left = np.ascontiguousarray(seen[:, None], np.float32)
        remove_trails(left, measured)
        trail = np.abs(seen - line).sum()
        off = (measured.inefficiency - true.inefficiency) / row[f"{name}_inefficiency_error"]
        release = (row[f"{name}_release"].value - true.release_pixel) / row[
            f"{name}_release_error"
        ].value
        found[f"CTI {name}: trail left (%)"] = 100 * np.abs(left[:, 0] - line).sum() / trail
        found[f"CTI {name}: pull"] = off
        found[f"CTI {name}: pull of release"] = release
    return found


def of_dark(lab: Laboratory) -> dict[str, float]:
    camera, rows = lab.camera, lab.detector.active[0]
    gain = camera.em_gain(1000.0)
    serial = camera.serial_cic * (1 - 1 / gain) / np.log(gain)
    dark = camera.dark[lab.detector.dark_rows :]
    far = ~behind_warm(dark >= lab.detector.warm_electron_per_s)
    found = {}
    for name, image, true in (
        ("dark", lab.dark, dark), ("CIC", lab.cic, camera.cic[rows] + serial)
    ):  # fmt: skip
        known = far & ~image.flagged("bad")
        pull = (image.data[known] - true[known]) / np.sqrt(image.variance[known])
        mean, wanted = image.data[known].mean(dtype=float), true[known].mean(dtype=float)
        error = np.sqrt(image.variance[known].sum(dtype=float)) / known.sum()
        found[f"{name}: error of the mean (%)"] = 100 * (mean / wanted - 1)
        found[f"{name}: pull of the mean"] = (mean - wanted) / error
        found[f"{name}: std of pulls of pixels"] = pull.std()
        found[f"{name}: within 2 sigma (%)"] = 100 * np.mean(np.abs(pull) < 2)
    return found


def behind_warm(warm: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return warm pixels, those around them, 60 after and 12 above: trails are not their own."""
    near = np.zeros_like(warm)
    for y, x in zip(*np.nonzero(warm), strict=True):
        near[max(y - 1, 0) : y + 12, max(x - 1, 0) : x + 2] = True
        near[y, x : x + 60] = True
    return near


def of_flat(lab: Laboratory) -> dict[str, float]:
    true, flat = lab.camera.flat.astype(float), lab.flat
    lit = (flat.flags == 0) & (true > 0.6)
    left = flat.data / flat.data[lit].mean() - true / true[lit].mean()
    variance = np.mean(flat.variance[lit], dtype=float)
    return {
        "flat: rms (%)": 100 * left[lit].std(),
        "flat: expected (%)": 100 * np.sqrt(variance),
        "flat: excess over it (%)": 100 * np.sqrt(max(left[lit].var() - variance, 0.0)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cameras", type=int, default=8)
    parser.add_argument("--first", type=int, default=1, help="instrument seed of the first camera")
    parser.add_argument("--readout", choices=FRAMES, default="176x136")
    arguments = parser.parse_args()
    found: dict[str, list[float]] = defaultdict(list)
    start = time.process_time()
    for seed in range(arguments.first, arguments.first + arguments.cameras):
        lab = Laboratory(seed, arguments.readout)
        lab.make()
        for name, value in judge(lab).items():
            found[name].append(float(value))
        print(f"camera {seed}", file=sys.stderr)
    print(f"{'':48}{'mean':>9}{'rms':>9}{'worst':>9}")
    for name, values in found.items():
        numbers = np.array(values)
        rms, worst = np.sqrt(np.mean(numbers**2)), numbers[np.argmax(np.abs(numbers))]
        print(f"{name:48}{numbers.mean():9.4f}{rms:9.4f}{worst:9.4f}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    print(f"{time.process_time() - start:.0f} s of CPU time, at most {peak:.2f} GiB")


if __name__ == "__main__":
    main()
