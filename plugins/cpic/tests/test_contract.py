"""The contract that every plugin keeps."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from typing import Any

import astropy.units as u
import numpy as np
from astropy.table import QTable

from csst_cpic.dark_zone import DarkZone
from csst_cpic.detector import Detector
from csst_cpic.stages.bias_level import subtract_bias_level
from csst_cpic.stages.quality import measure_frame
from csst_cpic.star.reduction import Reduction
from csstcore.api import Cube, Image, Mask, Meta, Table, replace
from csstcore.testing.contract import *  # noqa: F403

PLUGIN = "cpic"

_TOML = files("csst_cpic") / "references/detector_176x136.toml"
DETECTOR = Detector(**tomllib.loads(_TOML.read_text()))
ZONE = DarkZone(2.0, 0.0, 10.0, 0.016, {"f661": 661.0})
META = Meta(em_gain=100.0 * u.one, exposure_time=10.0 * u.s, pixel_scale=0.02 * u.arcsec)


def raw() -> Image:
    """A raw frame of read noise."""
    noise = np.random.default_rng(1).normal(30.0, 5.0, DETECTOR.raw_shape)
    return Image(noise.astype(np.uint16), u.adu, meta=META)


def image(unit: u.UnitBase = u.electron) -> Image:
    """A small image with variance and flags."""
    planes = np.ones((8, 8), np.float32), np.zeros((8, 8), np.uint16)
    return Image(planes[0], unit, planes[0].copy(), planes[1], meta=META)


def detector_chain() -> dict[str, Any]:
    """A call of every stage from raw frames to Level 1."""
    rate = image(u.electron / u.s)
    gains = Table(QTable({"commanded_em_gain": [10.0, 1000.0], "em_gain": [10.2, 1020.0]}))
    curve = QTable({"em_gain": [100.0] * 2, "counts": [1.0, 9.0] * u.adu})
    curve["relative_gain"] = [1.0, 1.1]
    level, quality = (
        subtract_bias_level(raw(), DETECTOR)[1],
        measure_frame(image(), ZONE, rate, rate),
    )
    hits = [Mask(np.zeros((8, 8), np.bool_))] * 3
    return {
        "check_series": (([raw(), raw(), raw()], DETECTOR), {}),
        "flag_saturation": ((raw(), DETECTOR), {"full_fraction": 0.9}),
        "flag_blooming": ((image(),), {}),
        "subtract_bias_level": ((raw(), DETECTOR), {}),
        "correct_nonlinearity": ((image(u.adu), Table(curve)), {}),
        "to_electrons": ((image(u.adu), DETECTOR, gains), {}),
        "flag_bad_pixels": ((image(), image()), {}),
        "flag_cosmic_rays": (([image(), image(), image()], DETECTOR), {}),
        "set_flags": ((image(), hits[0]), {}),
        "count_photons": (([image()] * 3, DETECTOR), {"least_gain_over_noise": 1.0}),
        "average_frames": (([image(), image(), image()], hits), {}),
        "measure_noise": (([image(), image()], DETECTOR), {}),
        "estimate_variance": ((image(), image(), DETECTOR), {}),
        "subtract_dark_and_cic": ((image(), rate, image()), {}),
        "subtract_background": ((image(), rate), {}),
        "calibrate_rate": ((image(), rate, image(), image(), DETECTOR, None, rate), {}),
        "measure_frame": ((image(), ZONE, rate, image()), {}),
        "compare_frames": (([image(), image()], [level, level], [quality, quality]), {}),
        "average_error": (([image(), image()],), {}),
    }


def lit(electron: float, seconds: float, seed: int, raw_format: bool = True) -> Image:
    """A frame of evenly lit pixels at EM gain 1, with trails in the overscan."""
    shape = DETECTOR.raw_shape if raw_format else DETECTOR.shape
    adu = np.random.default_rng(seed).normal(30.0 if raw_format else 0.0, 5.0, shape)
    rows, columns = DETECTOR.active if raw_format else (slice(None), slice(None))
    adu[rows, columns] += electron / 8
    if raw_format:
        adu[rows.stop, columns] += 0.005 * electron / 8
        adu[rows, columns.stop] += 0.005 * electron / 8
    meta = Meta(em_gain=1.0 * u.one, exposure_time=seconds * u.s)
    return Image(adu.astype(np.uint16 if raw_format else np.float32), u.adu, meta=meta)


def multiplied(electron: float, seconds: float, seed: int) -> Image:
    """A frame of few electrons at EM gain 1000, in electrons before multiplication."""
    rng = np.random.default_rng(seed)
    data = rng.standard_gamma(np.maximum(rng.poisson(electron, DETECTOR.shape), 1e-9))
    data += rng.normal(0.0, 0.04, DETECTOR.shape)
    meta = Meta(em_gain=1000.0 * u.one, exposure_time=seconds * u.s)
    return Image(data.astype(np.float32), u.electron, meta=meta)


def calibration() -> dict[str, Any]:
    """A call of every stage that makes or applies a reference of its own."""
    cti = QTable({f"{way}_inefficiency": [2e-5] for way in ("vertical", "horizontal")})
    for way in ("vertical", "horizontal"):
        cti[f"{way}_release"] = [1.5] * u.pixel
    lamp = [lit(15_000.0, 5.0, seed) for seed in range(4)]
    biases = [lit(0.0, 0.0, seed) for seed in range(4, 8)]
    ramp = [lit(8000.0 * t, t, 9, raw_format=False) for t in (1.0, 2.0, 3.0, 4.0)]
    active = lit(100.0, 1.0, 1, raw_format=False)
    rate = replace(active, unit=u.electron / u.s, variance=np.ones_like(active.data))
    darks = [multiplied(2e-3 * t, t, seed) for t in (1.0, 50.0) for seed in range(4)]
    faint = [multiplied(0.5 * t, t, seed) for t in (1.0, 20.0) for seed in range(3)]
    faint = [replace(each, data=each.data * np.float32(1000 / 8), unit=u.adu) for each in faint]
    return {
        "check_set": ((biases,), {}),
        "measure_em_gain": ((faint, DETECTOR), {}),
        "fit_dark_and_cic": ((darks, DETECTOR), {}),
        "find_hot_pixels": ((rate, DETECTOR), {}),
        "correct_cte": ((active, DETECTOR, Table(cti)), {}),
        "measure_cti": ((lamp, biases, DETECTOR), {}),
        "measure_linearity": ((ramp, DETECTOR), {}),
    }


def subtraction() -> dict[str, Any]:
    """A call of every stage from frames of a star to what is left without it."""
    y, x = np.mgrid[:41, :41] - 20
    halo = (1e4 / (1 + (x**2 + y**2) / 20.0)).astype(np.float32)
    noise = np.random.default_rng(3).normal(0.0, 5.0, (6, 41, 41)).astype(np.float32)
    metas = [replace(META, obs_id="1", frame=k, position_angle=20.0 * k * u.deg) for k in range(6)]
    frames = [Image(halo + noise[k], u.electron, halo, meta=metas[k]) for k in range(6)]
    centres = QTable({"obs_id": ["1"] * 6, "frame": np.arange(6)})
    centres["x"] = centres["y"] = np.full(6, 21.0) * u.pix
    table = QTable({"position_angle": 20.0 * np.arange(6) * u.deg, "weight": np.ones(6)})
    cube = Cube(halo + noise, u.electron, np.repeat(halo[np.newaxis], 6, axis=0), meta=META)
    radii = {"inner_radius_pixel": 4.0, "outer_radius_pixel": 18.0, "annulus_width_pixel": 7.0}
    row = Reduction(fwhm_pixel=3.3, pixel_scale_arcsec=0.02, **radii).to_table()
    settings = radii | {"fwhm_pixel": 3.3}
    return {
        "fit_star_centres": ((frames,), {"fwhm_pixel": 3.3}),
        "select_frames": ((frames, Table(centres)), {"outer_radius_pixel": 15.0}),
        "register_frames": ((frames, Table(centres)), {"size_pixel": 31}),
        "coadd": ((cube, Table(table)), {}),
        "subtract_psf": ((cube, Table(table)), settings),
        "signal_to_noise": ((Image(noise[0]), Table(row)), {}),
    }


def companions() -> dict[str, Any]:
    """A call of every stage that tells about planets."""
    angles = np.linspace(0.0, 90.0, 12)
    y, x = np.mgrid[:41, :41] - 20
    star = Image((1e4 * np.exp(-(x**2 + y**2) / 4.0)).astype(np.float32), u.electron, meta=META)
    data = np.random.default_rng(2).normal(0.0, 1.0, (12, 41, 41)).astype(np.float32)
    settings = {"inner_radius_pixel": 4.0, "outer_radius_pixel": 18.0, "annulus_width_pixel": 5.0}
    reduction = Reduction(fwhm_pixel=3.3, pixel_scale_arcsec=0.02, components=3, **settings)
    place = QTable({"separation": [220.0] * u.mas, "position_angle": [40.0] * u.deg})
    frames = QTable({"position_angle": angles * u.deg, "exposure_time": np.full(12, 10.0) * u.s})
    cube = Cube(data, u.electron, meta=META)
    call = cube, Table(frames), Table(reduction.to_table()), star, Table(place)
    plane, oriented = Image(data[0]), replace(META, position_angle=3.0 * u.deg)
    return {
        "orient_frames": (([replace(plane, meta=oriented)],), {"plate_scale_mas": 20.0}),
        "measure_star": (([star],), {"size_pixel": 21}),
        "find_companions": ((plane, *call[:3]), {}),
        "fit_companions": (call, {}),
        "contrast_curve": (call[:4], {"step_fwhm": 2.0}),
        "join_residual": ((plane, plane, call[2], call[4]), {}),
    }


def examples() -> dict[str, Any]:
    """A call of every stage."""
    return subtraction() | companions() | detector_chain() | calibration()
