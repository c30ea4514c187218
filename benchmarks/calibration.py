"""Accuracy of references made from simulated frames, as a table.

    python benchmarks/calibration.py                                       # small test detector
    python benchmarks/calibration.py --rows 1152 --columns 288 --pairs 4   # a sixteenth of a frame

Rows and columns are those of a channel (full frame: 4616 x 1152). With
``--gain FITS --detector N --seed N`` it compares a gain file made from simulated frames instead.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
from astropy.io import fits

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.toolkit.camera import Camera
from tests.toolkit.test_accuracy import CONVERTER_ELECTRON, Made, relative, transfer

from csst_calib.stages.find_bad_pixels import find_bad_pixels
from csst_calib.stages.nonlinearity import correct_nonlinearity
from csstcore.api import Image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=288)
    parser.add_argument("--columns", type=int, default=72)
    parser.add_argument("--pairs", type=int, default=4, help="pairs of flats at each of 12 levels")
    parser.add_argument("--detector", type=int, default=8)
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--gain", type=Path, help="gain reference made of simulated frames")
    parser.add_argument("--only-ptc", action="store_true")
    arguments = parser.parse_args()
    camera = Camera(arguments.detector, arguments.seed, arguments.rows, arguments.columns)
    if arguments.gain is not None:
        with fits.open(arguments.gain) as file:
            columns = {name: file["TABLE"].data[name].astype(float) for name in GAIN}
        gains(camera, {name: u.Quantity(values) for name, values in columns.items()})
        return
    start = time.monotonic()
    ptc, gain = transfer(camera, arguments.pairs, 20)
    gains(camera, gain.table)
    device = camera.device
    a00 = -2.6 * device.brighter_fatter - 3 * device.nonlinearity / device.full_well
    pull = (ptc.fit["a00"].value - a00) / ptc.fit["a00_error"].value
    row("a00 by eq. 16", f"mean {ptc.fit['a00'].value.mean():.3e}, true {a00.mean():.3e} /e-")
    row("a00 pull", f"{pull.mean():+.2f} +- {pull.std():.2f}")
    quadratic = 100 * relative(ptc.fit["quadratic_gain"], device.gain)
    row("gain by a parabola", f"mean {quadratic.mean():+.3f} %, largest {absmax(quadratic):.3f} %")
    row(
        "reduced chi-square",
        f"{ptc.fit['chi_square'].min():.2f} to {ptc.fit['chi_square'].max():.2f}",
    )
    if not arguments.only_ptc:
        others(Made(camera))
    print(f"{time.monotonic() - start:.0f} s")


GAIN = ("gain", "gain_error", "read_noise", "read_noise_error")


def row(name: str, value: str) -> None:
    print(f"{name:28} {value}", flush=True)


def absmax(values: Any) -> float:
    return float(np.abs(values).max())


def gains(camera: Camera, table: Any) -> None:
    device = camera.device
    gain, gain_error, noise, noise_error = (table[name] for name in GAIN)
    error = 100 * relative(gain, device.gain)
    expected = 100 * np.median(gain_error.value / device.gain)
    row(
        "gain",
        f"mean {error.mean():+.3f} %, largest {absmax(error):.3f} % (1 sigma {expected:.3f})",
    )
    for name, true in (
        ("read noise", device.read_noise),
        ("with converter steps", np.hypot(device.read_noise, device.gain / np.sqrt(12))),
    ):
        error = 100 * relative(noise, true)
        expected = 100 * np.median(noise_error.value / true)
        row(
            name,
            f"mean {error.mean():+.3f} %, largest {absmax(error):.3f} % (1 sigma {expected:.3f})",
        )


def others(made: Made) -> None:
    camera, device = made.camera, made.camera.device
    true = np.linspace(500.0, 0.9 * CONVERTER_ELECTRON, 60)
    worst = 0.0
    for channel in camera.readout:
        data = np.zeros(camera.readout.shape, np.float32)
        loss = device.nonlinearity[channel.index] / device.full_well
        data[channel.active][0, :60] = true * (1 - loss * true)
        image = correct_nonlinearity(Image(data, u.electron), camera.readout, made.nonlinearity)
        worst = max(worst, absmax(image.data[channel.active][0, :60] / true - 1))
    row("linearity to 90 %", f"{100 * worst:.4f} %")
    pull = (made.dark.data - camera.dark) / np.sqrt(np.asarray(made.dark.variance))
    row(
        "dark", f"pull std {pull.std():.3f}, {100 * np.mean(np.abs(pull) < 2):.1f} % within 2 sigma"
    )
    y = np.linspace(-1, 1, camera.readout.shape[0])[:, None]
    error = made.shutter.data - device.shutter_s * (0.5 - 1.5 * y**2)
    row("shutter", f"rms {1e3 * error.std():.2f} ms of {1e3 * device.shutter_s:.1f} ms")
    good = (camera.response > 0.5) & (made.flat.flags == 0)
    error = (made.flat.data - camera.response / camera.response[good].mean())[good]
    limit = np.sqrt(np.mean(1 / (8 * 30.0 * 1500.0 * camera.response[good])))
    row("flat", f"rms {100 * error.std():.4f} %, photon limit {100 * limit:.4f} %")
    mask = find_bad_pixels(made.darks, made.flat, made.dark, made.bias, camera.readout)
    dead, bad = camera.response < 0.48, mask.flagged("bad")
    row("bad pixels", f"{np.count_nonzero(bad & dead)} of {np.count_nonzero(dead)} found")


if __name__ == "__main__":
    main()
