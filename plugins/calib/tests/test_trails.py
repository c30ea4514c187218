"""Trails of satellites in noise with stars, against where they were put."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from csst_calib.satellite_trails.radon import find_lines
from csst_calib.stages.trails import flag_trails
from csstcore.api import Image, UnprocessableData
from csstcore.notes import collecting

SIZE = 1500
NOISE = 8.0
Plane = NDArray[np.float32]


def sky(seed: int = 1, stars: int = 400) -> Plane:
    """Noise with stars, galaxies and short tracks."""
    rng = np.random.default_rng(seed)
    image = rng.normal(40.0, NOISE, (SIZE, SIZE)).astype(np.float32)
    for _ in range(stars):
        x, y = rng.integers(20, SIZE - 20, 2)
        flux = 10 ** rng.uniform(2.0, 5.5)
        width, stretch = rng.choice([1.0, 1.0, 3.0]), rng.uniform(0.3, 1.0)
        dy, dx = np.mgrid[-20:21, -20:21]
        angle = rng.uniform(0, np.pi)
        u, v = dx * np.cos(angle) + dy * np.sin(angle), dy * np.cos(angle) - dx * np.sin(angle)
        spot = np.exp(-0.5 * ((u / width) ** 2 + (v / width / stretch) ** 2))
        image[y - 20 : y + 21, x - 20 : x + 21] += flux / spot.sum() * spot
    return image


def line(x: float, y: float, degree: float, width: float, bend: float = 0.0) -> Plane:
    """A trail through (x, y) of unit height, `bend` pixels off at 1000 pixels."""
    row, column = np.mgrid[:SIZE, :SIZE].astype(np.float32)
    ux, uy = np.cos(np.radians(degree)), np.sin(np.radians(degree))
    along = (column - x) * ux + (row - y) * uy
    across = (row - y) * ux - (column - x) * uy - bend * (along / 1000) ** 2
    return np.exp(-0.5 * (across / width) ** 2).astype(np.float32)


def found(data: Plane, **parameters: int) -> tuple[NDArray[np.bool_], int]:
    image = Image(data)
    image.set_flag("saturated", data > 50000.0)
    with collecting() as notes:
        image = flag_trails(image, **parameters)
    return image.flagged("trail"), int(notes.metrics["trails"])


@pytest.mark.parametrize(
    ("degree", "width", "bend", "height"),
    [
        (33.0, 1.0, 0.0, 5.0),
        (120.0, 1.0, 4.0, 400.0),
        (80.0, 5.0, 0.0, 4.0),
        (10.0, 15.0, 0.0, 4.0),
        (158.0, 2.0, -6.0, 20.0),
        (90.0, 1.0, 0.0, 30.0),
        (0.0, 2.0, 0.0, 30.0),
    ],
)
def test_a_trail_is_masked_where_it_is_brighter_than_the_noise_and_not_far_beyond(
    degree: float, width: float, bend: float, height: float
) -> None:
    trail = height * line(700.0, 650.0, degree, width, bend)
    flagged, count = found(sky() + trail)
    assert count == 1
    assert np.mean(flagged[trail > 0.3 * NOISE]) > 0.99
    assert np.mean(flagged[trail > 0.5 * height]) > 0.97
    assert np.mean(trail[flagged] > 1e-4 * height) > 0.7


def test_significance_decides_whether_a_faint_trail_is_found() -> None:
    trail = line(700.0, 650.0, 63.0, 1.0)
    unit = float(np.sqrt((trail**2).sum())) / NOISE
    assert found(sky() + trail * (25.0 / unit))[1] == 1
    assert found(sky() + trail * (3.0 / unit))[1] == 0


def test_a_tumbling_satellite_is_masked_whole() -> None:
    trail = line(700.0, 650.0, 40.0, 2.0)
    row, column = np.mgrid[:SIZE, :SIZE]
    along = column * np.cos(np.radians(40)) + row * np.sin(np.radians(40))
    trail *= (1.0 + 0.95 * np.cos(along / 60.0)).astype(np.float32)
    flagged, count = found(sky() + 15.0 * trail)
    assert count == 1
    assert np.mean(flagged[15.0 * trail > 0.5 * NOISE]) > 0.98


def test_crossing_trails_are_all_found() -> None:
    data = sky()
    for degree, height in ((20.0, 8.0), (75.0, 40.0), (140.0, 15.0)):
        data += height * line(760.0, 720.0, degree, 1.5)
    assert found(data)[1] == 3


def test_a_trail_that_ends_in_the_frame_is_masked_to_its_end() -> None:
    trail = line(750.0, 750.0, 30.0, 1.5)
    row, column = np.mgrid[:SIZE, :SIZE]
    beyond = (column - 750) * np.cos(np.radians(30)) + (row - 750) * np.sin(np.radians(30)) > 0
    flagged, count = found(sky() + np.where(beyond, 0, 20.0 * trail).astype(np.float32))
    assert count == 1
    assert np.mean(flagged[~beyond & (trail > 0.3)]) > 0.98
    assert np.mean(flagged[beyond & (trail > 0.3)]) < 0.25


def empty(data: Plane) -> Plane:
    return data


def columns(data: Plane) -> Plane:
    """Charge that bled along a column, and a column of low response."""
    data[300:900, 500:504] = 60000.0
    data[100:600, 1100] -= 20.0
    return data


def edge_on_galaxies(data: Plane) -> Plane:
    for x, y, degree, length in ((400, 400, 25, 25), (1000, 900, 140, 40), (700, 1100, 75, 30)):
        row, column = np.mgrid[:SIZE, :SIZE]
        ux, uy = np.cos(np.radians(degree)), np.sin(np.radians(degree))
        along, across = (column - x) * ux + (row - y) * uy, (row - y) * ux - (column - x) * uy
        data += (3000 * np.exp(-np.hypot(along / length, across / 4.0))).astype(np.float32)
    return data


def long_tracks(data: Plane) -> Plane:
    rng = np.random.default_rng(8)
    for _ in range(30):
        x, y, degree = *rng.uniform(200, 1300, 2), rng.uniform(0, 180)
        for step in np.arange(rng.uniform(20, 300)):
            column = int(x + step * np.cos(np.radians(degree)))
            row = int(y + step * np.sin(np.radians(degree)))
            if 0 <= row < SIZE and 0 <= column < SIZE:
                data[row, column] += 200.0
    return data


def bright_star(data: Plane) -> Plane:
    row, column = np.mgrid[:SIZE, :SIZE]
    square = (row - 600.0) ** 2 + (column - 800.0) ** 2
    return data + (2e5 / (1.0 + square / 9.0) ** 1.3).astype(np.float32)


def gradient_and_drift(data: Plane) -> Plane:
    row, column = np.mgrid[:SIZE, :SIZE]
    drift = np.sin(np.arange(SIZE) / 25.0)[:, None] * 0.1 * NOISE
    return data + (30.0 * (row / SIZE) ** 2 + 20.0 * column / SIZE + drift).astype(np.float32)


@pytest.mark.parametrize(
    "spoil", [empty, columns, edge_on_galaxies, long_tracks, bright_star, gradient_and_drift]
)
def test_what_is_no_trail_is_not_flagged(spoil: Callable[[Plane], Plane]) -> None:
    for seed in range(2):
        assert found(spoil(sky(seed)))[1] == 0


def crowd(seed: int, side: int = 576) -> Plane:
    """A small frame with a hundred stars whose wings are wide, as of the survey camera."""
    rng = np.random.default_rng(seed)
    image = rng.normal(40.0, NOISE, (side, side))
    places, flux = rng.uniform(0, side, (2, 100, 1)), 10 ** rng.uniform(4.0, 6.0, (100, 1))
    for share, width in ((0.9, 0.95), (0.08, 2.0), (0.018, 5.0), (0.002, 15.0)):
        row, column = np.exp(-0.5 * ((np.arange(side) - places) / width) ** 2)
        image += (flux * share / (2 * np.pi * width**2) * row).T @ column
    return image.astype(np.float32)


def test_chance_alignments_of_stars_in_small_crowded_frames_are_no_trails() -> None:
    assert [seed for seed in range(30) if found(crowd(seed))[1]] == []


def test_a_trail_through_a_small_crowded_frame_is_found() -> None:
    for seed in range(3):
        trail = 0.8 * NOISE * line(300.0, 280.0, 30.0 + 40.0 * seed, 1.5)[:576, :576]
        flagged, count = found(crowd(seed) + trail)
        assert count == 1
        assert np.mean(flagged[trail > 0.3 * NOISE]) > 0.7  # its ends may be lost


def test_frames_without_information_have_no_trails() -> None:
    for data in (np.zeros((300, 200)), np.full((300, 200), np.nan), np.zeros((1, 1))):
        flagged, count = found(data.astype(np.float32))
        assert count == 0
        assert not flagged.any()
    image = Image(sky())
    image.set_flag("bad", np.ones(image.shape, np.bool_))
    assert not flag_trails(image).flagged("trail").any()


def test_an_image_without_the_flag_is_refused() -> None:
    image = Image(np.zeros((9, 9), np.float32), flag_bits={"bad": 1})
    with pytest.raises(UnprocessableData, match="no flag 'trail'; it has bad"):
        flag_trails(image)


def test_sums_along_lines_are_those_of_numpy() -> None:
    signal = np.random.default_rng(3).standard_normal((60, 70)).astype(np.float32)
    signal[np.arange(60), 12 + np.arange(60) // 2] += 3.0
    (best, *_) = find_lines(signal, 3.0, 20)
    row = np.arange(60)
    column = np.rint(best.start[0] + (best.end[0] - best.start[0]) * row / 59).astype(int)
    assert best.width == 1
    plain = signal[row, column].sum() / np.sqrt(60)
    assert best.signal_to_noise == pytest.approx(plain, rel=0.15)
    assert best.start[0] == pytest.approx(12.0, abs=1.0)
    assert best.end[0] == pytest.approx(41.5, abs=1.5)
