"""Stars and galaxies: flux, position and shape are what the truth says."""

from __future__ import annotations

from collections.abc import Callable

import astropy.units as u
import numpy as np
import pytest

from csst_sim.gaussians import add_gaussians
from csst_sim.psf import draw_psf, shapes
from csst_sim.sersic import gaussian_mixture
from csst_sim.shot import Shot
from csst_sim.stages.light import add_sky
from csst_sim.stages.scene import draw_scene
from csstcore.api import NotApplicable

MakeShot = Callable[..., Shot]


def _lone_star(make_shot: MakeShot, x: float, y: float, flux: float) -> np.ndarray:
    """Draw one star by the shot's PSF; positions 0-based."""
    shot = make_shot()
    image = np.zeros((401, 401), np.float32)
    psf = shapes(shot.psf, np.array([0.6]), np.array([-0.7]))
    add_gaussians(
        image,
        (x + psf.dx).ravel(),
        (y + psf.dy).ravel(),
        (flux * psf.fraction).ravel(),
        psf.fraction.ravel(),
        psf.xx.ravel(),
        psf.xy.ravel(),
        psf.yy.ravel(),
    )
    return image


@pytest.mark.parametrize(("dx", "dy"), [(0.0, 0.0), (0.5, 0.25), (0.13, 0.77)])
def test_star_has_its_flux_and_position(make_shot: MakeShot, dx: float, dy: float) -> None:
    image = _lone_star(make_shot, 200 + dx, 200 + dy, 1e5).astype(float)
    rows, columns = np.indices(image.shape)
    assert image.sum() == pytest.approx(1e5, rel=1e-4)
    assert (image * columns).sum() / image.sum() == pytest.approx(200 + dx, abs=0.002)
    assert (image * rows).sum() / image.sum() == pytest.approx(200 + dy, abs=0.002)


def test_width_of_the_psf_is_in_range_over_the_field(make_shot: MakeShot) -> None:
    """Full width of the drawn profile along x and y, from a finely sampled star."""
    shot = make_shot()
    rng = np.random.default_rng(1)
    psf = shapes(shot.psf, rng.uniform(-0.8, 0.8, 50), rng.uniform(-0.8, 0.8, 50))
    offset = np.linspace(-4, 4, 8001)
    for k in range(50):
        for center, variance in ((psf.dx[k], psf.xx[k]), (psf.dy[k], psf.yy[k])):
            peak = psf.fraction[k] / np.sqrt(psf.xx[k] * psf.yy[k])
            profile = (peak * np.exp(-0.5 * (offset[:, None] - center) ** 2 / variance)).sum(1)
            above = offset[profile > 0.5 * profile.max()]
            assert 1.93 < above[-1] - above[0] < 2.47


def test_psf_varies_over_the_field_unless_switched_off(make_shot: MakeShot) -> None:
    shot = make_shot()
    field = np.array([-0.5, 0.5])
    varying = shapes(shot.psf, field, field)
    constant = shapes(draw_psf(shot.optics, 1, False), field, field)
    assert np.ptp(varying.xx[:, 0]) > 0.005
    assert np.ptp(constant.xx[:, 0]) == 0
    assert not constant.xy.any()


@pytest.mark.parametrize(("index", "half_light"), [(1.0, 1.0), (4.0, 0.9)])
def test_mixture_follows_its_sersic_profile(index: float, half_light: float) -> None:
    """The half-light radius; that of n = 4 is smaller since the profile ends at 8 R."""
    fraction, sigma = gaussian_mixture(index)
    radius = np.linspace(0.01, 4, 1000)
    enclosed = (fraction * (1 - np.exp(-0.5 * (radius[:, None] / sigma) ** 2))).sum(1)
    assert fraction.sum() == pytest.approx(1.0)
    assert np.interp(0.5, enclosed, radius) == pytest.approx(half_light, rel=0.03)


def test_image_holds_the_flux_of_its_sources(make_shot: MakeShot) -> None:
    """With sources away from the edge, the sum of the image is the sum of the truth."""
    sky = {"stars_per_arcmin2": 40.0, "galaxies_per_arcmin2": 60.0, "star_g_mag": [17, 22]}
    shot = make_shot(sky=sky)
    image, truth = draw_scene(shot)
    total = truth.table["flux"].sum().value
    assert len(truth) > 30
    assert set(truth.table["type"]) == {"star", "galaxy"}
    # light crosses the edges both ways
    assert image.data.sum(dtype=float) == pytest.approx(total, rel=0.05)


def test_truth_follows_the_zero_point(make_shot: MakeShot) -> None:
    shot = make_shot()
    assert shot.filter is not None
    table = draw_scene(shot)[1].table
    expected = 10 ** (0.4 * (shot.filter.zero_point - table["mag"].value))
    np.testing.assert_allclose(table["flux"].to_value(u.electron / u.s), expected)


def test_throughput_dims_stars_galaxies_and_sky(make_shot: MakeShot) -> None:
    sky = {"stars_per_arcmin2": 20.0, "galaxies_per_arcmin2": 20.0}
    clear, dim = (make_shot(sky=sky, throughput=throughput) for throughput in (1.0, 0.9))
    bright, faint = draw_scene(clear)[1].table, draw_scene(dim)[1].table
    np.testing.assert_array_equal(bright["mag"], faint["mag"])
    np.testing.assert_allclose(faint["flux"] / bright["flux"], 0.9)
    images = [add_sky(draw_scene(shot)[0], shot).data for shot in (clear, dim)]
    np.testing.assert_allclose(images[1] / images[0], 0.9, rtol=1e-5)


def test_bright_stars_lie_where_the_truth_says(make_shot: MakeShot) -> None:
    """Centroid of isolated bright stars, 1-based."""
    sky = {"stars_per_arcmin2": 20.0, "galaxies_per_arcmin2": 0.0, "star_g_mag": [17, 19]}
    image, truth = draw_scene(make_shot(sky=sky))
    x, y = truth.table["x"].value, truth.table["y"].value
    tested = 0
    for k in range(len(x)):
        distance = np.hypot(x - x[k], y - y[k])
        inside = 45 < x[k] < 530 and 45 < y[k] < 530
        if not inside or np.sort(distance)[1] < 110:
            continue
        column, row = round(x[k]) - 1, round(y[k]) - 1
        cut = image.data[row - 40 : row + 41, column - 40 : column + 41].astype(float)
        rows, columns = np.indices(cut.shape)
        assert (cut * columns).sum() / cut.sum() + column - 39 == pytest.approx(x[k], abs=0.01)
        assert (cut * rows).sum() / cut.sum() + row - 39 == pytest.approx(y[k], abs=0.01)
        tested += 1
    assert tested >= 1


def test_slitless_detector_is_not_applicable(make_shot: MakeShot) -> None:
    with pytest.raises(NotApplicable, match="slitless"):
        draw_scene(make_shot(detector=1))


def test_saturated_flag_marks_bright_stars_only(make_shot: MakeShot) -> None:
    table = draw_scene(make_shot(sky={"stars_per_arcmin2": 200.0, "star_g_mag": [14, 24]}))[1].table
    stars = table[(table["type"] == "star")]
    assert stars["saturated"].any()
    assert stars["mag"][stars["saturated"]].max() < 19 * u.mag
    assert stars["saturated"][stars["mag"] < 15.5 * u.mag].all()
