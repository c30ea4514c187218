"""Maps of dumps taken on the fly, against sources drawn on the sky."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from importlib.resources import files
from typing import Any

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.table import QTable
from pydantic import TypeAdapter
from scipy.optimize import curve_fit
from scipy.special import j1

from csst_hstdm.gridding import Gridding
from csst_hstdm.receiver import Receiver
from csst_hstdm.spectral_map import MAP_FLAG_BITS, SpectralMap
from csst_hstdm.stages.grid_spectra import grid_spectra
from csstcore.api import Meta, Spectra, UnprocessableData

REST_HZ = 461.0407682e9
STEP_HZ = 73242.1875
CENTRE = SkyCoord(10.68, 41.27, unit="deg")


def reference(kind: type[Any], name: str) -> Any:
    text = files("csst_hstdm").joinpath(f"references/{name}.toml").read_text()
    return TypeAdapter(kind).validate_python(tomllib.loads(text))


@pytest.fixture(scope="module")
def receiver() -> Receiver:
    return reference(Receiver, "receiver_proposed")


@pytest.fixture(scope="module")
def gridding() -> Gridding:
    return reference(Gridding, "gridding_kernels")


def raster(beam: float, size_beam: float, per_beam: float, seed: int = 1) -> SkyCoord:
    """Rows scanned to and fro about the centre, with pointings known but not on a grid."""
    line = np.arange(-size_beam / 2, size_beam / 2, 1 / per_beam)
    x, y = (plane.ravel() for plane in np.meshgrid(line, line))
    x = np.where(np.round(y * per_beam) % 2, x + 0.37 / per_beam, -x)
    jitter = np.random.default_rng(seed).normal(0, 0.01, (2, len(x)))
    return CENTRE.spherical_offsets_by(
        (x + jitter[0]) * beam * u.arcsec, (y + jitter[1]) * beam * u.arcsec
    )


def dumps_at(where: SkyCoord, flux: np.ndarray, sigma: Any = 1.0, **changes: Any) -> Spectra:
    rows = QTable({"state": ["ON"] * len(where), "flag": np.zeros(len(where), np.int32)})
    rows["ra"], rows["dec"] = where.icrs.ra, where.icrs.dec
    rows["rest_frequency"], rows["frame"] = REST_HZ * u.Hz, "LSRK"
    rows["exposure_time"], rows["t_sys"] = 1.0 * u.s, 300.0 * u.K
    variance = np.broadcast_to(np.asarray(sigma, np.float32) ** 2, flux.shape).copy()
    first = changes.pop("first_channel", 0)
    axis = (6_294_700 + first + np.arange(flux.shape[1])) * STEP_HZ * u.Hz
    values = {"variance": variance, "flags": np.zeros(flux.shape, np.uint16)} | changes
    return Spectra(
        flux.astype(np.float32), axis, u.K, rows=rows, meta=Meta(project_id="P1"), **values
    )


def gaussian(xy: Any, peak: float, x: float, y: float, fwhm: float) -> np.ndarray:
    return peak * np.exp(-4 * np.log(2) * ((xy[0] - x) ** 2 + (xy[1] - y) ** 2) / fwhm**2)


LINE = np.linspace(0, 2.6, 105)


def response(kernel: str) -> np.ndarray:
    """A point source in the map by distance in beams, by brute force."""
    line = np.linspace(-1, 1, 201)
    x, y = np.meshgrid(line, line)
    r = np.hypot(x, y)
    if kernel == "gaussian":
        weight = np.exp(-4 * np.log(2) * (3 * r) ** 2) * (r <= 0.5)
    else:
        phase = np.pi * r * 3 / 1.55 + 1e-12
        weight = j1(phase) / phase * np.exp(-((r * 3 / 2.52) ** 2)) * (r <= 1)
    beams = [np.exp(-4 * np.log(2) * ((x - d) ** 2 + y**2)) for d in LINE]
    return np.array([(weight * beam).sum() for beam in beams]) / weight.sum()


@pytest.mark.parametrize("kernel", ["gaussian", "bessel_gaussian"])
def test_a_point_source_has_the_beam_of_theory(
    kernel: str, receiver: Receiver, gridding: Gridding
) -> None:
    beam = 1.2 * 299792458.0 / REST_HZ / 2 * 206264.806
    where = raster(beam, 7, 5)
    source = CENTRE.directional_offset_by(40 * u.deg, 0.3 * beam * u.arcsec)
    distance = where.separation(source).to_value("arcsec")
    flux = np.repeat(np.exp(-4 * np.log(2) * (distance / beam) ** 2)[:, None], 3, axis=1)
    cube = grid_spectra([dumps_at(where, flux)], receiver, gridding, kernel=kernel)
    pixel = cube.wcs.wcs.cdelt[1] * 3600
    good = cube.flags[1] == 0
    y, x = np.nonzero(good)
    sky = SkyCoord(*cube.wcs.celestial.wcs_pix2world(np.stack([x, y], 1), 0).T, unit="deg")
    radius = source.separation(sky).to_value("arcsec") / beam
    expected = response(kernel)
    assert np.abs(cube.data[1][good] - np.interp(radius, LINE, expected)).max() < 0.01
    width = 2 * np.interp(-expected[0] / 2, -expected, LINE)
    assert cube.beam_deg * 3600 / beam == pytest.approx(width, rel=0.005)
    flux_true = np.pi / (4 * np.log(2)) * beam**2
    assert cube.data[1][good].sum() * pixel**2 == pytest.approx(flux_true, rel=0.005)
    if kernel == "bessel_gaussian":
        return
    offset = [part.to_value("arcsec") for part in source.spherical_offsets_to(sky)]
    (peak, at_x, at_y, width), _ = curve_fit(
        gaussian, offset, cube.data[1][good], p0=(1, 0, 0, beam)
    )
    assert peak == pytest.approx(0.9, rel=0.02)  # beam^2 / (beam^2 + (beam/3)^2)
    assert width / beam == pytest.approx(np.sqrt(1 + 1 / 9), rel=0.02)
    assert np.hypot(at_x, at_y) < 0.01 * beam


def test_errors_are_those_of_many_realisations(receiver: Receiver, gridding: Gridding) -> None:
    """400 channels of noise whose level differs by dump: pulls are normal, at the border too."""
    rng = np.random.default_rng(5)
    where = raster(80.0, 3, 4)
    sigma = rng.uniform(0.5, 2.0, (len(where), 1))
    flux = rng.normal(0, 1, (len(where), 400)) * sigma
    flags = (rng.random(flux.shape) < 0.05).astype(np.uint16)
    flux[flags != 0] = 1e6
    cube = grid_spectra([dumps_at(where, flux, sigma, flags=flags)], receiver, gridding)
    pull = cube.data / np.sqrt(cube.variance)
    for part in (cube.flags == 0, (cube.flags & MAP_FLAG_BITS["border"] != 0) & np.isfinite(pull)):
        assert np.std(pull[part]) == pytest.approx(1.0, abs=0.03)


def test_the_border_is_flagged_and_its_errors_grow(receiver: Receiver, gridding: Gridding) -> None:
    where = raster(80.0, 4, 5)
    cube = grid_spectra([dumps_at(where, np.ones((len(where), 4)))], receiver, gridding)
    border = cube.flags[0] & MAP_FLAG_BITS["border"] != 0
    empty = cube.flags[0] & MAP_FLAG_BITS["no_data"] != 0
    inner = cube.flags[0] == 0
    assert np.isnan(cube.data[0][empty]).all()
    assert cube.data[0][inner] == pytest.approx(1.0)
    # outside of the dumps every pixel is border or empty
    rows, columns = np.nonzero(inner)
    sky = SkyCoord(*cube.wcs.celestial.wcs_pix2world(np.stack([columns, rows], 1), 0).T, unit="deg")
    x, y = (part.to_value("arcsec") for part in CENTRE.spherical_offsets_to(sky))
    assert np.abs(x).max() < 175
    assert np.abs(y).max() < 175
    assert np.nanmedian(cube.variance[0][border & ~empty]) > 1.5 * np.median(
        cube.variance[0][inner]
    )
    assert cube.weight[border].max() < np.median(cube.weight[inner])


def test_flux_is_kept_where_errors_come_and_go(receiver: Receiver, gridding: Gridding) -> None:
    """Gains are uncertain half of the time: variances double within a beam, the flux stays."""
    beam = 1.2 * 299792458.0 / REST_HZ / 2 * 206264.806
    where = raster(beam, 7, 5)
    distance = where.separation(CENTRE).to_value("arcsec")
    flux = np.repeat(np.exp(-4 * np.log(2) * (distance / beam) ** 2)[:, None], 3, axis=1)
    east, _ = (part.to_value("arcsec") for part in CENTRE.spherical_offsets_to(where))
    sigma = 1.0 + 0.4 * np.abs(east / beam)[:, None]
    cube = grid_spectra([dumps_at(where, flux, sigma)], receiver, gridding)
    good = cube.flags[1] == 0
    pixel = cube.wcs.wcs.cdelt[1] * 3600
    assert cube.data[1][good].sum() * pixel**2 == pytest.approx(
        np.pi / (4 * np.log(2)) * beam**2, rel=0.005
    )


def test_the_border_is_that_of_each_channel(receiver: Receiver, gridding: Gridding) -> None:
    """Flagged samples of one channel make a border there, and in no other channel."""
    where = raster(80.0, 4, 5)
    flux = np.ones((len(where), 3))
    flags = np.zeros(flux.shape, np.uint16)
    east, _ = (part.to_value("arcsec") for part in CENTRE.spherical_offsets_to(where))
    flags[east > 0, 1] = 4
    cube = grid_spectra([dumps_at(where, flux, flags=flags)], receiver, gridding)
    inner = cube.flags[0] == 0
    assert (cube.flags[2] == cube.flags[0]).all()
    rows, columns = np.nonzero(inner)
    sky = SkyCoord(*cube.wcs.celestial.wcs_pix2world(np.stack([columns, rows], 1), 0).T, unit="deg")
    x = CENTRE.spherical_offsets_to(sky)[0].to_value("arcsec")
    assert (cube.flags[1][inner][x > 5] != 0).all()
    assert (cube.flags[1][inner][x < -25] == 0).all()
    assert inner.sum() > 100


def test_scattered_flags_make_no_border(receiver: Receiver, gridding: Gridding) -> None:
    where = raster(80.0, 4, 5)
    rng = np.random.default_rng(3)
    flags = (rng.random((len(where), 20)) < 0.05).astype(np.uint16)
    flags[rng.random(len(where)) < 0.8, 7] = 1  # a channel that is bad in most dumps
    flux = np.ones(flags.shape)
    cube = grid_spectra([dumps_at(where, flux, flags=flags)], receiver, gridding)
    clean = grid_spectra([dumps_at(where, flux)], receiver, gridding).flags[0] == 0
    few = np.arange(20) == 7
    assert np.mean(cube.flags[~few][:, clean] == 0) > 0.97
    bright = cube.flags[7] & MAP_FLAG_BITS["border"] == 0
    assert bright[clean].any()


@pytest.mark.parametrize(("kernel", "width"), [("gaussian", 1 / 3), ("bessel_gaussian", 0.6)])
def test_kernels_know_their_width(kernel: Any, width: float, gridding: Gridding) -> None:
    shape = gridding.kernel(kernel)
    assert float(shape(np.array(shape.width_beam / 2))) == pytest.approx(0.5, abs=1e-6)
    assert shape.width_beam == pytest.approx(width, rel=0.2)


def test_the_border_follows_the_width_of_the_kernel_used(
    receiver: Receiver, gridding: Gridding
) -> None:
    dumps = dumps_at(raster(80.0, 3, 5), np.ones((225, 2)))
    narrow = replace(gridding, gaussian=replace(gridding.gaussian, fwhm_beam=0.1))
    one, other = (
        grid_spectra([dumps], receiver, kernels, kernel="bessel_gaussian").flags
        for kernels in (gridding, narrow)
    )
    assert (one == other).all()


def test_pixels_larger_than_half_the_beam_are_refused(
    receiver: Receiver, gridding: Gridding
) -> None:
    dumps = dumps_at(raster(80.0, 2, 5), np.ones((100, 3)))
    grid_spectra([dumps], receiver, gridding, pixel_arcsec=40.0)
    with pytest.raises(UnprocessableData, match=r"pixel_arcsec is 41\.0; expected at most 40\.2"):
        grid_spectra([dumps], receiver, gridding, pixel_arcsec=41.0)


def test_files_with_shifted_axes_and_missing_samples_add_up(
    receiver: Receiver, gridding: Gridding
) -> None:
    where = raster(80.0, 2, 5)
    signal = np.arange(20.0)
    first = dumps_at(where, np.tile(signal[:15], (len(where), 1)))
    second = dumps_at(where, np.tile(signal[5:], (len(where), 1)), 2.0, first_channel=5)
    second.rows["t_sys"] = 600.0 * u.K
    first.flux[:, 3] = np.nan
    second.rows["state"] = np.where(np.arange(len(where)) % 2, "ON", "SKIP")
    second.rows["flag"][1] = 64
    second.flux[::2] = 1e9
    second.flux[1] = -1e9
    cube = grid_spectra([first, second], receiver, gridding)
    good = cube.flags[10] == 0
    assert cube.data.shape[0] == 20
    expected = np.where(np.arange(20) == 3, np.nan, signal)
    found = cube.data[:, good].T
    assert found == pytest.approx(np.tile(expected, (good.sum(), 1)), nan_ok=True)
    assert (cube.flags[3] & MAP_FLAG_BITS["no_data"]).all()
    centre = cube.data.shape[1] // 2, cube.data.shape[2] // 2
    assert cube.variance[10][centre] < cube.variance[1][centre] < cube.variance[18][centre]


@pytest.mark.parametrize("velocity", [False, True])
def test_the_cube_knows_its_frequencies(
    velocity: bool, receiver: Receiver, gridding: Gridding
) -> None:
    where = raster(80.0, 2, 5)
    dumps = dumps_at(where, np.zeros((len(where), 9)))
    cube = grid_spectra([dumps], receiver, gridding, velocity_axis=velocity)
    assert cube.frequency_hz == pytest.approx(dumps.axis.to_value(u.Hz), rel=1e-12)
    assert (cube.wcs.wcs.specsys, cube.rest_frequency_hz) == ("LSRK", REST_HZ)


def refused(change: Any, receiver: Receiver, gridding: Gridding) -> str:
    dumps = dumps_at(raster(80.0, 1, 5), np.zeros((25, 4)))
    with pytest.raises(UnprocessableData) as error:
        grid_spectra(change(dumps), receiver, gridding)
    return str(error.value)


def test_dumps_that_make_no_map_are_refused(receiver: Receiver, gridding: Gridding) -> None:
    def flagged(dumps: Spectra) -> list[Spectra]:
        dumps.rows["flag"] = 64
        return [dumps]

    def samples_flagged(dumps: Spectra) -> list[Spectra]:
        dumps.flags[:] = 1
        return [dumps]

    def unaligned(dumps: Spectra) -> list[Spectra]:
        return [dumps, dumps_at(raster(80.0, 1, 5), np.zeros((25, 4)), first_channel=0.5)]

    def far(dumps: Spectra) -> list[Spectra]:
        dumps.rows["dec"] = np.linspace(-20, 20, len(dumps)) * u.deg
        return [dumps]

    assert "no dump of state ON" in refused(flagged, receiver, gridding)
    assert "every sample" in refused(samples_flagged, receiver, gridding)
    assert "0.500" in refused(unaligned, receiver, gridding)
    assert "at most 4096" in refused(far, receiver, gridding)
    assert "no dumps" in refused(lambda dumps: [], receiver, gridding)


def test_files_without_system_temperatures_are_weighted_on_the_same_scale(
    receiver: Receiver, gridding: Gridding
) -> None:
    where = raster(30.0, 4, 5)
    told, untold = (dumps_at(where, np.full((len(where), 16), level)) for level in (1.0, 4.0))
    untold.rows.remove_column("t_sys")
    cube = grid_spectra([told, untold], receiver, gridding)
    assert cube.data[cube.flags == 0] == pytest.approx(2.5, rel=1e-5)


def test_a_map_refuses_weights_of_another_shape() -> None:
    with pytest.raises(ValueError, match="weight has shape"):
        SpectralMap(np.zeros((2, 3, 4)), weight=np.zeros((4, 3)) / u.K**2)
