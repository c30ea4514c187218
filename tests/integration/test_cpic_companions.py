"""Companions found, fitted and excluded in simulated cubes, against the truth."""

from __future__ import annotations

from typing import Any

import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable
from photutils.aperture import CircularAperture
from scipy.ndimage import fourier_shift

from csst_cpic.planets.contrast_limits import contrast_limits
from csst_cpic.planets.experiment import Source
from csst_cpic.planets.repeated import repeated
from csst_cpic.stages.contrast_curve import contrast_curve
from csst_cpic.stages.find_companions import find_companions
from csst_cpic.stages.fit_companions import fit_companions
from csst_cpic.star.klip import reduce_cube
from csst_cpic.star.sky_frame import to_offsets
from csstcore.api import Image, NotApplicable, Table, UnprocessableData, replace
from csstcore.notes import collecting

from .coronagraph_cubes import PIXEL_MAS, Observed, observed

PLANETS = [(26.0, 70.0, 1.5e-8), (36.0, 200.0, 0.8e-8)]


@pytest.fixture(scope="module")
def two_planets() -> Observed:
    return observed(PLANETS, seed=3)


@pytest.fixture(scope="module")
def found(two_planets: Observed) -> Table:
    return searched(two_planets)


def test_what_a_bright_planet_leaves_around_itself_is_no_planet() -> None:
    """Masked alone, it leaves a second source a FWHM and a half away."""
    planets = [(30.0, 100.0, 2e-6), (36.0, 300.0, 1.5e-8)]
    run = observed(planets, seed=8)
    assert len(searched(run)) > 2
    table = searched(run, star=run.star).table
    separation = table["separation"].to_value(u.mas) / PIXEL_MAS
    assert separation == pytest.approx([planet[0] for planet in planets], abs=1)


def test_without_a_star_that_fits_companions_are_masked_alone(two_planets: Observed) -> None:
    run = two_planets
    with collecting() as notes:
        found = searched(run, star=replace(run.star, unit=u.Jy))
    assert len(found) == 2
    assert "companions are masked, not taken out" in str(notes.caveats)


@pytest.fixture(scope="module")
def fitted(two_planets: Observed, found: Table) -> Table:
    run = two_planets
    return fit_companions(run.cube, run.frames, run.settings, run.star, found)


def searched(run: Observed, **settings: Any) -> Table:
    return find_companions(residual(run), run.cube, run.frames, run.settings, **settings)


def residual(run: Observed) -> Image:
    result = reduce_cube(run.cube.data, run.simulated.angles_deg, run.reduction)
    return Image(result.image, u.electron, meta=run.cube.meta)


def test_both_planets_and_nothing_else_are_found(found: Table) -> None:
    assert len(found) == 2
    for planet in PLANETS:
        separation = found.table["separation"].to_value(u.mas) / PIXEL_MAS
        apart = np.hypot(
            separation - planet[0],
            np.radians(found.table["position_angle"].to_value(u.deg) - planet[1]) * planet[0],
        )
        assert apart.min() < 0.5
    assert found.table["significance"].min() > 5


def test_pixels_of_the_table_are_those_of_the_image(two_planets: Observed, found: Table) -> None:
    image = residual(two_planets).data
    for row in found.table:
        y, x = round(row["y"].value) - 1, round(row["x"].value) - 1
        assert image[y, x] > 0.9 * np.nanmax(image[y - 2 : y + 3, x - 2 : x + 3])


def test_contrast_and_place_are_those_of_the_planets(fitted: Table) -> None:
    table = fitted.table
    assert np.all(table["converged"])
    for planet in PLANETS:
        row = table[np.argmin(np.abs(table["separation"].to_value(u.mas) / PIXEL_MAS - planet[0]))]
        assert abs(row["contrast"] - planet[2]) < 3 * row["contrast_error"]
        assert row["contrast_error"] < 0.12 * row["contrast"]
        away = row["separation"] - planet[0] * PIXEL_MAS * u.mas
        assert abs(away) < 3 * row["separation_error"]
        assert abs(row["position_angle"] - planet[1] * u.deg) < 3 * row["position_angle_error"]
        assert row["separation_error"] < 0.15 * PIXEL_MAS * u.mas


@pytest.mark.parametrize(
    "settings",
    [
        {"sectors": 3, "exclusion_fwhm": 0.5, "combination": "weighted", "components": 3},
        pytest.param(
            {"method": "nmf", "components": 3, "annulus_width_pixel": 12.0}, marks=pytest.mark.slow
        ),
    ],
)
def test_any_stored_settings_are_made_good(settings: dict[str, Any]) -> None:
    """What they take from a planet differs; the contrast does not."""
    separation, angle, contrast = 28.0, 130.0, 3e-8
    run = observed([(separation, angle, contrast)], seed=4, **settings)
    place = {"separation": [separation * PIXEL_MAS] * u.mas, "position_angle": [angle] * u.deg}
    call = run.cube, run.frames, run.settings, run.star, Table(QTable(place))
    row = fit_companions(*call).table[0]
    assert row["converged"]
    assert abs(row["contrast"] - contrast) < 3.5 * row["contrast_error"]
    assert row["contrast_error"] < 0.1 * contrast
    assert abs(row["separation"].to_value(u.mas) / PIXEL_MAS - separation) < 0.2


def test_errors_of_the_calibration_are_added(two_planets: Observed, fitted: Table) -> None:
    run = two_planets
    with_errors = fit_companions(
        run.cube,
        run.frames,
        run.settings,
        run.star,
        replace(fitted, table=fitted.table[:1]),
        plate_scale_relative_error=0.01,
        north_offset_error_deg=0.5,
        contrast_relative_error=0.05,
        centre_error_pixel=0.1,
    ).table[0]
    before = fit_companions(
        run.cube, run.frames, run.settings, run.star, replace(fitted, table=fitted.table[:1])
    ).table[0]
    centre = 0.1 * PIXEL_MAS
    separation = before["separation"].to_value(u.mas)
    expected = np.sqrt(
        before["separation_error"].to_value(u.mas) ** 2 + centre**2 + (0.01 * separation) ** 2
    )
    assert with_errors["separation_error"].to_value(u.mas) == pytest.approx(expected)
    expected = np.sqrt(
        before["position_angle_error"].to_value(u.deg) ** 2
        + np.degrees(centre / separation) ** 2
        + 0.5**2
    )
    assert with_errors["position_angle_error"].to_value(u.deg) == pytest.approx(expected)
    expected = np.hypot(before["contrast_error"], 0.05 * before["contrast"])
    assert with_errors["contrast_error"] == pytest.approx(expected)


def test_a_turn_of_the_frames_turns_the_position_angle(
    two_planets: Observed, fitted: Table
) -> None:
    run = two_planets
    turned = replace(run.frames, table=run.frames.table.copy())
    turned.table["position_angle"] += 10 * u.deg
    start = replace(fitted, table=fitted.table[:1].copy())
    start.table["position_angle"] = start.table["position_angle"] + 10 * u.deg
    row = fit_companions(run.cube, turned, run.settings, run.star, start).table[0]
    expected = fitted.table["position_angle"][0].to_value(u.deg) + 10
    assert row["position_angle"].to_value(u.deg) == pytest.approx(expected, abs=0.5)


def test_a_limit_without_the_planets_is_that_of_an_empty_cube(
    two_planets: Observed, fitted: Table
) -> None:
    run, empty = two_planets, observed(seed=3)
    coarse = {"step_fwhm": 2.0}
    limits = contrast_curve(run.cube, run.frames, run.settings, run.star, fitted, **coarse).table
    blank = contrast_curve(empty.cube, empty.frames, empty.settings, empty.star, **coarse).table
    ratio = limits["contrast"] / blank["contrast"]
    assert np.abs(np.log(ratio)).max() < 0.15
    kept = contrast_curve(run.cube, run.frames, run.settings, run.star, **coarse).table
    assert (kept["contrast"] / blank["contrast"]).max() > 1.5


def test_known_planets_do_not_level_the_noise_of_their_ring() -> None:
    """They scatter from frame to frame, as bright speckles do."""
    separation, angle, contrast = 28.0, 40.0, 1e-7
    noise = []
    for planets in ([(separation, angle, contrast)], []):
        run = observed(planets, seed=5, noise=False)
        known = [Source(c * run.simulated.throughput[0], s, a) for s, a, c in planets]
        experiment = repeated(run.cube, run.frames, run.settings, run.star, None)
        limits = contrast_limits(experiment, known, np.array([separation]), 5.0, 1)
        noise.append(limits.noise_contrast[0])
    assert noise[0] == pytest.approx(noise[1], rel=0.01)


@pytest.mark.slow
def test_the_limit_is_detected_in_half_of_all_cases() -> None:
    """Sources of the contrast of the curve, at many places of one planet-free cube."""
    run = observed(seed=5)
    limits = contrast_curve(run.cube, run.frames, run.settings, run.star).table
    k = int(np.argmin(np.abs(limits["separation"].to_value(u.mas) / PIXEL_MAS - 28)))
    separation = limits["separation"][k].to_value(u.mas) / PIXEL_MAS
    counts = {"contrast": 0, "complete_contrast": 0}
    places = np.arange(0.0, 360.0, 18.0)
    for name in counts:
        for angle in places:
            planet = (separation, float(angle), float(limits[name][k]))
            with_one = observed([planet], seed=5, noise=True)
            table = searched(with_one).table
            near = np.abs(table["separation"].to_value(u.mas) / PIXEL_MAS - separation) < 2
            turn = (table["position_angle"].to_value(u.deg) - angle + 180) % 360 - 180
            counts[name] += bool(np.any(near & (np.abs(turn) < 6)))
    assert 0.25 <= counts["contrast"] / len(places) <= 0.8
    assert counts["complete_contrast"] / len(places) >= 0.8


def test_throughput_is_that_of_planets_of_the_simulator() -> None:
    """Of the flux in apertures between pixels, without photon noise."""
    separation, angles = 28.3, (0.0, 120.0, 240.0)
    empty = observed(seed=5, noise=False)
    experiment = repeated(empty.cube, empty.frames, empty.settings, empty.star, None)
    limits = contrast_limits(experiment, [], np.array([separation]), 5.0, len(angles))
    contrast = float(limits.contrast[0] * limits.throughput[0] / 0.6)  # as injected
    middle, aperture = empty.cube.data.shape[1] // 2, empty.reduction.fwhm_pixel / 2
    psf, before, true = empty.simulated.psf, residual(empty).data, []
    for angle in angles:
        dx, dy = to_offsets(separation, angle)
        run = observed([(separation, angle, contrast)], seed=5, noise=False)
        x, y = middle + float(dx), middle + float(dy)
        left = np.nan_to_num(residual(run).data - before).astype(np.float64)
        # what an aperture holds depends on where in a pixel it lies: so must the star
        apart = x - round(x), y - round(y)
        star = np.fft.ifftn(fourier_shift(np.fft.fftn(psf), apart[::-1])).real
        at_star = psf.shape[1] // 2 + apart[0], psf.shape[0] // 2 + apart[1]
        (flux,), (whole,) = (
            CircularAperture(place, aperture).do_photometry(image)[0]
            for image, place in ((left, (x, y)), (star, at_star))
        )
        true.append(flux / whole / (contrast * run.simulated.throughput[0]))
    assert limits.throughput[0] == pytest.approx(np.mean(true), rel=0.01)


def test_light_that_the_mask_holds_back_is_made_good() -> None:
    """A planet near the mask of the simulator, which passes half of the light at 4 lambda/D."""
    separations = np.array([14.0, *range(5, 40)])
    planets = [(float(each), 70.0, 8e-8 * (k == 0)) for k, each in enumerate(separations)]
    run = observed(planets, seed=3, inner_radius_pixel=8.0)
    passing = run.simulated.throughput
    assert 0.75 < passing[0] < 0.92
    columns = {"separation": separations[1:] * PIXEL_MAS * u.mas, "transmission": passing[1:]}
    mask = Table(QTable(columns))
    place = {"separation": [14.0 * PIXEL_MAS] * u.mas, "position_angle": [70.0] * u.deg}
    call = run.cube, run.frames, run.settings, run.star
    row = fit_companions(*call, Table(QTable(place)), None, mask).table[0]
    without = fit_companions(*call, Table(QTable(place))).table[0]
    assert abs(row["contrast"] - planets[0][2]) < 3.5 * row["contrast_error"]
    assert row["contrast_error"] < 0.05 * row["contrast"]
    assert without["contrast"] == pytest.approx(row["contrast"] * passing[0], rel=0.02)
    limits, plain = (
        contrast_curve(*call, None, None, each, step_fwhm=4.0).table for each in (mask, None)
    )
    at = limits["separation"].to_value(u.mas) / PIXEL_MAS
    expected = np.interp(at, separations[1:], passing[1:])
    assert np.allclose(plain["contrast"] / limits["contrast"], expected)


def test_no_companion_is_nothing_to_fit(two_planets: Observed, found: Table) -> None:
    run = two_planets
    with pytest.raises(NotApplicable, match="no companion"):
        fit_companions(
            run.cube, run.frames, run.settings, run.star, replace(found, table=found.table[:0])
        )


def test_a_companion_that_is_not_there_gets_no_contrast(two_planets: Observed) -> None:
    run = observed(seed=11)
    place = searched(run, significance_sigma=1.0, largest_number=1)
    place.table["position_angle"] = place.table["position_angle"] + 100 * u.deg
    with collecting() as notes:
        row = fit_companions(run.cube, run.frames, run.settings, run.star, place).table[0]
    weak = row["contrast"] < 4 * row["contrast_error"]
    assert weak or (not row["converged"] and "does not converge" in str(notes))


@pytest.mark.parametrize("separation_pixel", [5.0, 300.0])
def test_a_companion_where_there_is_no_image_gets_no_contrast(
    two_planets: Observed, separation_pixel: float
) -> None:
    run = two_planets
    place = {"separation": [separation_pixel * PIXEL_MAS] * u.mas, "position_angle": [3.0] * u.deg}
    with collecting() as notes:
        table = fit_companions(
            run.cube, run.frames, run.settings, run.star, Table(QTable(place))
        ).table
    assert not table["converged"][0]
    assert np.isnan(table["contrast"][0])
    assert "companion 1: the reduced image" in str(notes.caveats)


def test_a_cube_of_zeros_has_no_companions_and_no_limits(two_planets: Observed) -> None:
    run = two_planets
    cube = replace(run.cube, data=np.zeros_like(run.cube.data))
    image = replace(residual(run), data=np.zeros(cube.data.shape[1:], np.float32))
    assert len(find_companions(image, cube, run.frames, run.settings)) == 0
    with pytest.raises(UnprocessableData, match="no injected source"):
        contrast_curve(cube, run.frames, run.settings, run.star)


def test_pixels_without_values_do_not_spoil_the_rest(two_planets: Observed) -> None:
    run = two_planets
    data = run.cube.data.copy()
    data[:, 48:56, 18:26] = np.nan
    data[3] = np.nan
    cube = replace(run.cube, data=data)
    limits = contrast_curve(cube, run.frames, run.settings, run.star, step_fwhm=2.0).table
    assert np.isfinite(limits["contrast"]).all()


def test_a_star_in_other_units_is_refused(two_planets: Observed, found: Table) -> None:
    run = two_planets
    odd = replace(run.star, unit=u.Jy)
    with pytest.raises(UnprocessableData, match="image of the star is in Jy"):
        fit_companions(run.cube, run.frames, run.settings, odd, found)


def test_an_image_without_values_has_no_companions(two_planets: Observed) -> None:
    run, image = two_planets, residual(two_planets)
    empty = replace(image, data=np.full_like(image.data, np.nan))
    with pytest.raises(UnprocessableData, match="no values"):
        find_companions(empty, run.cube, run.frames, run.settings)
