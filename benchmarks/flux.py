"""Zero points of all seven filters against the simulated truth.

    python benchmarks/flux.py                    # stars of whole detectors, without pixels
    python benchmarks/flux.py --frames           # small frames: pixels, detection, photometry
    python benchmarks/flux.py --full-frame       # two full frames

Colour terms are measured as a survey would: from standard fields, of other seeds than the
exposures they are used for, taken through nominal optics, whose zero point is the nominal one
by definition. Exposures have optics of another throughput (0.92 to 1) and more reddening. The
pipeline sees neither these nor the simulator's relations of filters to Gaia's photometry.
"""

from __future__ import annotations

import argparse
import time
import tomllib
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
from astropy.table import QTable, vstack
from astropy.time import Time
from pydantic import TypeAdapter
from scipy.spatial import cKDTree

import csst_msc
from csst_imaging.flux.passbands import Passbands
from csst_imaging.stages.background import estimate_background
from csst_imaging.stages.colour_terms import measure_colour_terms
from csst_imaging.stages.detection import detect_sources
from csst_imaging.stages.flux import calibrate_flux
from csst_imaging.stages.photometry import measure_photometry
from csst_imaging.stages.position import solve_position
from csst_sim.direct import shipped, shot_of
from csst_sim.focal_plane import footprint
from csst_sim.gaia import observe_stars
from csst_sim.plan import SkySettings, parse_plan
from csst_sim.settings import Filter, Optics
from csst_sim.sky import draw_stars, magnitudes, move_to_epoch
from csst_sim.stages.light import add_sky, expose
from csst_sim.stages.scene import draw_scene
from csstcore.api import Image, Meta, Table, UnprocessableData, replace
from csstcore.notes import collecting

DETECTOR = {"NUV": 12, "u": 14, "g": 8, "r": 9, "i": 7, "z": 11, "y": 6}
SECONDS, READ_NOISE, PIXEL_ARCSEC, FULL_WELL = 150.0, 5.0, 0.074, 90000.0
PEAK = 0.16
"""Light of a star in its brightest pixel."""
EPOCH = Time("2028-01-01T00:00:00")
STANDARD_FIELDS, EXPOSURES = 8, 20
STANDARD_REDDENING, REDDENING = 0.05, 0.10
OBS_ID = "10100000001"
SMALL, FULL = "920x608", "9560x9264"
SKIES: dict[str, dict[str, Any]] = {
    FULL: {},
    SMALL: {
        "stars_per_arcmin2": 130.0,
        "star_g_mag": [15.5, 19.5],
        "star_slope": 0.1,
        "galaxies_per_arcmin2": 40.0,
    },
}
RADIUS_DEG = 9216 * PIXEL_ARCSEC / 3600 / np.sqrt(np.pi)
"""Of a circle as large as a detector."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", action="store_true")
    parser.add_argument("--full-frame", action="store_true")
    arguments = parser.parse_args()
    if arguments.full_frame:
        full_frame()
    elif arguments.frames:
        small_frames()
    else:
        whole_detectors()


def passbands() -> Passbands:
    path = Path(csst_msc.__file__).parent / "references" / "passbands" / "msc.toml"
    return TypeAdapter(Passbands).validate_python(tomllib.loads(path.read_text()))


def band_of(name: str) -> Filter:
    return shipped("msc_optics.toml", Optics).filter[name]


# --- stars of whole detectors ---------------------------------------------------------------


def star_field(
    name: str, seed: int, throughput: float, reddening: float
) -> tuple[Image, Table, Table]:
    """A catalogue of stars with the photon noise of an exposure, and Gaia's list of them."""
    rng = np.random.default_rng([seed, DETECTOR[name]])
    band = band_of(name)
    sky = SkySettings(seed=seed, star_reddening=reddening)
    stars = draw_stars(150.0, 20.0, RADIUS_DEG, sky)
    stars = stars[stars["g_mag"] < 22.0 * u.mag]
    mag = magnitudes(stars, EPOCH.jyear, band)
    rate = throughput * 10.0 ** (0.4 * (band.zero_point - mag))
    pixel = (band.sky_electron_per_s * throughput + 0.02) * SECONDS + READ_NOISE**2
    noise = np.sqrt(rate * SECONDS + np.pi * 4.0**2 * pixel) / SECONDS
    flux = rate + noise * rng.standard_normal(len(stars))
    seen = flux > 5.0 * noise
    ra, dec = move_to_epoch(stars, EPOCH.jyear)
    table = QTable()
    table["ra"], table["dec"] = ra[seen] * u.deg, dec[seen] * u.deg
    table["flux_total"] = flux[seen] * u.electron / u.s
    table["flux_total_error"] = noise[seen] * u.electron / u.s
    saturated = rate[seen] * SECONDS * PEAK > FULL_WELL
    table["flags"] = np.where(saturated, 4, 0).astype(np.int32)
    table["flags_isophotal"] = np.zeros(len(table), np.int32)
    table["fwhm"] = np.full(len(table), 2.2) * u.pixel
    table["sky"] = np.full(len(table), band.sky_electron_per_s * throughput) * u.electron / u.s
    meta = Meta(instrument="MSC", filter=name, time=EPOCH, exposure_time=SECONDS * u.s)
    image = Image(
        np.zeros((8, 8), np.float32),
        unit=u.electron / u.s,
        variance=np.full((8, 8), pixel / SECONDS**2, np.float32),
        meta=meta,
    )
    return image, Table(table, meta=meta), Table(observe_stars(stars, rng))


def whole_detectors() -> None:
    known = passbands()
    print(
        "filter  terms: stars, error; exposures: stars, rms and mean of ZP - truth, pull, CPU time"
    )
    for name in DETECTOR:
        fields = [
            star_field(name, seed, 1.0, STANDARD_REDDENING) for seed in range(STANDARD_FIELDS)
        ]
        terms = terms_of(fields, known)
        wrong, pulls, used, seconds = [], [], [], 0.0
        for seed in range(EXPOSURES):
            throughput = float(np.random.default_rng(seed).uniform(0.92, 1.0))
            field = star_field(name, 1000 + seed, throughput, REDDENING)
            start = time.process_time()
            notes = calibrate(*field, terms, known)
            seconds += time.process_time() - start
            truth = band_of(name).zero_point + 2.5 * np.log10(throughput)
            wrong.append(notes["zero_point"] - truth)
            pulls.append(wrong[-1] / notes["zero_point_error"])
            used.append(notes["zero_point_stars"])
        off = np.array(wrong)
        error = float(np.sqrt(terms.table["covariance"][0, 0]))
        print(
            f"{name:4}  {int(terms.table['stars'][0]):6d}  {error:.4f}   {np.median(used):6.0f}  "
            f"{np.sqrt(np.mean(off**2)):.4f}  {off.mean():+.4f}  {np.std(pulls):.2f}  "
            f"{np.count_nonzero(np.abs(off) > 0.005):2d} of {EXPOSURES}  "
            f"{1000 * seconds / EXPOSURES:.0f} ms"
        )


def terms_of(fields: list[tuple[Image, Table, Table]], known: Passbands) -> Table:
    # every field lies in the same place of its own sky
    for number, (_, catalog, listed) in enumerate(fields):
        for table in (catalog.table, listed.table):
            table["ra"] = (table["ra"] + number * u.deg) % (360 * u.deg)
    stars = Table(vstack([field[2].table for field in fields], metadata_conflicts="silent"))
    return measure_colour_terms([field[1] for field in fields], stars, known)


def calibrate(
    image: Image, catalog: Table, stars: Table, terms: Table, known: Passbands
) -> dict[str, Any]:
    with collecting() as notes:
        calibrate_flux(image, catalog, stars, terms, known)
    return dict(notes.metrics)


# --- frames ---------------------------------------------------------------------------------


def frame(
    name: str, seed: int, throughput: float, size: str
) -> tuple[Image, Table, Table, QTable, Filter]:
    """An image with sky, photon and read noise, its catalogue, Gaia's stars and the truth."""
    off = ("dark", "hot_pixels", "dead_pixels", "prnu", "illumination", "shutter")
    exposure = {"obs_id": OBS_ID, "time": f"{EPOCH.isot}Z", "ra_deg": 150.0 + seed % 100}
    plan = parse_plan(
        {
            "name": "flux",
            "kind": "imaging",
            "readout": size,
            "detectors": [DETECTOR[name]],
            "instrument_seed": 1,
            "effects": dict.fromkeys(off, False),
            "sky": {"seed": seed, **SKIES[size]},
            "exposure": [{**exposure, "dec_deg": 2.0, "throughput": throughput}],
        },
        "plan",
    )
    shot = shot_of(plan, OBS_ID, DETECTOR[name])
    rng = np.random.default_rng([seed, DETECTOR[name]])
    scene, truth = draw_scene(shot)
    electrons = expose(add_sky(scene, shot), shot, rng=rng)
    light = np.minimum(electrons.data, np.float32(FULL_WELL))
    flags = np.where(electrons.data > FULL_WELL, 8, 0).astype(np.uint16)
    noise = READ_NOISE * rng.standard_normal(light.shape, dtype=np.float32)
    image = replace(
        electrons,
        data=(light + noise) / np.float32(SECONDS),
        variance=(light + np.float32(READ_NOISE**2)) / np.float32(SECONDS**2),
        flags=flags,
        unit=u.electron / u.s,
    )
    del electrons, light, noise
    cone = footprint(shot.exposure, DETECTOR[name], shot.optics, shot.readout)
    stars = Table(observe_stars(draw_stars(*cone, shot.sky), rng))
    background = estimate_background(image)
    sources = detect_sources(image, background)
    wcs = solve_position(image, sources, stars)
    catalog = measure_photometry(image, sources, background, wcs)
    return replace(image, wcs=wcs.wcs), catalog, stars, truth.table, band_of(name)


def small_frames() -> None:
    known = passbands()
    print("filter, stars of terms; by frame: ZP - truth (error); depth - truth; magnitudes - truth")
    for name in ("u", "g", "y"):
        standards = [frame(name, seed, 1.0, SMALL)[:3] for seed in range(10, 20)]
        stars = Table(vstack([each[2].table for each in standards], metadata_conflicts="silent"))
        terms = measure_colour_terms([each[1] for each in standards], stars, known)
        shown = [compare(*frame(name, seed, 0.95, SMALL), 0.95, terms) for seed in range(20, 24)]
        print(f"{name:4} {int(terms.table['stars'][0]):6d}   " + "   ".join(shown))


def full_frame() -> None:
    known = passbands()
    standard = frame("g", 1, 1.0, FULL)[1:3]
    terms = measure_colour_terms([standard[0]], standard[1], known)
    del standard
    print(compare(*frame("g", 2, 0.95, FULL), 0.95, terms))


def compare(
    image: Image,
    catalog: Table,
    stars: Table,
    truth: QTable,
    band: Filter,
    throughput: float,
    terms: Table,
) -> str:
    try:
        with collecting() as notes:
            done = calibrate_flux(image, catalog, stars, terms, passbands()).table
    except UnprocessableData as why:
        return f"none ({why})"
    found = notes.metrics
    off = float(found["zero_point"]) - band.zero_point - 2.5 * np.log10(throughput)
    order = np.argsort(truth["signal_to_noise"])
    mag = truth["mag"].to_value(u.mag)
    true_depth = np.interp(5.0, truth["signal_to_noise"][order], mag[order])
    tree = cKDTree(np.stack([done["x"].value, done["y"].value], axis=-1))
    distance, index = tree.query(np.stack([truth["x"].value, truth["y"].value], axis=-1))
    star = (truth["type"] == "star") & ~truth["saturated"]
    good = star & (truth["signal_to_noise"] > 50) & (distance < 1.0)
    good &= np.asarray(done["flags"])[index] == 0
    difference = np.nanmedian(done["mag_total"].value[index][good] - mag[good])
    text = (
        f"{off:+.4f} ({found['zero_point_error']:.4f}, {found['zero_point_stars']} stars); "
        f"{float(found['limiting_magnitude']) - true_depth:+.2f}; {difference:+.4f}"
    )
    depth = float(found["limiting_magnitude"])
    near = star & (np.abs(mag - depth) < 0.25)
    if np.count_nonzero(near) > 50:
        seen = np.mean(distance[near] < 1.0)
        ratio = (done["flux_total"] / done["flux_total_error"]).value[index[near & (distance < 1)]]
        text += f"; at {depth:.2f}: {seen:.3f} detected, S/N {np.nanmedian(ratio):.2f}"
    return text


if __name__ == "__main__":
    main()
