"""The star without coronagraph, from frames with it anywhere."""

from __future__ import annotations

from collections.abc import Sequence

import astropy.units as u
import numpy as np
import pytest
from scipy.special import j1

from csst_cpic.planets.repeated import photon_variance, star_scales
from csst_cpic.stages.measure_star import measure_star
from csst_cpic.stages.orient_frames import orient_frames
from csst_cpic.star.star_width import fwhm
from csstcore.api import Cube, Image, Meta, Table, UnprocessableData, replace
from csstcore.notes import collecting

FWHM_PIXEL = 4.2


def star(
    x: float,
    y: float,
    size: int = 61,
    seconds: float | None = 2.0,
    fwhm_pixel: float = FWHM_PIXEL,
) -> Image:
    row, column = np.mgrid[:size, :size]
    radius = np.pi * 1.02899 / fwhm_pixel * np.hypot(column - x, row - y) + 1e-12
    data = 1000.0 * (2 * j1(radius) / radius) ** 2
    time = None if seconds is None else seconds * u.s
    return Image(data.astype(np.float32), u.electron, meta=Meta(exposure_time=time))


def test_the_mean_star_is_centred_and_per_second() -> None:
    with collecting() as notes:
        image = measure_star([star(30.3, 29.6), star(25.1, 33.8)], size_pixel=31)
    expected = star(15.0, 15.0, 31).data / 2.0
    assert image.data.shape == (31, 31)
    assert np.abs(image.data - expected).max() < 1e-3 * expected.max()
    assert image.unit == u.electron / u.s
    assert notes.metrics["star_fwhm"] == pytest.approx(FWHM_PIXEL, rel=2e-3)


def test_a_filter_makes_the_star_fainter() -> None:
    through = measure_star([star(30.0, 30.0)], transmission=0.01)
    assert through.data.max() == pytest.approx(1000.0 / 2.0 / 0.01, rel=1e-3)


def test_without_exposure_time_the_star_is_per_frame() -> None:
    image = measure_star([star(30.0, 30.0, seconds=None)])
    assert (image.unit, image.data.max()) == (u.electron, pytest.approx(1000.0, rel=1e-3))


def cube_of(seconds: float, unit: u.UnitBase = u.electron) -> tuple[Cube, Table]:
    frames = {"exposure_time": np.full(3, seconds) * u.s}
    return Cube(np.zeros((3, 9, 9), np.float32), unit), Table(frames)  # type: ignore[arg-type]


def test_the_star_counts_as_it_is_where_frames_have_no_exposure_time() -> None:
    """It was exposed for 2 s, 1000 counts at the peak: in a frame it would have as many."""
    image = measure_star([star(30.0, 30.0)])
    with collecting() as notes:
        scales = star_scales(*cube_of(np.nan), image)
    assert np.allclose(scales * image.data.max(), 1000.0, rtol=1e-3)
    assert "no exposure time" in str(notes.caveats)
    assert np.allclose(star_scales(*cube_of(6.0), image) * image.data.max(), 3000.0, rtol=1e-3)


def test_frames_of_which_only_some_have_an_exposure_time_are_refused() -> None:
    cube, frames = cube_of(6.0)
    frames.table["exposure_time"][1] = np.nan
    with pytest.raises(UnprocessableData, match="1 of 3 frames have no exposure time"):
        star_scales(cube, frames, measure_star([star(30.0, 30.0)]))


def test_an_exposure_time_of_zero_is_none() -> None:
    assert measure_star([star(30.0, 30.0, seconds=0.0)]).unit == u.electron


def test_frames_with_a_flag_in_the_core_are_left_out() -> None:
    saturated = star(30.0, 30.0)
    saturated.data[30, 30] = 5000.0
    saturated.set_flag("saturated", saturated.data > 900)
    with collecting() as notes:
        image = measure_star([saturated, star(30.2, 30.0)])
    assert image.data.max() == pytest.approx(500.0, rel=1e-3)
    assert "1 of 2 frames" in str(notes.caveats)
    with pytest.raises(UnprocessableData, match="none of 1 frames"):
        measure_star([saturated])


@pytest.mark.parametrize(
    ("fwhm_pixel", "off_pixel", "in_core"), [(11.0, 4, True), (2.2, 2, False), (4.2, 2, True)]
)
def test_the_core_is_as_wide_as_the_star(fwhm_pixel: float, off_pixel: int, in_core: bool) -> None:
    hit = star(30.0, 30.0, fwhm_pixel=fwhm_pixel)
    hit.set_flag("bad", np.indices(hit.shape)[1] == 30 + off_pixel)
    hit.flags[:30] = hit.flags[31:] = 0  # type: ignore[index]
    frames = [hit, star(30.0, 30.0, fwhm_pixel=fwhm_pixel)]
    with collecting() as notes:
        measure_star(frames)
    assert notes.metrics["star_frames"] == (1 if in_core else 2)


@pytest.mark.parametrize(
    "image", [Image(np.zeros((40, 40), np.float32)), Image(np.full((40, 40), np.nan, np.float32))]
)
def test_frames_without_star_are_refused(image: Image) -> None:
    with pytest.raises(UnprocessableData, match="none of 1 frames"):
        measure_star([image])


def test_a_star_at_the_border_is_refused() -> None:
    with pytest.raises(UnprocessableData, match="border"):
        measure_star([star(57.9, 30.0)])


def test_noise_has_no_width() -> None:
    assert np.isnan(fwhm(np.full((21, 21), -1.0, np.float32)))


def frame(angle: float | None, scale: float | None = None) -> Image:
    meta = Meta(
        position_angle=None if angle is None else angle * u.deg,
        pixel_scale=None if scale is None else scale * u.arcsec,
    )
    return Image(np.zeros((5, 5), np.float32), meta=meta)


def angles_of(frames: Sequence[Image | None]) -> list[float | None]:
    return [f and f.meta.position_angle.to_value(u.deg) for f in frames]


def test_angles_of_a_file_of_their_own_count_first() -> None:
    angles = Table({"position_angle": [10.0, -20.0] * u.deg})  # type: ignore[arg-type]
    frames = orient_frames([frame(1.0), frame(None)], angles, plate_scale_mas=27.2)
    assert angles_of(frames) == [10.0, 340.0]
    assert frames[0] is not None
    assert frames[0].meta.pixel_scale.to_value(u.mas) == pytest.approx(27.2)


def test_angles_can_grow_the_other_way_and_have_a_zero_point() -> None:
    turned = orient_frames([frame(30.0, 0.02)], angle_sign=-1, north_offset_deg=-2.5)
    assert angles_of(turned) == [327.5]


def test_the_gain_gives_counts_their_photon_noise() -> None:
    (oriented,) = orient_frames([frame(1.0, 0.02)], gain_electron_per_adu=4.0)
    assert oriented is not None
    counts = Cube(np.zeros((3, 9, 9), np.float32), u.adu, meta=oriented.meta)
    assert photon_variance(counts) == pytest.approx(0.25)
    assert photon_variance(replace(counts, meta=Meta())) == 0.0


def test_a_frame_without_an_angle_is_left_out_and_named() -> None:
    with collecting() as notes:
        frames = orient_frames([frame(1.0, 0.02), frame(np.nan, 0.02), frame(3.0, 0.02)])
    assert angles_of(frames) == [1.0, None, 3.0]
    assert notes.caveats == ["1 of 3 frames are left out, without an angle: 1"]


@pytest.mark.parametrize(
    ("frames", "angles", "why"),
    [
        ([frame(None, 0.02)], None, "have no angles"),
        ([frame(1.0)], None, "plate_scale_mas"),
        ([frame(1.0, 0.02)], [1.0, 2.0], "2 angles for 1 frames"),
        ([frame(np.nan, 0.02)], None, "have no angles"),
    ],
)
def test_what_is_missing_is_said(frames: list[Image], angles: list[float] | None, why: str) -> None:
    table = None if angles is None else Table({"position_angle": angles * u.deg})  # type: ignore[arg-type]
    with pytest.raises(UnprocessableData, match=why):
        orient_frames(frames, table)
