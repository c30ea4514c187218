"""Where the sky falls: the documented header, and the truth behind it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from csst_sim.direct import shipped
from csst_sim.focal_plane import field_offset, footprint
from csst_sim.settings import Optics
from csst_sim.shot import Shot
from csst_sim.sky import separation_deg

MakeShot = Callable[..., Shot]


@pytest.mark.parametrize(("detector", "crpix"), [(12, (-267, 14746)), (30, (29758, -15644))])
def test_reference_pixel_is_the_documented_one(
    make_shot: MakeShot, detector: int, crpix: tuple[float, float]
) -> None:
    wcs = make_shot(detector=detector, readout="9560x9264").placement.nominal
    assert tuple(wcs.wcs.crpix) == crpix


def test_cd_matrix_is_the_documented_one(make_shot: MakeShot) -> None:
    cd = make_shot().placement.nominal.wcs.cd
    documented = [
        [-8.17455836176e-06, -1.8860208370739e-05],
        [1.88602083707394e-05, -8.17455836176e-06],
    ]
    np.testing.assert_allclose(cd, documented, rtol=1e-4)


def test_without_distortion_and_error_the_truth_is_the_header(make_shot: MakeShot) -> None:
    shot = make_shot(effects={"distortion": False, "pointing_error": False})
    pixels = np.array([[1.0, 1.0], [576.0, 1.0], [300.0, 200.0]])
    ra, dec = shot.placement.nominal.wcs_pix2world(pixels, 1).T
    np.testing.assert_allclose(np.transpose(shot.placement.pixels(ra, dec)), pixels, atol=1e-5)


def test_distortion_reaches_the_documented_size(make_shot: MakeShot) -> None:
    """The largest displacement over the 18 imaging detectors is about 200 pixels."""
    largest = 0.0
    for detector in (6, 7, 13, 25):
        effects = {"pointing_error": False}
        placement = make_shot(detector=detector, readout="9560x9264", effects=effects).placement
        corners = np.array([[1.0, 1.0], [9216.0, 1.0], [1.0, 9232.0], [9216.0, 9232.0]])
        ra, dec = placement.nominal.wcs_pix2world(corners, 1).T
        x, y = placement.pixels(ra, dec)
        largest = max(largest, float(np.hypot(x - corners[:, 0], y - corners[:, 1]).max()))
    assert 150 < largest < 250


def test_pointing_error_is_of_the_exposure_not_of_the_detector(make_shot: MakeShot) -> None:
    first, second = make_shot(detector=7).placement, make_shot(detector=8).placement
    assert (first.ra_deg, first.dec_deg) == (second.ra_deg, second.dec_deg)
    offset = separation_deg(np.array([first.ra_deg]), np.array([first.dec_deg]), 180.0, 30.0)
    assert 0 < offset[0] * 3600 < 10


@pytest.mark.parametrize("detector", [6, 13, 25])
def test_footprint_covers_the_detector(make_shot: MakeShot, detector: int) -> None:
    shot = make_shot(detector=detector, readout="9560x9264")
    ra0, dec0, radius = footprint(
        shot.exposure, detector, shipped("msc_optics.toml", Optics), shot.readout
    )
    rng = np.random.default_rng(1)
    angle = rng.uniform(0, 2 * np.pi, 4000)
    dec = dec0 + 1.3 * radius * np.sqrt(rng.random(4000)) * np.sin(angle)
    ra = ra0 + 1.3 * radius * np.cos(angle) / np.cos(np.deg2rad(dec0))
    x, y = shot.placement.pixels(ra, dec)
    on_detector = (x > -60) & (x < 9276) & (y > -60) & (y < 9292)
    assert on_detector.sum() > 100
    assert (separation_deg(ra, dec, ra0, dec0)[on_detector] < radius).all()


def test_detectors_do_not_overlap() -> None:
    optics = shipped("msc_optics.toml", Optics)
    offsets = np.array([field_offset(detector, optics) for detector in range(1, 31)])
    apart = np.abs(offsets[:, None] - offsets[None])
    overlap = (apart[..., 0] < 9216) & (apart[..., 1] < 9232)
    assert overlap.sum() == 30
