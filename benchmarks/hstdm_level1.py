"""Level 1 of HSTDM: accuracy on several simulated receivers, time and memory of an hour of dumps.

    python benchmarks/hstdm_level1.py --receivers 10 --rows 70

The receivers differ in everything the simulator draws; calibration is told the shipped numbers,
the sideband gain that a laboratory measured, with its errors, and the couplings to the loads: what
it loses without these is a row of its own.
"""

from __future__ import annotations

import argparse
import dataclasses
import resource
import time
import tomllib
from collections.abc import Callable
from importlib.resources import files
from typing import Any, TypeVar

import astropy.units as u
import numpy as np
from scipy.optimize import curve_fit

from csst_hstdm.checks import noise_ratio
from csst_hstdm.flags import FLAG_BITS
from csst_hstdm.receiver import Receiver
from csst_hstdm.stages.calibrate import calibrate
from csst_hstdm.stages.flag_dumps import flag_dumps
from csst_hstdm.stages.lsrk import shift_to_lsrk
from csst_hstdm.stages.main_beam import to_main_beam
from csst_hstdm.stages.orbit import interpolate_orbit, interpolate_pointing
from csst_hstdm.stages.solve_loads import solve_loads
from csst_sim.hstdm.direct import HstdmSimulation, simulate_hstdm
from csst_sim.hstdm.plan import parse_plan
from csst_sim.hstdm.power import sky_kelvin
from csstcore.api import Spectra, Table

OBS_ID = "50000000001"
REST_HZ, PEAK_KELVIN, WIDTH_KM_S = 492.1607e9, 8.0, 3.0
LIGHT_KM_S = 299792.458
CHANNEL_KM_S = LIGHT_KM_S * 73242.1875 / REST_HZ
QUIET = dict.fromkeys(
    ("noise", "gain_drift", "standing_waves", "thermal_coupling", "cosmic_rays", "digitisation"),
    False,
)
T = TypeVar("T")


def simulated(seed: int, plan: dict[str, Any], observation: dict[str, Any]) -> HstdmSimulation:
    """Return one observation of a line that fills the beam."""
    line = {"peak_kelvin": PEAK_KELVIN, "fwhm_kms": WIDTH_KM_S}
    entry = {"obs_id": OBS_ID, "time": "2028-03-01T00:00:00"} | observation
    values = {"name": "level1", "kind": "hstdm", "source": [line], "observation": [entry]}
    parsed = parse_plan(values | {"instrument_seed": seed} | plan, "plan")
    return simulate_hstdm(parsed, OBS_ID, seed)


def receiver() -> Receiver:
    """Return the shipped numbers."""
    text = files("csst_hstdm").joinpath("references/receiver_proposed.toml").read_text()
    return Receiver(**tomllib.loads(text))


def told(run: HstdmSimulation) -> Receiver:
    """Return the shipped numbers with the true couplings to the loads."""
    true = run.session.receiver
    return dataclasses.replace(receiver(), eta_hot=true.hot_coupling, eta_cold=true.cold_coupling)


def level_1(run: HstdmSimulation) -> tuple[Spectra, Table, Table]:
    """Return dumps on the scale of the main beam, loads, system temperatures."""
    numbers = told(run)
    dumps = interpolate_orbit(interpolate_pointing(flag_dumps(run.dumps, numbers)))
    loads = solve_loads([dumps], numbers, run.sideband_gain)
    (calibrated,), t_sys = calibrate([dumps], loads, numbers, run.sideband_gain)
    if calibrated is None:
        raise SystemExit("the observation has no ON")
    return to_main_beam(calibrated, numbers), loads, t_sys


def line(dumps: Spectra) -> tuple[float, float]:
    """Return peak (K) and centre (channels) of a Gaussian fitted to the mean of all dumps."""
    good = np.isfinite(dumps.flux) & (dumps.flags == 0)
    number = good.sum(axis=0)
    use = number > 0.5 * number.max()
    mean = np.where(good, dumps.flux, 0).sum(axis=0)[use] / number[use]
    velocity = LIGHT_KM_S * (1 - dumps.axis.to_value(u.Hz)[use] / REST_HZ)

    def gaussian(x: Any, peak: float, centre: float, sigma: float, level: float) -> Any:
        return level + peak * np.exp(-0.5 * ((x - centre) / sigma) ** 2)

    start = (PEAK_KELVIN, float(velocity[np.argmax(mean)]), WIDTH_KM_S / 2.355, 0.0)
    peak, centre, _, _ = curve_fit(gaussian, velocity, mean, start)[0]
    return float(peak), float(centre / CHANNEL_KM_S)


def accuracy(seed: int) -> dict[str, float]:
    """Return errors of one receiver: twenty minutes with all effects, half an orbit without."""
    often = {"load_dumps": 10, "load_interval_s": 45.0, "on_dumps": 20, "off_dumps": 20}
    run = simulated(seed, {"channels": 1024}, {"cycles": 24, "gap_s": 2.0} | often)
    dumps, loads, t_sys = level_1(run)
    state = run.session.schedule.state
    offset = run.dump_truth.table["t_rec_offset"].to_value(u.K)
    t_rec = run.session.receiver.t_rec_kelvin
    off = np.flatnonzero(state == "OFF")
    true = t_rec + offset[off].mean() + sky_kelvin(run.session, off[::20]).mean(axis=0)
    ratio = t_sys.table["t_sys"].to_value(u.K).mean(axis=0) / true
    loads_true = t_rec.mean() + offset[np.isin(state, ["HOT", "COLD"])].mean()
    hits = run.hit_truth.table
    bit = FLAG_BITS["cosmic_ray"]
    flags = np.asarray(run.dumps.flags)
    found = (flags[hits["row"] - 1, hits["channel"] - 1] & bit) != 0
    false = np.count_nonzero(flags & bit) - np.count_nonzero(found)
    shipped = solve_loads([run.dumps], receiver(), run.sideband_gain).table
    gains = [np.nanmedian(table["gamma"].value) for table in (shipped, loads.table)]
    slow = {"load_dumps": 2, "load_interval_s": 600.0, "on_dumps": 4, "off_dumps": 2}
    orbit = simulated(
        seed, {"channels": 1024, "effects": QUIET}, {"cycles": 24, "gap_s": 54.0} | slow
    )
    still = level_1(orbit)[0]
    peak, centre = line(shift_to_lsrk(still))
    places = np.argmax(still.flux, axis=1)
    return {
        "T_rec (%)": 100 * (loads.table["t_rec"].to_value(u.K).mean() / loads_true - 1),
        "T_rec with stated couplings (%)": 100
        * (float(np.nanmean(shipped["t_rec"].to_value(u.K))) / loads_true - 1),
        "temperatures with stated couplings (%)": 100 * float(gains[1] / gains[0] - 1),
        "T_sys (%)": 100 * (float(np.mean(ratio)) - 1),
        "T_sys, rms of channels (%)": 100 * float(np.std(ratio)),
        "rms / radiometer": noise_ratio(dumps),
        "peak with noise (%)": 100 * (line(shift_to_lsrk(dumps))[0] / PEAK_KELVIN - 1),
        "peak, half an orbit (%)": 100 * (peak / PEAK_KELVIN - 1),
        "centre, half an orbit (channel)": centre,
        "line moves without correction (channel)": float(np.ptp(places)),
        "hits found (%)": 100 * float(np.mean(found)),
        "false hits (1e-6)": 1e6 * false / run.dumps.flux.size,
    }


def timed(name: str, work: Callable[[], T]) -> T:
    """Run a piece of work and print its time and the largest memory so far."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"{name:20s} {wall:7.2f} s wall {cpu:7.2f} s CPU   {peak_gb:.2f} GB")
    return result


def hour(rows: int) -> None:
    """Print time and memory of a map of 16384 channels, 40 dumps of a second a row."""
    row = {"file_type": "OTFM", "rows": rows, "on_dumps": 40, "off_dumps": 7, "load_dumps": 6}
    run = timed("(simulation)", lambda: simulated(1, {}, row))
    dumps, gain = run.dumps, run.sideband_gain
    print(f"{len(dumps)} dumps of {dumps.flux.shape[1]} channels")
    timed("flag_dumps", lambda: flag_dumps(dumps, receiver()))
    timed("interpolate_pointing", lambda: interpolate_pointing(dumps))
    timed("interpolate_orbit", lambda: interpolate_orbit(dumps))
    loads = timed("solve_loads", lambda: solve_loads([dumps], receiver(), gain))
    series, _ = timed("calibrate", lambda: calibrate([dumps], loads, receiver(), gain))
    calibrated = series[0]
    if calibrated is not None:
        timed("shift_to_lsrk", lambda: shift_to_lsrk(calibrated))


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--receivers", type=int, default=10)
    parser.add_argument("--rows", type=int, default=70, help="of the map; 70 take an hour")
    options = parser.parse_args()
    results = [accuracy(seed) for seed in range(1, options.receivers + 1)]
    for name in results[0]:
        values = np.array([result[name] for result in results])
        worst = values[np.argmax(np.abs(values - np.median(values)))]
        print(f"{name:40s} mean {values.mean():9.4f}  rms {values.std():8.4f}  worst {worst:9.4f}")
    hour(1)  # compiles, or loads what was compiled
    hour(options.rows)


if __name__ == "__main__":
    main()
