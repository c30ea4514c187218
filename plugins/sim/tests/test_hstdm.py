"""Simulated terahertz observations: geometry, receiver and noise against formulas."""

from __future__ import annotations

from typing import Any

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import GCRS, LSRK, CartesianDifferential, CartesianRepresentation, SkyCoord
from astropy.time import Time

from csst_sim.hstdm.direct import HstdmSimulation, hstdm_session, simulate_hstdm
from csst_sim.hstdm.orbit import EARTH_KM
from csst_sim.hstdm.plan import parse_plan, read_plan
from csst_sim.hstdm.receiver import radiation_kelvin
from csst_sim.hstdm.sky_map import record_sky_map
from csstcore.api import FileError, NotApplicable

OBS_ID = "50000000001"
QUIET = dict.fromkeys(
    ("noise", "gain_drift", "standing_waves", "thermal_coupling", "cosmic_rays", "digitisation"),
    False,
)
LINE = {"peak_kelvin": 5.0, "fwhm_kms": 4.0, "size_arcsec": 100.0}


def simulated(seed: int = 1, **changes: Any) -> HstdmSimulation:
    return simulate_hstdm(parse_plan(plan_values(**changes), "plan"), OBS_ID, seed)


def plan_values(**changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {"name": "test", "kind": "hstdm", "channels": 256}
    values["source"] = changes.pop("source", [LINE])
    for name in ("channels", "channel_width_hz", "effects", "sideband", "line_ghz"):
        if name in changes:
            values[name] = changes.pop(name)
    observation = {"obs_id": OBS_ID, "time": "2028-03-01T00:00:00", "cycles": 2}
    return values | {"observation": [observation | changes]}


def mean(run: HstdmSimulation, state: str) -> np.ndarray:
    return np.mean(run.dumps.flux[run.dumps.rows["state"] == state], axis=0, dtype=float)


def test_velocities_are_those_of_astropy_all_around_the_orbit() -> None:
    run = simulated(effects=QUIET, cycles=30, load_interval_s=1000.0, gap_s=80.0)
    session = run.session
    duration_s = session.schedule.seconds[-1] - session.schedule.seconds[0]
    assert duration_s > 92 * 60 / 2
    every = slice(None, None, 40)
    time = Time(session.mjd[every], format="mjd", scale="utc")
    motion = CartesianDifferential(session.track.velocity_kms[every].T * u.km / u.s)
    place = CartesianRepresentation(session.track.position_km[every].T * u.km)
    here = GCRS(place.with_differentials(motion), obstime=time).transform_to(LSRK())
    target = SkyCoord(session.ra_deg[every] * u.deg, session.dec_deg[every] * u.deg)
    velocity = here.velocity.d_xyz.to_value(u.km / u.s)
    expected = np.sum(velocity * target.cartesian.xyz.value, axis=0)
    assert np.ptp(expected) > 5
    # a channel is 0.0446 km/s
    assert session.approach_kms[every] == pytest.approx(expected, abs=0.001)


def test_the_orbit_is_low_inclined_and_dark_for_a_third() -> None:
    run = hstdm_session(parse_plan(plan_values(cycles=60, gap_s=85.0), "plan"), OBS_ID)
    distance = np.linalg.norm(run.track.position_km, axis=1)
    assert distance == pytest.approx(EARTH_KM + 393.0)
    speed = np.linalg.norm(run.track.velocity_kms, axis=1)
    assert speed == pytest.approx(np.sqrt(398600.4418 / distance))
    normal = np.cross(run.track.position_km, run.track.velocity_kms)
    tilt = np.degrees(np.arccos(normal[:, 2] / np.linalg.norm(normal, axis=1)))
    assert tilt == pytest.approx(42.0, abs=1e-6)
    assert 0.55 < run.track.sunlit.mean() < 0.8


def test_two_loads_give_the_true_gain_and_receiver_temperature() -> None:
    run = simulated(effects=QUIET)
    receiver = run.session.receiver
    frequency = run.session.signal_hz, run.session.image_hz
    share = receiver.signal_gain, 1 - receiver.signal_gain
    hot, cold = (
        sum(g * radiation_kelvin(t, f) for g, f in zip(share, frequency, strict=True))
        for t in (receiver.hot_kelvin, receiver.cold_kelvin)
    )
    c_hot, c_cold = mean(run, "HOT"), mean(run, "COLD")
    eta = receiver.hot_coupling + receiver.cold_coupling - 1
    gain = (c_hot - c_cold) / (eta * (hot - cold))
    assert gain == pytest.approx(receiver.gain, rel=1e-5)
    seen = receiver.hot_coupling * hot + (1 - receiver.hot_coupling) * cold
    assert c_hot / gain - seen == pytest.approx(receiver.t_rec_kelvin, abs=0.01)


def test_on_minus_off_is_the_diluted_line_of_the_signal_sideband() -> None:
    run = simulated(effects=QUIET, channel_width_hz=3e5)
    settings, receiver = run.session.settings, run.session.receiver
    kelvin = (mean(run, "ON") - mean(run, "OFF")) / receiver.gain
    brightness = kelvin / (receiver.signal_gain * settings.main_beam_efficiency)
    beam = 1.2 * 299792.458e3 / 492.1607e9 / 2.0 * 206264.8
    peak = 5.0 * 100.0**2 / (100.0**2 + beam**2)
    assert brightness.max() == pytest.approx(peak, rel=0.01)
    sky = run.sky_truth
    assert brightness == pytest.approx(sky.flux[0], abs=0.03 * peak)
    area = np.sum(sky.flux[0]) * 3e5 / 492.1607e9 * 299792.458  # K km/s
    assert area == pytest.approx(peak * 4.0 * 1.0645, rel=0.01)


@pytest.mark.parametrize("sideband", ["USB", "LSB"])
def test_the_line_lies_in_the_middle_of_the_band(sideband: str) -> None:
    run = simulated(effects=QUIET, sideband=sideband)
    kelvin = (mean(run, "ON") - mean(run, "OFF")) / run.session.receiver.gain
    channels = np.arange(256)
    assert np.sum(channels * kelvin) / np.sum(kelvin) == pytest.approx(127.5, abs=1.0)
    step = np.diff(run.dumps.axis.value)
    assert np.all(step > 0) == (sideband == "USB")


def test_noise_is_that_of_the_radiometer_equation() -> None:
    run = simulated(
        effects=QUIET | {"noise": True}, channels=1024, off_dumps=40, dump_s=2.0, source=[]
    )
    off = run.dumps.flux[run.dumps.rows["state"] == "OFF"].astype(float)
    relative = off.std(axis=0, ddof=1) / off.mean(axis=0)
    assert np.sqrt(np.mean(relative**2)) == pytest.approx(1 / np.sqrt(73242.1875 * 2), rel=0.01)


def test_the_gain_drifts_with_the_memory_and_size_of_the_settings() -> None:
    settings = {"cycles": 100, "on_dumps": 20, "off_dumps": 20, "dump_s": 5.0, "channels": 16}
    run = simulated(effects=QUIET | {"gain_drift": True}, **settings)
    gain = run.dump_truth.table["gain"] - 1
    seconds = run.session.schedule.seconds
    assert gain.std() == pytest.approx(1e-3, rel=0.2)
    at = np.arange(0, seconds[-1], 10.0)
    even = np.interp(at, seconds, gain - gain.mean())
    memory = np.mean(even[10:] * even[:-10]) / np.mean(even**2)
    assert memory == pytest.approx(np.exp(-1), abs=0.12)


def test_cosmic_rays_are_listed_where_they_are() -> None:
    run = simulated(effects=QUIET | {"cosmic_rays": True}, source=[])
    quiet = simulated(effects=QUIET, source=[])
    hits = run.hit_truth.table
    where = np.zeros(run.dumps.flux.shape, bool)
    where[hits["row"] - 1, hits["channel"] - 1] = True
    assert where.sum() > 10
    assert ((run.dumps.flux != quiet.dumps.flux) == where).all()


def test_faults_are_as_planned() -> None:
    faults = {"dropped": [3, 4], "not_a_number": [10], "clock_jump_dump": 20, "clock_jump_s": -30.0}
    run, good = simulated(faults=faults), simulated()
    assert len(run.dumps) == len(good.dumps) - 2
    assert np.flatnonzero(np.isnan(run.dumps.flux).all(axis=1)).tolist() == [8]
    late = (run.dumps.rows["time"][18:] - good.dumps.rows["time"][20:]).sec
    assert late == pytest.approx(-30.0, abs=1e-3)
    off = simulated(effects=QUIET, faults={"off_line_kelvin": 1.0})
    assert mean(off, "OFF").max() > mean(simulated(effects=QUIET), "OFF").max()


def test_a_map_is_a_raster_about_the_target() -> None:
    run = simulated(file_type="OTFM", rows=4, on_dumps=11, rows_per_off=2, effects=QUIET)
    rows = run.dumps.rows
    on = rows["state"] == "ON"
    assert on.sum() == 44
    assert (rows["state"] == "SKIP").sum() == 4
    dec = (rows["dec"][on].value + 5.39111) * 3600
    assert dec == pytest.approx(np.repeat([-37.5, -12.5, 12.5, 37.5], 11), abs=0.01)
    ra = (rows["ra"][on].value - 83.82208) * 3600 * np.cos(np.radians(-5.39111))
    assert ra[:11] == pytest.approx(np.arange(-75, 76, 15), abs=0.1)
    assert ra[11] == pytest.approx(75, abs=0.1)


def test_the_true_map_peaks_at_the_source_and_is_as_wide_as_beam_and_source() -> None:
    source = LINE | {"ra_offset_arcsec": 50.0, "dec_offset_arcsec": -25.0}
    raster = {"file_type": "OTFM", "rows": 17, "on_dumps": 33}
    run = simulated(source=[source], channel_width_hz=3e5, **raster)
    cube = record_sky_map(run.session)
    peak = np.unravel_index(np.argmax(cube.data), cube.data.shape)
    ra, dec, frequency_hz = cube.wcs.wcs_pix2world(*peak[::-1], 0)
    pixel_deg = cube.wcs.wcs.cdelt[1]
    assert ra == pytest.approx(83.82208 + 50 / 3600 / np.cos(np.radians(-5.4)), abs=pixel_deg)
    assert dec == pytest.approx(-5.39111 - 25 / 3600, abs=pixel_deg)
    assert frequency_hz == pytest.approx(492.1607e9, abs=3e5)
    beam = 75.36
    area = cube.data[peak[0]].sum() * (pixel_deg * 3600) ** 2
    assert area == pytest.approx(5.0 * 100.0**2 * np.pi / (4 * np.log(2)), rel=0.02)
    assert pixel_deg * 3600 == pytest.approx(beam / 3, rel=1e-3)
    with pytest.raises(NotApplicable):
        record_sky_map(simulated().session)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"channels": 4}, "channels: Input should be greater than or equal to 16"),
        ({"file_type": "SCIE"}, "observation.0.file_type"),
        ({"dump": 3}, "observation.0.dump: Unexpected keyword"),
    ],
)
def test_wrong_plans_are_refused_with_the_entry(change: dict[str, Any], message: str) -> None:
    with pytest.raises(FileError, match=message):
        parse_plan(plan_values(**change), "plan.toml")


def test_a_plan_of_another_camera_is_not_read(tmp_path: Any) -> None:
    path = tmp_path / "plan.toml"
    path.write_text('name = "a"\nkind = "imaging"\n')
    with pytest.raises(FileError, match="kind"):
        read_plan(path)
