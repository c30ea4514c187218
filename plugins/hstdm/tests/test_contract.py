"""The contract that every plugin keeps."""

from __future__ import annotations

from typing import Any

import astropy.units as u
import numpy as np
from astropy.table import QTable
from astropy.time import Time

from csst_hstdm.gridding import BesselGaussian, Gaussian, Gridding
from csst_hstdm.line_list import Line, LineList
from csst_hstdm.receiver import Receiver
from csst_hstdm.stages.average_spectra import average_spectra
from csst_hstdm.stages.calibrate import calibrate
from csst_hstdm.stages.find_lines import find_lines
from csst_hstdm.stages.grid_spectra import grid_spectra
from csst_hstdm.stages.solve_loads import solve_loads
from csstcore.api import Spectra, replace
from csstcore.testing.contract import *  # noqa: F403

PLUGIN = "hstdm"


def switched_dumps() -> Spectra:
    """ON and OFF of a ground telescope, each with and without noise diode."""
    rows = QTable(
        {
            "state": ["OFF", "OFF", "ON", "ON"],
            "scan": [6, 6, 7, 7],
            "sequence": [1, 1, 2, 2],
            "diode": [False, True] * 2,
            "t_cal": [1.5] * 4 * u.K,
            "exposure_time": [30.0] * 4 * u.s,
        }
        | {name: [0] * 4 for name in ("window", "polarisation", "feed", "subscan")}
    )
    counts = np.repeat([[100.0], [110.0], [105.0], [115.0]], 50, axis=1).astype(np.float32)
    return Spectra(counts, np.linspace(1.40e9, 1.42e9, 50) * u.Hz, u.count, rows=rows)


RECEIVER = Receiver(
    name="SIS",
    channels=16384,
    bandwidth_hz=1.2e9,
    if_low_hz=4.0e9,
    if_high_hz=5.2e9,
    sideband="USB",
    noise_bandwidth_factor=1.0,
    spectrometer_efficiency=1.0,
    saturation_count=4.0e9,
    eta_hot=1.0,
    eta_cold=1.0,
    eta_hot_error=0.005,
    eta_cold_error=0.005,
    eta_l=0.96,
    eta_mb=0.8,
    eta_a=0.72,
    aperture_m=2.0,
    beam_factor=1.2,
    tuning_range_hz=50e6,
    sideband_gain_range_hz=1e9,
    gain_drift=1e-3,
    gain_drift_time_s=100.0,
    t_rec_tolerance=0.05,
    warmest_kelvin=300.0,
    standing_wave_hz=1e8,
)


def load_dumps() -> Spectra:
    """Two dumps each of HOT, COLD, OFF and ON in low orbit."""
    state = np.repeat(["HOT", "COLD", "OFF", "ON"], 2)
    kelvin = {"HOT": 410.0, "COLD": 200.0, "OFF": 130.0, "ON": 131.0}
    rng = np.random.default_rng(1)
    noise = 1 + 0.004 * rng.standard_normal((8, 64))
    counts = 1e6 * np.array([[kelvin[name]] for name in state]) * noise
    rows = QTable({"time": Time("2028-03-01", scale="utc") + (np.arange(8) + 0.5) * u.s})
    rows["exposure_time"] = np.ones(8) * u.s
    rows["state"] = state
    rows["scan"], rows["subscan"] = np.repeat([1, 2, 3, 4], 2), 1
    rows["flag"] = np.zeros(8, np.int32)
    rows["sideband"] = "USB"
    rows["lo_frequency"], rows["rest_frequency"] = 456.0e9 * u.Hz, 461.04e9 * u.Hz
    rows["t_hot"], rows["t_cold"] = 295.0 * u.K, 80.0 * u.K
    rows["ra"], rows["dec"] = 83.8 * u.deg, -5.4 * u.deg
    angle = 1.133e-3 * np.arange(8)
    for name, value in zip("xyz", (np.cos(angle), np.sin(angle), 0 * angle), strict=True):
        rows[name] = 6771.0 * value * u.km
    for name, value in zip("xyz", (-np.sin(angle), np.cos(angle), 0 * angle), strict=True):
        rows[f"v{name}"] = 7.67 * value * u.km / u.s
    axis = 460.6e9 + 73242.1875 * np.arange(64)
    flags = np.zeros(counts.shape, np.uint16)
    return Spectra(counts.astype(np.float32), axis * u.Hz, u.count, flags=flags, rows=rows)


LINES = LineList("a test", 100.0, [Line("CO 4-3", 461.04e9)])
GRIDDING = Gridding(4.0, 0.3, Gaussian(1 / 3, 0.5), BesselGaussian(0.52, 0.84, 1.0))


def level_1_dumps() -> Spectra:
    """Dumps of a small map with a line in the middle of the band."""
    rng = np.random.default_rng(2)
    x, y = (plane.ravel() for plane in np.meshgrid(np.arange(6), np.arange(6)))
    rows = QTable({"state": ["ON"] * 36, "flag": np.zeros(36, np.int32), "frame": ["LSRK"] * 36})
    rows["ra"], rows["dec"] = (83.8 + 0.005 * x) * u.deg, (-5.4 + 0.005 * y) * u.deg
    rows["exposure_time"], rows["t_sys"] = 1.0 * u.s, 300.0 * u.K
    rows["rest_frequency"] = 461.04e9 * u.Hz
    channels = np.arange(128)
    line = 20 * np.exp(-0.5 * ((channels - 64) / 4) ** 2)
    flux = (line + rng.normal(0, 1, (36, 128))).astype(np.float32)
    axis = 461.04e9 + 73242.1875 * (channels - 64)
    return Spectra(
        flux,
        axis * u.Hz,
        u.K,
        variance=np.ones_like(flux),
        flags=np.zeros(flux.shape, np.uint16),
        rows=rows,
    )


def examples() -> dict[str, Any]:
    """A call of every stage."""
    rows = QTable({"lo_frequency": [456.0e9] * u.Hz, "sideband": ["USB"]})
    gain = Spectra(np.full((1, 64), 0.5, np.float32), load_dumps().axis - 456e9 * u.Hz, rows=rows)
    loads = solve_loads([load_dumps()], RECEIVER, gain)
    (calibrated,), _ = calibrate([load_dumps()], loads, RECEIVER, gain)
    spectrum = average_spectra([level_1_dumps()])
    cube = grid_spectra([level_1_dumps()], RECEIVER, GRIDDING)
    return {
        "subtract_baseline": ((level_1_dumps(),), {"degree": 1, "standing_waves": 0}),
        "average_spectra": (([level_1_dumps()],), {}),
        "grid_spectra": (([level_1_dumps()], RECEIVER, GRIDDING), {}),
        "find_lines": ((spectrum, LINES), {}),
        "make_moments": ((cube, find_lines(spectrum, LINES)), {}),
        "calibrate_noise_diode": ((switched_dumps(),), {}),
        "flag_dumps": ((load_dumps(), RECEIVER), {}),
        "interpolate_pointing": ((load_dumps(),), {}),
        "interpolate_orbit": ((load_dumps(),), {}),
        "solve_loads": (([load_dumps()], RECEIVER, gain), {}),
        "calibrate": (([load_dumps()], loads, RECEIVER, gain), {}),
        "to_main_beam": ((replace(calibrated, flux=calibrated.flux.copy()), RECEIVER), {}),
        "shift_to_lsrk": ((calibrated,), {}),
    }
