"""Cubes with angles as archives deliver them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from csst_cpic.adi_files import read_angles, read_cube
from csstcore.api import FileError
from csstcore.notes import collecting

ANGLES = [-10.0, 0.5, 20.0]
CUBE = np.arange(3 * 5 * 4, dtype=">f4").reshape(3, 5, 4)


def written(path: Path, second: Any = None, **cards: Any) -> Path:
    first = fits.PrimaryHDU(CUBE)
    for key, value in cards.items():
        first.header[key.replace("_", " ")] = value
    fits.HDUList([first, *([] if second is None else [second])]).writeto(path)
    return path


@pytest.mark.parametrize(
    "second",
    [
        fits.ImageHDU(np.array(ANGLES)),
        fits.BinTableHDU(Table({"FRAME": [1, 2, 3], "PARANG": ANGLES})),
        fits.BinTableHDU(Table({"whatever": ANGLES})),
    ],
)
def test_angles_in_the_second_unit(tmp_path: Path, second: Any) -> None:
    _, frames = read_cube(written(tmp_path / "star_cube.fits", second.copy(), EXPTIME=0.2))
    assert [frame.meta.position_angle.to_value(u.deg) for frame in frames] == ANGLES
    assert [frame.meta.frame for frame in frames] == [0, 1, 2]
    assert frames[1].data.tolist() == CUBE[1].tolist()
    assert frames[0].data.dtype == np.float32
    assert frames[0].meta.object == "star"
    assert frames[0].meta.exposure_time == 0.2 * u.s


def test_angles_from_the_header_are_between_start_and_end(tmp_path: Path) -> None:
    cards = {"HIERARCH_ESO_TEL_PARANG_START": 10.0, "HIERARCH_ESO_TEL_PARANG_END": 30.0}
    _, frames = read_cube(written(tmp_path / "star_cube.fits", **cards))
    assert [frame.meta.position_angle.to_value(u.deg) for frame in frames] == [10.0, 20.0, 30.0]


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [(145.0, -150.0, [145.0, 177.5, -150.0]), (-170.0, 160.0, [-170.0, 175.0, 160.0])],
)
def test_angles_that_cross_180_deg_take_the_short_way_and_say_so(
    tmp_path: Path, start: float, end: float, expected: list[float]
) -> None:
    cards = {"HIERARCH_ESO_TEL_PARANG_START": start, "HIERARCH_ESO_TEL_PARANG_END": end}
    path = written(tmp_path / "star_cube.fits", **cards)
    with collecting() as notes:
        _, frames = read_cube(path)
    found = [frame.meta.position_angle.to_value(u.deg) for frame in frames]
    assert np.allclose((np.subtract(found, expected) + 180) % 360, 180)
    assert "the short way" in str(notes.caveats)


def test_a_turn_of_less_than_half_a_circle_is_taken_as_it_is(tmp_path: Path) -> None:
    cards = {"HIERARCH_ESO_TEL_PARANG_START": -80.0, "HIERARCH_ESO_TEL_PARANG_END": 100.0}
    with collecting() as notes:
        _, frames = read_cube(written(tmp_path / "star_cube.fits", **cards))
    assert [f.meta.position_angle.to_value(u.deg) for f in frames] == [-80.0, 10.0, 100.0]
    assert not notes.caveats


def test_a_cube_may_come_without_angles(tmp_path: Path) -> None:
    header, frames = read_cube(written(tmp_path / "star_cube.fits"))
    assert header["NAXIS"] == 3
    assert [frame.meta.position_angle for frame in frames] == [None] * 3


def test_the_header_alone_has_no_frames(tmp_path: Path) -> None:
    assert read_cube(written(tmp_path / "star_cube.fits"), header_only=True)[1] == []


def test_values_that_are_no_numbers_are_flagged(tmp_path: Path) -> None:
    cube = CUBE.astype(np.float32)
    cube[1, 2, 3] = np.nan
    fits.PrimaryHDU(cube).writeto(tmp_path / "star_cube.fits")
    _, frames = read_cube(tmp_path / "star_cube.fits")
    assert [int(frame.flagged("bad").sum()) for frame in frames] == [0, 1, 0]


@pytest.mark.parametrize("name", ["star_angles.txt", "star_angles.fits"])
def test_angles_in_a_file_of_their_own(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if path.suffix == ".txt":
        path.write_text("# deg\n-10\n0.5\n20\n")
    else:
        fits.PrimaryHDU(np.array(ANGLES)).writeto(path)
    _, (table,) = read_angles(path)
    assert table.table["position_angle"].to_value(u.deg).tolist() == ANGLES


@pytest.mark.parametrize(
    "content",
    [
        "PARANG\n-10\n0.5\n20\n",
        "# of the night\nwhatever\n-10\n0.5\n20\n",
        "frame,PARANG,airmass\n1,-10,1.1\n2, 0.5,1.1\n3,20,1.2\n",
    ],
)
def test_a_text_may_have_a_line_of_names(tmp_path: Path, content: str) -> None:
    (tmp_path / "star_angles.csv").write_text(content)
    _, (table,) = read_angles(tmp_path / "star_angles.csv")
    assert table.table["position_angle"].to_value(u.deg).tolist() == ANGLES


def test_too_few_angles_are_an_error_with_the_file(tmp_path: Path) -> None:
    path = written(tmp_path / "star_cube.fits", fits.ImageHDU(np.array(ANGLES[:2])))
    with pytest.raises(FileError, match=r"star_cube.fits: found 2 angles, expected 3"):
        read_cube(path)


@pytest.mark.parametrize(
    "content", ["no number\n", "", "1 2\n3 4\n", "1,2\n3,4\n", "a,b\n1,2\n", "pa,b\n\n,2\n"]
)
def test_text_that_is_no_list_is_an_error_with_the_file(tmp_path: Path, content: str) -> None:
    (tmp_path / "star_angles.txt").write_text(content)
    with pytest.raises(FileError, match=r"star_angles.txt"):
        read_angles(tmp_path / "star_angles.txt")


def test_an_image_is_no_cube(tmp_path: Path) -> None:
    fits.PrimaryHDU(CUBE[0]).writeto(tmp_path / "star_cube.fits")
    with pytest.raises(FileError, match="three axes"):
        read_cube(tmp_path / "star_cube.fits")


def test_what_is_not_fits_is_an_error_with_the_file(tmp_path: Path) -> None:
    (tmp_path / "star_cube.fits").write_text("hello")
    with pytest.raises(FileError, match=r"star_cube.fits"):
        read_cube(tmp_path / "star_cube.fits")
