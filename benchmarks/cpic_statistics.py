"""Statistics of the coronagraph's EMCCD: cosmic rays, counted photons, EM gain, dark and CIC.

    python benchmarks/cpic_statistics.py

Frames are those of `csst_sim`, with a camera that is drawn anew and kept from the code measured;
only the fixed pattern of the bias is known. Photon counting is compared with corgidrp where
that can be imported.
"""

from __future__ import annotations

import argparse
import resource
import time
import tomllib
from collections.abc import Iterator
from importlib import import_module
from importlib.resources import files
from typing import Any

import astropy.units as u
import numpy as np
from numpy.typing import NDArray

from csst_cpic.detector import Detector
from csst_cpic.register.dark_fit import analog_variance, fit_dark_and_cic
from csst_cpic.register.detection_curve import DetectionCurve
from csst_cpic.register.em_gain_fit import fit_em_gain
from csst_cpic.register.em_gain_moments import em_gain_from_moments, level_moments
from csst_cpic.register.register_output import RegisterOutput
from csst_cpic.stages.bias_level import subtract_bias_level
from csst_cpic.stages.cosmic_rays import flag_cosmic_rays
from csst_cpic.stages.count_photons import count_photons
from csst_cpic.stages.electrons import to_electrons
from csst_sim.cpic.direct import SimulatedFrames, simulate_frames
from csst_sim.cpic.effects import CpicEffects
from csst_sim.cpic.series import take_series
from csstcore.api import Image, Meta, replace

SHAPE = (128, 128)
PLAIN = CpicEffects(
    dark=False, cic=False, serial_cic=False, flat=False, cosmic_rays=False, charge_transfer=False,
    em_gain_error=False, nonlinearity=False,
)  # fmt: skip
CORRECTED = CpicEffects(charge_transfer=False, nonlinearity=False, register_tails=False)
"""Without what stages before correct."""

Plane = NDArray[Any]


def detector(readout: str = "176x136") -> Detector:
    """Return the shipped numbers."""
    text = (files("csst_cpic") / f"references/detector_{readout}.toml").read_text()
    return Detector(**tomllib.loads(text))


def electrons(raw: Image, sim: SimulatedFrames, em_gain: float) -> Image:
    """Return a frame in electrons, with a known fixed pattern, and an EM gain as it is measured:

    in electrons by the header's gain, which is wrong by half a percent.
    """
    data = raw.data - sim.device.fixed_pattern * sim.exposer.effects.bias_structure
    image, _ = subtract_bias_level(replace(raw, data=data.astype(np.float32)), detector())
    measured = max(em_gain * sim.device.header_gain / sim.device.gain, 1.0)
    meta = replace(image.meta, em_gain=measured * u.one)
    return to_electrons(replace(image, meta=meta), detector())


def star(offset: float) -> Plane:
    """Return core and speckles, electrons per second, moved by an offset in pixels."""
    y, x = np.indices(SHAPE, float)
    y, x = y - 63.3 - offset, x - 64.8 - 0.5 * offset
    wave = np.cos(1.7 * x + 0.3 * y) * np.cos(1.1 * y) + np.cos(0.7 * x - 1.3 * y)
    core = 50 * np.exp(-(x**2 + y**2) / (2 * 1.5**2))
    return np.asarray(core + 0.3 * wave**2 * np.exp(-np.hypot(x, y) / 25), np.float32)


def hits(sim: SimulatedFrames, hit_truth: Any, frames: int) -> Plane:
    """Return what particles left in each pixel, electrons at the input."""
    table, truth = hit_truth.table, np.zeros((frames, *SHAPE))
    x, y = np.asarray(table["x"]) - 1, np.asarray(table["y"]) - 1
    inside = (x >= 0) & (y >= 0) & (x < SHAPE[1]) & (y < SHAPE[0])
    left = table["deposit"].value + table["tail"].value / sim.em_gain
    truth[np.asarray(table["frame"])[inside], y[inside], x[inside]] = left[inside]
    return truth


def cosmic_rays(number: int, repeats: int) -> None:
    """Print recall and precision of the stage, and of a cut at 5 sigma of a Gaussian."""
    print(f"\ncosmic rays: {repeats} series of {number} frames of 10 s")
    for kind in ("dark", "star", "drifting star"):
        for gain in (1.0, 10.0, 50.0, 200.0, 1000.0):
            sums = np.zeros(9)
            for seed in range(repeats):
                sums += _series_of_hits(kind, gain, number, seed)
            wanted5, got5, wanted10, got10, right, flagged, gauss, gauss_right, gauss_flagged = sums
            print(
                f"{kind:14s} gain {gain:5.0f}: recall {got5 / wanted5:.4f} (10 electrons "
                f"{got10 / wanted10:.4f}) of {wanted5:.0f} precision {right / flagged:.4f}; "
                f"Gaussian {gauss / wanted5:.4f} {gauss_right / gauss_flagged:.4f}",
                flush=True,
            )


def _series_of_hits(kind: str, gain: float, number: int, seed: int) -> Plane:
    sim = simulate_frames(0.0, frames=1, em_gain=gain, instrument_seed=seed + 1)
    drift = 1.0 if kind == "drifting star" else 0.0
    rng = np.random.default_rng([seed, int(gain)])
    offsets = drift * (np.arange(number) / number - 0.5) + 0.1 * drift * rng.normal(size=number)
    lights = [star(offset) if kind != "dark" else np.zeros(SHAPE, np.float32) for offset in offsets]
    series = take_series(sim.exposer, lights, sim.frames[0].meta, rng)
    frames = [electrons(raw, sim, sim.em_gain) for raw in series.frames]
    found = np.array([mask.mask for mask in flag_cosmic_rays(frames, detector())])
    truth = hits(sim, series.hit_truth, number)
    rate = np.mean(lights, axis=0) * 10 + sim.exposer.background()[detector().active]
    sigma = np.sqrt(2 * rate + (40 / sim.em_gain) ** 2)
    data = np.array([frame.data for frame in frames])
    cut, real = data > rate + 5 * sigma, truth > 0
    wanted, clear = truth > np.maximum(5 * sigma, 5), truth > np.maximum(5 * sigma, 10)
    mine = (wanted, found & wanted, clear, found & clear, found & real, found)
    return np.array([each.sum() for each in (*mine, cut & wanted, cut & real, cut)], float)


def counted_photons(number: int) -> None:
    """Print bias and pulls of counted rates, and the bias of corgidrp's inversion."""
    print(f"\ncounted photons: {number} frames, EM gain 1000, read noise 40, threshold 200")
    try:
        counting = import_module("corgidrp.photon_counting")
    except ImportError:
        counting = None
    for rate in (0.005, 0.01, 0.03, 0.1, 0.3, 1.0, 2.0):
        values, pulls, theirs, seed = [], [], [], 0
        series = max(4, min(80, round(0.5 / rate)))
        for seed in range(series):
            sim = simulate_frames(
                rate,
                frames=number,
                exposure_time_s=1.0,
                em_gain=1000.0,
                effects=PLAIN,
                seed=seed + 1,
            )
            frames = [electrons(raw, sim, 1000.0) for raw in sim.frames]
            noise = float(frames[0].meta.read_noise.to_value(u.electron))
            counted = count_photons(frames, detector())
            values.append(counted.data.ravel())
            pulls.append(((counted.data - rate) / np.sqrt(counted.variance)).ravel())
            if counting is not None:
                detected = sum((frame.data > 5 * noise / 1000).astype(float) for frame in frames)
                pixels = np.indices(SHAPE)
                theirs.append(
                    counting.corr_photon_count(
                        detected, number, 5 * noise, 1000.0, tuple(pixels), niter=2
                    )
                )
        value, pull = np.concatenate(values), np.concatenate(pulls)
        error = value.std() / np.sqrt(value.size) / rate
        other = 100 * (np.mean(theirs) / rate - 1) if theirs else np.nan
        print(
            f"rate {rate:5.3f}: bias {100 * (value.mean() / rate - 1):+.3f} +- {100 * error:.3f} "
            f"%, pull {pull.mean():+.3f} {pull.std():.3f}; corgidrp {other:+.3f} %",
            flush=True,
        )


def em_gains(cameras: int) -> None:
    """Print how far measured gains are from true ones."""
    print(f"\nEM gain: {cameras} cameras")
    for commanded in (10.0, 100.0, 300.0, 1000.0):
        moments, fits = [], []
        for seed in range(cameras):
            kind: dict[str, Any] = {"em_gain": commanded, "instrument_seed": seed + 1}
            kind |= {"exposure_time_s": 1.0, "effects": CORRECTED}
            levels, true = [], 1.0
            for level in np.array([0.1, 1.0]) * min(60.0, 10000 / commanded):
                sim = simulate_frames(float(level), frames=30, seed=seed + 1, **kind)
                true = sim.em_gain * sim.device.header_gain / sim.device.gain
                planes = np.array([_output(raw, sim) for raw in sim.frames])
                levels.append(level_moments(planes))
            gain, error = em_gain_from_moments(levels[0], levels[1], 604)
            moments.append((gain / true - 1, error / true))
            if commanded >= 300:
                sim = simulate_frames(0.2, frames=300, seed=seed + 50, **kind)
                noise = sim.device.header_read_noise
                fit = fit_em_gain([_output(raw, sim) for raw in sim.frames], noise, 604)
                fits.append((fit.em_gain / true - 1, fit.em_gain_error / true))
        for name, results in (("moments", moments), ("histogram", fits)):
            if results:
                off, errors = np.array(results).T
                print(
                    f"gain {commanded:5.0f} {name:9s}: mean {100 * off.mean():+.3f} %, rms "
                    f"{100 * np.sqrt(np.mean(off**2)):.3f} %, pull {np.std(off / errors):.2f}, "
                    f"mean error {100 * errors.mean():.3f} %",
                    flush=True,
                )


def _output(raw: Image, sim: SimulatedFrames) -> Plane:
    """Return output electrons with hits taken out."""
    image = electrons(raw, sim, sim.em_gain)
    planes = image.data * np.float32(image.meta.em_gain)
    table = sim.hit_truth.table
    here = (np.asarray(table["frame"]) == raw.meta.frame) & (
        (table["deposit"] > 0) | (table["tail"] > 20 * u.electron)
    )
    x, y = np.asarray(table["x"])[here] - 1, np.asarray(table["y"])[here] - 1
    inside = (x >= 0) & (y >= 0) & (x < SHAPE[1]) & (y < SHAPE[0])
    planes[y[inside], x[inside]] = np.nan
    hot = sim.device.dark[-SHAPE[0] :] > 0.02
    planes[hot] = np.nan
    return planes


def darks(number: int, cameras: int) -> None:
    """Print dark and clock-induced charge, analog and counted, against the truth."""
    print(f"\ndark and CIC: {number} frames at 1, 30, 100 and 300 s, EM gain 1000")
    for camera in range(cameras):
        for name, found, wanted, errors in _dark_fits(number, camera + 1):
            off, sure = 100 * (found / wanted - 1), 100 * errors / wanted
            print(
                f"camera {camera + 1} {name:8s}: CIC {off[0]:+.2f} +- {sure[0]:.2f} %, dark "
                f"{off[1]:+.2f} +- {sure[1]:.2f} % ({off[1] / sure[1]:+.1f} sigma)",
                flush=True,
            )


def _dark_fits(number: int, camera: int) -> Iterator[tuple[str, Plane, Plane, Plane]]:
    """Iterate over how it was measured: found, true and errors of mean CIC and mean dark."""
    times, sims = np.array([1.0, 30.0, 100.0, 300.0]), []
    kind: dict[str, Any] = {"em_gain": 1000.0, "instrument_seed": camera, "file_type": "DARK"}
    kind |= {"effects": replace(CORRECTED, cosmic_rays=False), "frames": number}
    for k, seconds in enumerate(times):
        sims.append(simulate_frames(exposure_time_s=float(seconds), seed=10 * camera + k, **kind))
    gain, device = sims[0].em_gain, sims[0].device
    output = RegisterOutput.of_stages(gain, device.header_read_noise, 604, device.serial_cic)
    curve = DetectionCurve.of(output, 5 * output.noise_electron)
    signal = np.array([[electrons(raw, sim, gain).data for raw in sim.frames] for sim in sims])
    frames = np.full((len(times), *SHAPE), number)
    counted, _ = curve.estimate((signal > curve.threshold_electron).sum(axis=1), frames)
    dark, cic = device.dark[-SHAPE[0] :], device.cic[detector().active[0]]
    trailing = (dark * times.max() * gain > 2e4).any(axis=1)
    trailing |= np.roll(trailing, 1)  # what is left in the register goes on in the next row
    usual = (dark < 0.02) & ~trailing[:, None]
    wanted = np.array([cic[usual].mean(), dark[usual].mean()])
    for name, rates, used, variance, offset in (
        ("analog", signal.mean(axis=1), frames, analog_variance(output), output.mean(0.0)),
        ("counted", counted, np.where(counted < 2, frames, 0), curve.frame_variance, 0.0),
    ):
        fit = fit_dark_and_cic(times, rates, used, variance)
        found = np.array([fit.cic[usual].mean() - offset, fit.dark[usual].mean()])
        variances = np.array([fit.cic_variance[usual].mean(), fit.dark_variance[usual].mean()])
        yield name, found, wanted, np.sqrt(variances / usual.sum())


def speed(number: int) -> None:
    """Print time and memory of full frames."""
    rng, size = np.random.default_rng(1), (1024, 1024)
    meta = Meta(em_gain=1000.0 * u.one, read_noise=40 * u.electron)
    frames = list(_quick_frames(rng, number, size, meta))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    flag_cosmic_rays(frames[:3], detector("1080x1050"))
    for stage in (flag_cosmic_rays, count_photons):
        wall, cpu = time.perf_counter(), time.process_time()
        stage(frames, detector("1080x1050"))
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(
            f"{stage.__name__}: {number} frames of {size}: wall {wall:.1f} s, CPU {cpu:.1f} s, "
            f"{(peak - before) / 1e6:.2f} GB beside the frames"
        )


def _quick_frames(
    rng: np.random.Generator, number: int, size: tuple[int, int], meta: Meta
) -> Iterator[Image]:
    for _ in range(number):
        charge = rng.poisson(0.02, size)
        data = rng.normal(0, 0.04, size).astype(np.float32)
        data[charge > 0] += rng.standard_gamma(charge[charge > 0])
        for y, x in rng.integers(0, 1000, (90, 2)):
            data[y, x : x + 8] += 500
        yield Image(data, u.electron, meta=meta)


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=40, help="of a series with cosmic rays")
    parser.add_argument("--repeats", type=int, default=10, help="series, and cameras")
    parser.add_argument("--only", default="", help="one of speed, hits, counts, gains, darks")
    chosen = parser.parse_args()
    parts = {
        "speed": lambda: speed(100),
        "hits": lambda: cosmic_rays(chosen.frames, chosen.repeats),
        "counts": lambda: counted_photons(100),
        "gains": lambda: em_gains(chosen.repeats),
        "darks": lambda: darks(100, 4),
    }
    for name, part in parts.items():
        if chosen.only in ("", name):
            part()


if __name__ == "__main__":
    main()
