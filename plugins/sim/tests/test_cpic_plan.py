"""Plans of coronagraph observations: what they refuse, and what comes out of them."""

from __future__ import annotations

from typing import Any

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from numpy.typing import NDArray

from csst_sim.cpic.direct import CpicSimulation, cpic_session, simulate_cpic
from csst_sim.cpic.plan import parse_plan, read_plan
from csstcore.api import FileError, NotApplicable

OBS_ID = "40100000001"
TIME = "2028-03-01T00:00:00"
STAR = {
    "name": "target",
    "magnitude": 2.0,
    "ra_deg": 86.82,
    "dec_deg": -51.07,
    "planet": [{"separation_mas": 500.0, "position_angle_deg": 40.0, "contrast": 1e-4}],
}
QUIET = dict.fromkeys(
    ("dark", "cic", "serial_cic", "flat", "cosmic_rays", "charge_transfer", "nonlinearity",
     "register_tails", "bias_structure", "blooming"),
    False,
)  # fmt: skip


def values(**changes: Any) -> dict[str, Any]:
    """A plan of one observation; changes are entries of the plan or of the observation."""
    plan: dict[str, Any] = {"name": "test", "kind": "cpic", "readout": "176x136"}
    plan["star"] = changes.pop("stars", [STAR])
    for name in ("raw_contrast", "effects", "instrument_seed", "filter"):
        if name in changes:
            plan[name] = changes.pop(name)
    more = changes.pop("more", [])
    observation = {"obs_id": OBS_ID, "time": TIME, "star": "target", "frames": 2} | changes
    if observation["star"] is None:
        del observation["star"]
    return plan | {"observation": [observation, *more]}


def simulated(seed: int = 1, **changes: Any) -> CpicSimulation:
    return simulate_cpic(parse_plan(values(**changes), "plan"), OBS_ID, seed)


def electrons(run: CpicSimulation) -> NDArray[np.float64]:
    """Mean active area of all frames, electrons before multiplication."""
    rows, columns = run.session.exposer.readout.active
    raw = np.mean([frame.data[rows, columns] for frame in run.frames], axis=0)
    return (raw - run.truth.bias_level) * run.truth.gain / run.truth.em_gain


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"star": "nobody"}, "no star is called 'nobody'; the plan has target"),
        ({"star": None}, "file_type SCIE needs a star"),
        ({"file_type": "DARK"}, "file_type DARK has no star, found 'target'"),
        ({"file_type": "FLAT", "star": None}, "file_type FLAT needs lamp_electron_per_s"),
        ({"lamp_electron_per_s": 3.0}, "file_type SCIE has no lamp"),
        ({"file_type": "BIAS", "star": None}, "BIAS has exposure_time_s 0, found 10"),
        ({"exposure_time_s": 0.0}, "SCIE needs an exposure_time_s above 0"),
        ({"attenuation": 0.5}, "SCIE has no attenuation"),
        ({"effects": {"drak": True}}, "effects.drak: Unexpected keyword argument"),
        ({"more": [{"obs_id": OBS_ID, "time": TIME, "star": "target"}]}, "obs_id occurs twice"),
        ({"obs_id": "10100000001"}, "observation.0.obs_id: String should match pattern"),
        ({"frames": 0}, "observation.0.frames: Input should be greater than or equal to 1"),
        ({"em_gain": 0.5}, "observation.0.em_gain: Input should be greater than or equal to 1"),
        ({"filter": "r"}, "filter: Input should be 'f565', 'f661', 'f743' or 'f883'"),
        ({"time": "tomorrow"}, "observation.0.time"),
        ({"exposure_time_s": float("inf")}, "exposure_time_s: Input should be a finite number"),
    ],
)
def test_a_wrong_plan_is_refused_with_what_is_wrong(changes: Any, message: str) -> None:
    with pytest.raises(FileError, match=r"p\.toml") as error:
        parse_plan(values(**changes), "p.toml")
    assert message in str(error.value)


def test_effects_of_an_observation_must_exist() -> None:
    document = values()
    document["observation"][0]["effects"] = {"moon": True}
    with pytest.raises(FileError, match="observation 40100000001: no effect is called 'moon'"):
        parse_plan(document, "p.toml")


def test_an_empty_plan_and_no_toml_are_refused(tmp_path: Any) -> None:
    with pytest.raises(FileError, match="the plan has none"):
        parse_plan({"name": "none", "kind": "cpic", "observation": []}, "p.toml")
    path = tmp_path / "plan.toml"
    path.write_text("name = ")
    with pytest.raises(FileError, match="not a TOML file"):
        read_plan(path)


def test_an_observation_that_is_not_planned_is_not_applicable() -> None:
    with pytest.raises(NotApplicable, match="no observation 40000000009"):
        cpic_session(parse_plan(values(), "plan"), "40000000009")


@pytest.mark.parametrize("roll", [0.0, 35.0, -110.0])
def test_a_planet_is_where_the_header_and_the_truth_say(roll: float) -> None:
    run = simulated(
        position_angle_deg=roll, effects=QUIET | {"jitter": False}, frames=1, em_gain=1.0
    )
    assert run.planets is not None
    planet = run.planets.table[0]
    star = SkyCoord(86.82 * u.deg, -51.07 * u.deg)
    place = star.directional_offset_by(40 * u.deg, 0.5 * u.arcsec)
    assert run.frames[0].wcs is not None
    x, y = run.frames[0].wcs.world_to_pixel(place)
    rows, columns = run.session.exposer.readout.active
    seen = (float(x) - columns.start + 1, float(y) - rows.start + 1)
    assert seen == pytest.approx((planet["x"], planet["y"]), abs=2e-3)
    stamp = electrons(run)[round(seen[1]) - 7 : round(seen[1]) + 6, round(seen[0]) - 7 :][:, :13]
    weight = np.clip(stamp, 0, None)
    j, i = np.indices(stamp.shape)
    measured = (weight * i).sum() / weight.sum() + round(seen[0]) - 6
    assert measured == pytest.approx(seen[0], abs=0.15)
    measured = (weight * j).sum() / weight.sum() + round(seen[1]) - 6
    assert measured == pytest.approx(seen[1], abs=0.15)


def test_a_star_beside_the_mask_has_its_flux_and_hidden_place() -> None:
    run = simulated(
        stars=[{"name": "target", "magnitude": 0.0}],
        file_type="PSF",
        attenuation=1e-4,
        exposure_time_s=1.0,
        frames=4,
        effects=QUIET,
        instrument_seed=3,
    )
    image = electrons(run)
    rate = 10 ** (0.4 * 23.3)
    assert run.truth.star_rate == pytest.approx(rate)
    assert image.sum() == pytest.approx(rate * 1e-4, rel=0.02)
    table = run.frame_truth.table
    x, y = float(np.mean(table["x"])), float(np.mean(table["y"]))
    assert 0.05 < np.hypot(x - 65, y - 65) < 1.6
    j, i = np.indices(image.shape) + 1
    near = np.where(np.hypot(i - x, j - y) < 12, image, 0)
    assert (near * i).sum() / near.sum() == pytest.approx(x, abs=0.03)
    assert (near * j).sum() / near.sum() == pytest.approx(y, abs=0.03)
    assert np.std(np.asarray(table["x"])) < 0.2
    assert run.planets is None


def test_files_of_one_plan_share_their_camera_and_drift_in_time_order() -> None:
    later = {"obs_id": "40100000002", "time": "2028-03-01T00:00:30", "star": "target", "frames": 2}
    much = later | {"obs_id": "40100000003", "time": "2028-03-02T00:00:00"}
    quiet = QUIET | {"jitter": False}
    lone = [{"name": "target", "magnitude": 2.0}]
    plan = parse_plan(values(stars=lone, more=[much, later], effects=quiet), "plan")
    runs = [simulate_cpic(plan, each.obs_id) for each in plan.observation]
    first, day_after, soon = (run.truth for run in runs)
    np.testing.assert_array_equal(first.flat, soon.flat)
    assert first.em_gain == soon.em_gain
    zone = np.hypot(*(np.indices(first.rate.shape) - 64)) * 0.236
    zone = (zone > 6) & (zone < 12)
    near = np.corrcoef(first.rate[zone], soon.rate[zone])[0, 1]
    far = np.corrcoef(first.rate[zone], day_after.rate[zone])[0, 1]
    assert near > 0.995
    assert 0.6 < far < near - 0.01
    alone = simulated(stars=lone, effects=quiet)
    np.testing.assert_allclose(alone.truth.rate, first.rate, rtol=1e-5)


def test_contrast_of_the_plan_scales_the_speckles() -> None:
    dark, bright = (
        simulated(raw_contrast=contrast, effects=QUIET | {"jitter": False}).truth
        for contrast in (1e-8, 1e-7)
    )
    radius = np.hypot(*(np.indices(dark.rate.shape) - 64)) * 0.236
    zone = (radius > 9) & (radius < 11)
    ratio = (bright.rate - bright.background)[zone] / (dark.rate - dark.background)[zone]
    assert np.median(ratio) == pytest.approx(10, rel=0.02)


@pytest.mark.parametrize(
    ("changes", "level"),
    [
        ({"file_type": "BIAS", "star": None, "exposure_time_s": 0.0}, 0.0),
        ({"file_type": "FLAT", "star": None, "lamp_electron_per_s": 300.0}, 3000.0),
        ({"file_type": "LINEARITY", "star": None, "lamp_electron_per_s": 100.0}, 1000.0),
        (
            {"file_type": "EMGAIN", "star": None, "lamp_electron_per_s": 1.0, "em_gain": 200.0},
            10.0,
        ),
        ({"file_type": "CTI", "star": None, "lamp_electron_per_s": 500.0}, 5000.0),
        ({"file_type": "CIC", "star": None, "exposure_time_s": 0.0, "em_gain": 500.0}, 0.0),
        ({"file_type": "DARK", "star": None, "exposure_time_s": 100.0, "em_gain": 500.0}, 0.0),
    ],
)
def test_every_kind_of_calibration_can_be_planned(changes: Any, level: float) -> None:
    run = simulated(effects=QUIET, **changes)
    assert electrons(run).mean() == pytest.approx(level, rel=0.01, abs=0.3)
    meta = run.frames[1].meta
    assert (meta.frame, meta.file_type) == (1, changes["file_type"])
    assert run.frames[0].wcs is None
    assert run.planets is None


def test_edges_of_a_lit_frame_leave_charge_in_the_overscan() -> None:
    run = simulated(
        star=None,
        file_type="CTI",
        lamp_electron_per_s=3000.0,
        frames=60,
        effects=QUIET | {"charge_transfer": True},
    )
    raw = np.mean([frame.data for frame in run.frames], axis=0)
    raw = (raw - run.truth.bias_level) * run.truth.gain
    rows, columns = run.session.exposer.readout.active
    behind = raw[rows, columns.stop :].mean(axis=0)
    left = 30000 * run.truth.cti_horizontal * columns.stop
    stay = np.exp(-1 / run.truth.cti_horizontal_pixel)
    assert behind[:4] == pytest.approx(left * stay ** np.arange(4), abs=1.5)
    above = raw[rows.stop :, columns].mean(axis=1)
    left = 30000 * run.truth.cti_vertical * rows.stop
    stay = np.exp(-1 / run.truth.cti_vertical_pixel)
    assert above[:4] == pytest.approx(left * stay ** np.arange(4), abs=2.0)
