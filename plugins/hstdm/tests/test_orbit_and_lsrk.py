"""Orbits, pointings and frequencies at the local standard of rest."""

from __future__ import annotations

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import (
    GCRS,
    CartesianDifferential,
    CartesianRepresentation,
    SkyCoord,
    SpectralCoord,
)
from astropy.table import QTable
from astropy.time import TimeDelta

from csst_hstdm.doppler import doppler_factor, velocity_to_source
from csst_hstdm.flags import FLAG_BITS
from csst_hstdm.pointing_interpolation import unit_vectors
from csst_hstdm.stages.lsrk import shift_to_lsrk
from csst_hstdm.stages.orbit import interpolate_orbit, interpolate_pointing
from csstcore.api import TimeTable, UnprocessableData, replace
from csstcore.notes import collecting

HALF_ORBIT_S = 2772.0
C_KM_S = 299792.458


TIME_S = np.linspace(0, HALF_ORBIT_S, 24)


@pytest.fixture(scope="module")
def factor(make_sky):
    """Frequency at rest over observed of each dump, by astropy."""
    dumps = make_sky(channels=2, noise=False).dumps(["ON"] * 24, TIME_S, 1.0)
    return np.array([_astropy_factor(row, dumps.axis) for row in dumps.rows])


@pytest.fixture
def half_orbit(make_sky, factor):
    """Noiseless dumps in kelvin of a line at rest, seen from half an orbit."""
    dumps = make_sky(channels=1024, noise=False).dumps(["ON"] * 24, TIME_S, 1.0)
    rest_hz = dumps.axis.to_value(u.Hz)[512] * np.mean(factor)
    width_hz = 12 * 73242.2
    lsrk_hz = dumps.axis.to_value(u.Hz) * factor[:, None]
    flux = np.exp(-0.5 * ((lsrk_hz - rest_hz) / width_hz) ** 2).astype(np.float32)
    line = replace(
        dumps,
        flux=flux,
        unit=u.K,
        variance=np.full(flux.shape, 0.04, np.float32),
        flags=np.zeros(flux.shape, np.uint16),
    )
    return line, rest_hz


def _astropy_factor(row, axis):
    """Frequency at rest over observed, by the general transformations of astropy."""
    place = CartesianRepresentation(row["x"], row["y"], row["z"])
    motion = CartesianDifferential(row["vx"], row["vy"], row["vz"])
    observer = GCRS(place.with_differentials(motion), obstime=row["time"])
    still = 0 * u.mas / u.yr
    target = SkyCoord(
        row["ra"],
        row["dec"],
        distance=1 * u.Mpc,
        pm_ra_cosdec=still,
        pm_dec=still,
        radial_velocity=0 * u.km / u.s,
    )
    seen = SpectralCoord(axis[0], observer=observer, target=target)
    rest = seen.with_observer_stationary_relative_to("lsrk")
    return float((rest / seen).to_value(u.one))


def test_velocities_agree_with_astropy(half_orbit, factor):
    dumps, _ = half_orbit
    rows = dumps.rows
    direction = unit_vectors(rows["ra"].value, rows["dec"].value)
    velocity = np.stack([rows[name].to_value(u.km / u.s) for name in ("vx", "vy", "vz")], axis=1)
    ours = doppler_factor(velocity_to_source(rows["time"], velocity, direction))
    assert np.max(np.abs(ours / factor - 1)) * C_KM_S * 1000 < 1.0  # m/s


def _centroid(flux, axis_hz):
    good = np.isfinite(flux)
    return np.average(axis_hz[good], weights=flux[good].astype(float))


def test_line_keeps_its_place_over_half_an_orbit(half_orbit):
    dumps, rest_hz = half_orbit
    shifted = shift_to_lsrk(dumps)
    axis_hz = shifted.axis.to_value(u.Hz)
    spacing_hz = axis_hz[1] - axis_hz[0]
    each = np.array([_centroid(flux, axis_hz) for flux in shifted.flux])
    assert np.max(np.abs(each - rest_hz)) < 0.05 * spacing_hz
    mean = np.nanmean(shifted.flux, axis=0)
    assert abs(_centroid(mean, axis_hz) - rest_hz) < 0.05 * spacing_hz
    assert np.nanmax(mean) == pytest.approx(1.0, abs=0.01)
    assert set(shifted.rows["frame"]) == {"LSRK"}


def test_line_is_smeared_without_correction(half_orbit):
    dumps, _ = half_orbit
    axis_hz = dumps.axis.to_value(u.Hz)
    places = np.array([_centroid(flux, axis_hz) for flux in dumps.flux])
    assert np.ptp(places) / 73242.2 > 10
    assert np.max(np.mean(dumps.flux, axis=0)) < 0.8


def test_resampling_conserves_flux(half_orbit):
    dumps, _ = half_orbit
    shifted = shift_to_lsrk(dumps)
    factor = doppler_factor(shifted.rows["velocity_shift"].to_value(u.km / u.s))
    before = np.sum(dumps.flux, axis=1, dtype=float) * factor
    np.testing.assert_allclose(np.nansum(shifted.flux, axis=1, dtype=float), before, rtol=1e-6)


@pytest.mark.parametrize("reverse", [False, True])
def test_noise_is_what_the_variance_says(half_orbit, reverse):
    dumps, _ = half_orbit
    rng = np.random.default_rng(1)
    noise = replace(dumps, flux=rng.normal(0, 0.2, dumps.flux.shape).astype(np.float32))
    if reverse:
        noise = replace(noise, axis=noise.axis[::-1])
    shifted = shift_to_lsrk(noise)
    good = np.isfinite(shifted.flux)
    pulls = shifted.flux[good] / np.sqrt(shifted.variance[good])
    assert np.std(pulls) == pytest.approx(1.0, abs=0.02)
    squares = shifted.rows["resampled_variance"]
    assert np.mean(shifted.variance[good]) / 0.04 == pytest.approx(np.mean(squares), rel=0.02)
    wide = np.nansum(shifted.flux[:, 350:-350], axis=1)
    stated = np.nansum(shifted.variance[:, 350:-350], axis=1) / squares
    assert np.std(wide / np.sqrt(stated)) == pytest.approx(1.0, abs=0.35)


def test_axes_of_two_files_are_parts_of_one(half_orbit):
    dumps, _ = half_orbit
    parts = [
        replace(
            dumps,
            flux=dumps.flux[part],
            variance=dumps.variance[part],
            flags=dumps.flags[part],
            rows=dumps.rows[part],
        )
        for part in (slice(0, 6), slice(18, 24))
    ]
    one, two = (shift_to_lsrk(part).axis.to_value(u.Hz) for part in parts)
    step = (two[0] - one[0]) / (one[1] - one[0])
    assert abs(step) > 1
    assert step == pytest.approx(round(step), abs=1e-6)


def test_flags_move_with_their_channels(half_orbit):
    dumps, _rest_hz = half_orbit
    dumps.flux[3, 500] = np.nan
    dumps.flags[3, 500] = FLAG_BITS["cosmic_ray"]
    shifted = shift_to_lsrk(dumps)
    axis_hz = shifted.axis.to_value(u.Hz)
    hit = np.flatnonzero(shifted.flags[3] & FLAG_BITS["cosmic_ray"])
    factor = doppler_factor(shifted.rows["velocity_shift"][3].to_value(u.km / u.s))
    place = np.argmin(np.abs(axis_hz - dumps.axis[500].to_value(u.Hz) * factor))
    assert 1 <= len(hit) <= 2
    assert place in hit
    assert np.all(np.isnan(shifted.flux[3, hit]))
    outside = np.isnan(shifted.flux)
    assert np.all(shifted.flags[outside] != 0)
    assert np.all(shifted.flags[~outside] == 0)


def test_dumps_without_velocity_are_flagged_or_refused(half_orbit):
    dumps, _ = half_orbit
    dumps.rows["vx"][4] = np.nan * u.km / u.s
    dumps.rows["ra"][5] = np.nan * u.deg
    with collecting() as notes:
        shifted = shift_to_lsrk(dumps)
    assert np.all(shifted.flags[4:6] == FLAG_BITS["pointing"])
    assert np.all(np.isnan(shifted.flux[4:6]))
    assert len(notes.caveats) == 1
    dumps.rows["vy"] = np.nan * u.km / u.s
    with pytest.raises(UnprocessableData, match="velocities are not known"):
        shift_to_lsrk(dumps)
    with pytest.raises(UnprocessableData, match="already"):
        shift_to_lsrk(shifted)


def _orbit_table(make_orbit, start, step_s, number):
    time_s = step_s * np.arange(number)
    position, velocity = make_orbit(time_s)
    table = QTable({"time": start + time_s * u.s})
    for column, name in enumerate("xyz"):
        table[name] = position[:, column] * u.km
        table[f"v{name}"] = velocity[:, column] * u.km / u.s
    return TimeTable(table)


def test_orbit_is_interpolated_to_dumps(half_orbit, make_orbit):
    dumps, _ = half_orbit
    true = dumps.rows.copy()
    start = dumps.rows["time"][0] - 100 * u.s
    dumps.rows.remove_columns(["x", "y", "z", "vx", "vy", "vz"])
    shifted_orbit = _orbit_table(lambda s: make_orbit(s - 100), start, 60.0, 40)
    with collecting() as notes:
        interpolate_orbit(dumps, shifted_orbit)
    inside = (dumps.rows["time"] - start).to_value(u.s) <= 39 * 60
    for name in "xyz":
        assert np.max(np.abs((dumps.rows[name] - true[name])[inside])) < 1 * u.m
        error = np.abs((dumps.rows[f"v{name}"] - true[f"v{name}"])[inside])
        assert np.max(error) < 0.1 * u.m / u.s
    assert np.all(dumps.rows["flag"][~inside] == FLAG_BITS["pointing"])
    assert not np.any(dumps.rows["flag"][inside])
    assert notes.metrics["dumps_without_orbit"] == np.sum(~inside)


def test_no_orbit_is_refused(half_orbit):
    dumps, _ = half_orbit
    dumps.rows.remove_columns(["vx", "vy", "vz"])
    with pytest.raises(UnprocessableData, match=r"hstdm\.orbit"):
        interpolate_orbit(dumps)


def test_lost_pointings_are_interpolated(half_orbit):
    dumps, _ = half_orbit
    rows = dumps.rows
    number = len(rows)
    second = np.arange(number, dtype=float)
    rows["time"] = rows["time"][0] + TimeDelta(second * u.s)
    rows["ra"] = (359.99 + 0.002 * second) % 360 * u.deg
    rows["dec"] = (60 + 0.001 * second + 1e-6 * second**2) * u.deg
    true = rows.copy()
    rows["ra"][[5, 6, 12, 0]] = np.nan * u.deg
    rows["dec"][13] = np.nan * u.deg
    interpolate_pointing(dumps)
    lost = [5, 6, 12, 13]
    found = SkyCoord(rows["ra"][lost], rows["dec"][lost])
    assert np.max(found.separation(SkyCoord(true["ra"], true["dec"])[lost])) < 0.1 * u.arcsec
    assert list(np.flatnonzero(rows["flag"])) == [0]
