"""The star subtracted, with companions at known places."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, minimum_filter, uniform_filter

from csst_cpic.star.klip import StarSubtraction, reduce_cube
from csst_cpic.star.klip_modes import klip_weights
from csst_cpic.star.nmf import non_negative_components
from csst_cpic.star.reduction import Reduction
from csstcore.api import UnprocessableData

SIZE, FWHM = 65, 4.0
SETTINGS = Reduction(
    fwhm_pixel=FWHM,
    inner_radius_pixel=6.0,
    outer_radius_pixel=30.0,
    annulus_width_pixel=6.0,
    pixel_scale_arcsec=0.016,
    components=4,
    sectors=2,
    exclusion_fwhm=0.7,
)
ANGLES = np.linspace(10.0, 100.0, 20)


def companion(separation, position_angle_deg, flux, angles=ANGLES, size=SIZE):
    """Gaussians where a companion is in frames with these position angles of +y."""
    y, x = np.mgrid[:size, :size] - size // 2
    turn = np.radians(position_angle_deg - angles)[:, None, None]
    dx, dy = -separation * np.sin(turn), separation * np.cos(turn)
    square = (x - dx) ** 2 + (y - dy) ** 2
    return (flux * np.exp(-4 * np.log(2) * square / FWHM**2)).astype(np.float32)


def speckles(frames=20, seed=1, noise=1.0, size=SIZE):
    """Light that drifts with three degrees of freedom, and noise."""
    rng = np.random.default_rng(seed)
    modes = gaussian_filter(rng.standard_normal((4, size, size)), (0, 1.7, 1.7)) * 8
    drift = np.cumsum(rng.standard_normal((frames, 3)), axis=0) / 4
    light = 500 + 60 * modes[0] + 30 * np.tensordot(drift, modes[1:], axes=1)
    return (light + noise * rng.standard_normal(light.shape)).astype(np.float32)


def at(image, separation, position_angle_deg):
    """The value where North up and East left put a place."""
    angle = np.radians(position_angle_deg)
    row = image.shape[0] // 2 + separation * np.cos(angle)
    column = image.shape[1] // 2 - separation * np.sin(angle)
    assert row == pytest.approx(round(row), abs=1e-9)
    assert column == pytest.approx(round(column), abs=1e-9)
    return image[round(row), round(column)]


def test_weights_are_those_of_a_projection_on_singular_vectors():
    rng = np.random.default_rng(0)
    scales = np.exp(-np.arange(20) / 3)
    frames = rng.standard_normal((300, 20)) * scales @ rng.standard_normal((20, 20))
    frames -= frames.mean(axis=0)
    allowed = rng.random((20, 20)) > 0.3
    np.fill_diagonal(allowed, False)
    models = frames @ klip_weights(frames, frames, allowed, 5).T
    for k in range(20):
        modes = np.linalg.svd(frames[:, allowed[k]], full_matrices=False)[0][:, :5]
        expected = modes @ (modes.T @ frames[:, k])
        np.testing.assert_allclose(models[:, k], expected, atol=1e-11)


@pytest.mark.parametrize("position_angle", [0.0, 90.0, 180.0, 270.0])
def test_companions_appear_where_north_is_up_and_east_is_left(position_angle):
    cube = speckles() + companion(20.0, position_angle, 300.0)
    image = reduce_cube(cube, ANGLES, SETTINGS).image
    row, column = np.unravel_index(np.nanargmax(image), image.shape)
    assert image[row, column] == at(image, 20.0, position_angle)


@pytest.mark.parametrize(("fwhm", "loss"), [(2.3, 0.004), (4.0, 1e-4)])
def test_turning_keeps_the_flux(fwhm, loss):
    y, x = np.mgrid[:SIZE, :SIZE] - SIZE // 2
    turn = np.radians(180.0 - ANGLES)[:, None, None]
    square = (x + 20.3 * np.sin(turn)) ** 2 + (y - 20.3 * np.cos(turn)) ** 2
    cube = np.exp(-4 * np.log(2) * square / fwhm**2).astype(np.float32)
    still = replace(SETTINGS, mode="rdi", components=1, inner_radius_pixel=0.0, sectors=1)
    # a library of noise models nothing; zones only take their mean off
    library = np.random.default_rng(0).standard_normal((3, SIZE, SIZE)).astype(np.float32)
    image = reduce_cube(cube, ANGLES, replace(still, annulus_width_pixel=30.0), library).image
    ring = np.nanmedian(image)
    near = np.hypot(x, y + 20.3) < 1.2 * fwhm
    expected = np.pi * fwhm**2 / (4 * np.log(2)) * (1 - 2.0 ** (-4 * 1.2**2))
    assert np.sum((image - ring)[near]) == pytest.approx(expected, rel=loss + 0.012)


def test_an_added_companion_gives_what_a_whole_reduction_gives():
    cube, signal = speckles(), companion(17.0, 33.0, 40.0)
    signal[signal < 1e-3] = 0
    y, x = np.mgrid[:SIZE, :SIZE] - SIZE // 2
    where = np.hypot(x + 17 * np.sin(np.radians(33)), y - 17 * np.cos(np.radians(33))) < 6
    quick = StarSubtraction(cube, ANGLES, SETTINGS).result(signal, where)
    whole = reduce_cube(cube + signal, ANGLES, SETTINGS)
    np.testing.assert_allclose(quick.image[where], whole.image[where], rtol=1e-5, atol=1e-5)
    assert np.isnan(quick.image[~where]).all()


def test_frames_on_which_a_companion_overlaps_itself_do_not_model_it():
    cube = companion(20.0, 180.0, 100.0) + speckles(noise=0.1)
    image = [
        at(reduce_cube(cube, ANGLES, replace(SETTINGS, exclusion_fwhm=delta)).image, 20.0, 180.0)
        for delta in (0.0, 0.7, 1.5)
    ]
    assert image[0] < image[1] < image[2] < 101


@pytest.mark.parametrize("combination", ["mean", "median", "weighted"])
def test_the_residual_of_a_star_without_companion_is_noise_around_zero(combination):
    image = reduce_cube(speckles(), ANGLES, replace(SETTINGS, combination=combination)).image
    assert abs(np.nanmean(image)) < 0.01
    assert np.nanstd(image) < 0.35  # one frame of noise over the root of 20, and the model's


def test_a_library_removes_the_star_even_without_rotation():
    cube = speckles(40)
    frames, library, angles = cube[:8], cube[8:], np.zeros(8)
    reference = replace(SETTINGS, mode="rdi", sectors=1, annulus_width_pixel=12.0)
    empty = reduce_cube(frames, angles, reference, library).image
    assert np.nanstd(empty) < 0.01 * np.std(cube)
    found = reduce_cube(frames + companion(15.0, 90.0, 50.0, angles), angles, reference, library)
    assert at(found.image, 15.0, 90.0) == pytest.approx(50, rel=0.2)


def test_both_sources_of_references_leave_less_than_one():
    cube = speckles(40, noise=0.1)
    few, angles = cube[:5], np.linspace(0, 60, 5)
    alone = reduce_cube(few, angles, SETTINGS).image
    both = reduce_cube(few, angles, replace(SETTINGS, mode="adi+rdi"), cube[5:]).image
    assert np.nanstd(both) < 0.5 * np.nanstd(alone)


def test_non_negative_components_rebuild_what_they_make_up():
    rng = np.random.default_rng(2)
    parts, shares = rng.gamma(1.0, size=(3, 200)), rng.gamma(1.0, size=(25, 3))
    basis = non_negative_components(shares @ parts, 3)
    left = shares @ parts - (shares @ parts) @ np.linalg.pinv(basis) @ basis
    assert (basis >= 0).all()
    assert np.linalg.norm(left) < 0.03 * np.linalg.norm(shares @ parts)


def test_non_negative_components_find_a_companion_with_a_library():
    cube = speckles(40)
    frames = cube[:20] + companion(20.0, 90.0, 40.0)
    settings = replace(SETTINGS, method="nmf", mode="rdi", sectors=1, annulus_width_pixel=12.0)
    image = reduce_cube(frames, ANGLES, settings, cube[20:]).image
    assert at(image, 20.0, 90.0) == pytest.approx(40, rel=0.1)


def test_flagged_pixels_leave_no_trace():
    clean = speckles() + companion(20.0, 90.0, 100.0)
    dirty = clean.copy()
    hits = np.random.default_rng(5).random(dirty.shape) < 0.003
    dirty[hits] = np.nan
    image, expected = (reduce_cube(cube, ANGLES, SETTINGS).image for cube in (dirty, clean))
    assert np.isfinite(image[np.isfinite(expected)]).all()
    assert np.nanstd(image - expected) < 0.3 * np.nanstd(expected)
    assert at(image, 20.0, 90.0) == pytest.approx(at(expected, 20.0, 90.0), rel=0.03)


def test_the_variance_is_that_of_repeated_noise():
    light, rng = speckles(noise=0.0), np.random.default_rng(4)
    noise = np.full(light.shape, 4.0, np.float32)
    images = [
        reduce_cube(
            light + 2 * rng.standard_normal(light.shape).astype(np.float32),
            ANGLES,
            SETTINGS,
            variance=noise,
        )
        for _ in range(12)
    ]
    # in apertures: turning correlates pixels
    inside = minimum_filter(np.isfinite(images[0].image), 5)
    sums = [25 * uniform_filter(np.nan_to_num(image.image), 5)[inside] for image in images]
    scatter = np.var(sums, axis=0, ddof=1)
    predicted = 25 * uniform_filter(np.nan_to_num(images[0].variance), 5)[inside]
    assert np.mean(scatter) / np.mean(predicted) == pytest.approx(1, abs=0.1)


def test_zones_without_references_are_empty_and_not_zero():
    slow = np.linspace(0, 12, 20)
    subtraction = StarSubtraction(speckles(), slow, SETTINGS)
    image = subtraction.result()
    edge = 12.0  # at 9 pixels the arc is 1.9 pixels, at 15 pixels 3.1: 0.7 FWHM is 2.8
    lost = subtraction.references.max(axis=1) < SETTINGS.minimum_references
    assert {zone.outer_pixel for zone, k in zip(subtraction.zones, lost, strict=True) if k} == {
        edge
    }
    y, x = np.mgrid[:SIZE, :SIZE] - SIZE // 2
    assert np.isnan(image.image[np.hypot(x, y) < edge - 1]).all()
    assert not image.count[np.hypot(x, y) < edge - 1].any()
    assert np.isfinite(image.image[np.hypot(x, y - 20) < 3]).all()


def test_more_components_than_frames_use_what_there_is():
    cube, angles = speckles(4), np.linspace(0, 90, 4)
    many, three = (
        reduce_cube(cube, angles, replace(SETTINGS, components=number)).image for number in (30, 3)
    )
    np.testing.assert_array_equal(many, three)


@pytest.mark.parametrize(
    ("frames", "angles", "changes", "message"),
    [
        (1, [0.0], {}, "a single frame"),
        (3, [5.0, 5.0, 365.0], {}, "position angle 5.000 deg: without rotation"),
        (3, [0.0, 1.0, 2.0], {}, "position angles span 2.00 deg"),
        (3, [0.0, 40.0], {}, "3 frames need as many finite position angles"),
        (3, [0.0, 40.0, np.nan], {}, "finite position angles"),
        (3, [0.0, 40.0, 80.0], {"mode": "rdi"}, "needs a library"),
        (
            3,
            [0.0, 40.0, 80.0],
            {"inner_radius_pixel": 90.0, "outer_radius_pixel": 99.0},
            "no pixel",
        ),
    ],
)
def test_what_cannot_be_reduced_is_refused_with_the_cause(frames, angles, changes, message):
    with pytest.raises(UnprocessableData, match=message):
        reduce_cube(speckles(frames), np.array(angles), replace(SETTINGS, **changes))


def test_shapes_that_do_not_fit_are_refused():
    cube = speckles(3)
    with pytest.raises(UnprocessableData, match="library frames have shape"):
        reduce_cube(cube, ANGLES[:3], replace(SETTINGS, mode="rdi"), cube[:, 1:])
    with pytest.raises(UnprocessableData, match="variance has shape"):
        reduce_cube(cube, ANGLES[:3], SETTINGS, variance=cube[1:])


@pytest.mark.parametrize("combination", ["mean", "weighted"])
def test_frames_of_nothing_give_an_image_of_nothing(combination):
    settings = replace(SETTINGS, combination=combination)
    image = reduce_cube(np.zeros((20, SIZE, SIZE), np.float32), ANGLES, settings).image
    assert not np.nan_to_num(image).any()
    empty = np.full((20, SIZE, SIZE), np.nan, np.float32)
    assert np.isnan(reduce_cube(empty, ANGLES, SETTINGS).image).all()
