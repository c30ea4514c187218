"""Ghosts and scattered light as the simulator draws them, against what the model flags.

The places and brightness of the simulator's ghosts are its own; the shipped model is off by
some pixels and some ten percent.
"""

from __future__ import annotations

import tomllib
from dataclasses import fields
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import TypeAdapter

import csst_msc.plugin
from csst_imaging.stages.bright_stars import flag_bright_stars
from csst_imaging.stray_light import StrayLight
from csst_sim.direct import Simulation, simulate
from csst_sim.effects.stray_light import add_disc, add_halo
from csst_sim.focal_plane import footprint
from csst_sim.gaia import observe_stars
from csst_sim.plan import Effects, Plan, parse_plan
from csst_sim.sky import draw_stars
from csstcore.api import Image, NotApplicable, Table, Wcs, replace
from csstcore.notes import collecting

OBS_ID = "10100000001"
NOISE = 0.055
"""Electron / s in a pixel of the sky of 150 s."""
MODEL = Path(csst_msc.plugin.__file__).parent / "references" / "stray_light" / "msc.toml"


def plan(seed: int) -> Plan:
    """One exposure of a field with some very bright stars."""
    on = ("stars", "sky", "ghosts", "scattered_light")
    exposure = {"obs_id": OBS_ID, "time": "2028-01-01T00:00:00Z", "ra_deg": 180.0, "dec_deg": 30.0}
    return parse_plan(
        {
            "name": "bright",
            "kind": "imaging",
            "readout": "920x608",
            "detectors": [8],
            "instrument_seed": seed,
            "sky": {"seed": seed, "stars_per_arcmin2": 2.0, "star_g_mag": [6.0, 14.0]},
            "effects": {entry.name: entry.name in on for entry in fields(Effects)},
            "exposure": [exposure],
        },
        "plan",
    )


def reference_stars(frame: Simulation, seed: int) -> Table:
    shot = frame.shot
    ra, dec, radius = footprint(shot.exposure, 8, shot.optics, shot.readout)
    stars = draw_stars(ra, dec, radius + 0.03, shot.sky)
    return Table(observe_stars(stars, np.random.default_rng(seed)))


def light(frame: Simulation, kind: str) -> NDArray[np.float32]:
    """The true ghosts or haloes in electron / s."""
    plane = np.zeros((frame.shot.readout.rows, frame.shot.readout.columns), np.float32)
    assert frame.stray_light is not None
    for row in frame.stray_light.table:
        x, y = row["x"].value - 1, row["y"].value - 1
        radius, level = row["radius"].value, row["brightness"].value
        if row["kind"] == kind == "ghost":
            add_disc(plane, x, y, radius, row["inner_radius"].value, level)
        elif row["kind"] == kind:
            add_halo(plane, x, y, radius, float(row["exponent"]), level)
    return plane


def level_1(frame: Simulation) -> Image:
    shape = frame.shot.readout.rows, frame.shot.readout.columns
    variance = np.full(shape, NOISE**2, np.float32)
    data = np.zeros(shape, np.float32)
    return Image(data, u.electron / u.s, variance, meta=frame.shot.meta)


def wcs(frame: Simulation) -> Wcs:
    return Wcs(frame.shot.placement.nominal)


def near_stars(frame: Simulation, radius: float) -> NDArray[np.bool_]:
    """Where stars themselves are, not their haloes."""
    row, column = np.mgrid[: frame.shot.readout.rows, : frame.shot.readout.columns]
    near = np.zeros(row.shape, np.bool_)
    assert frame.stray_light is not None
    for star in frame.stray_light.table[frame.stray_light.table["kind"] == "halo"]:
        near |= np.hypot(column + 1 - star["x"].value, row + 1 - star["y"].value) < radius
    return near


@pytest.fixture(scope="module")
def model() -> StrayLight:
    return TypeAdapter(StrayLight).validate_python(tomllib.loads(MODEL.read_text()))


def test_ghosts_and_haloes_above_the_noise_are_flagged_and_little_else(model: StrayLight) -> None:
    hit: dict[str, list[float]] = {"ghost": [], "halo": []}
    right: dict[str, list[float]] = {"ghost": [], "halo": []}
    for seed in range(1, 5):
        frame = simulate(plan(seed), OBS_ID, 8)
        image = level_1(frame)
        with collecting() as notes:
            flagged, filled = flag_bright_stars(
                image, image, wcs(frame), reference_stars(frame, seed), model, limit_sigma=0.5
            )
        assert filled.flags is flagged.flags
        assert image.flags is None
        for kind, flag in (("ghost", "ghost"), ("halo", "scattered_light")):
            truth, found = light(frame, kind), flagged.flagged(flag)
            assert notes.metrics[f"{flag}_pixels"] == np.count_nonzero(found)
            seen = truth > NOISE
            if kind == "halo":
                seen &= ~near_stars(frame, model.halo.inner_pixel + 1.0)
            hit[kind] += list(found[seen])
            right[kind] += list(truth[found] > 0.1 * NOISE)
    for kind in ("ghost", "halo"):
        recall, precision = np.mean(hit[kind]), np.mean(right[kind])
        print(f"{kind}: recall {recall:.4f} of {len(hit[kind])}, precision {precision:.4f}")
        assert len(hit[kind]) > 5000
        assert recall > 0.94
        assert precision > 0.8


def test_faint_stars_flag_nothing_and_unknown_filters_are_skipped(model: StrayLight) -> None:
    frame = simulate(plan(1), OBS_ID, 8)
    image, stars = level_1(frame), reference_stars(frame, 1)
    stars.table["g_mag"] += 10.0 * u.mag
    flagged, _ = flag_bright_stars(image, image, wcs(frame), stars, model)
    assert not flagged.flagged().any()
    other = replace(image, meta=replace(image.meta, filter="H-alpha"))
    with pytest.raises(NotApplicable, match="not for filter H-alpha"):
        flag_bright_stars(other, other, wcs(frame), stars, model)
    stars.table["g_mag"] = np.nan * u.mag
    with pytest.raises(NotApplicable, match=r"none of the .* reference stars has a magnitude"):
        flag_bright_stars(image, image, wcs(frame), stars, model)


def test_a_star_itself_is_never_flagged_for_its_halo(model: StrayLight) -> None:
    frame = simulate(plan(1), OBS_ID, 8)
    image, stars = level_1(frame), reference_stars(frame, 1)
    middle = frame.shot.placement.nominal.wcs_pix2world([[400.5, 300.5]], 1)[0]
    one = Table(stars.table[:1])
    one.table["ra"], one.table["dec"] = [middle[0]] * u.deg, [middle[1]] * u.deg
    one.table["pmra"] = one.table["pmdec"] = [0.0] * u.mas / u.yr
    flagged = []
    for magnitude in (18.0, 16.0, 8.0):
        one.table["g_mag"] = [magnitude] * u.mag
        image_found, _ = flag_bright_stars(image, image, wcs(frame), one, model)
        found = image_found.flagged("scattered_light")
        assert not found[290:310, 390:410].any()
        flagged.append(int(found.sum()))
    assert flagged[0] == 0
    assert flagged[2] > 5000
