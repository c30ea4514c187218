import numpy as np
import pytest

from csst_calib.stages.measure_shutter import measure_shutter
from csst_calib.stages.shutter import correct_shutter
from csstcore.api import UnprocessableData
from csstcore.notes import collecting

TIMES = (0.5, 1.0, 10.0, 30.0)


@pytest.fixture
def travel(readout) -> np.ndarray:
    """Offset of a blade that is late at the top, and slanted; in s."""
    y, x = (np.linspace(-1, 1, n) for n in readout.shape)
    return 0.02 + 0.015 * y[:, None] ** 2 + 0.005 * x


def expose(make_image, rng, travel, seconds):
    pattern = np.random.default_rng(3).normal(1.0, 0.01, travel.shape)
    return make_image(rng.poisson(2000.0 * pattern * (seconds + travel)), seconds=seconds)


def test_map_is_the_travel_within_its_errors(make_image, rng, readout, travel) -> None:
    flats = [expose(make_image, rng, travel, t) for t in TIMES for _ in range(3)]
    shutter = measure_shutter(flats, cell_pixel=24)
    error = shutter.data - travel
    assert np.abs(error).max() < 6 * np.sqrt(shutter.variance.max())
    assert error.std() < 1.3 * np.sqrt(shutter.variance.mean())
    short = expose(make_image, rng, travel, 0.5)
    corrected = correct_shutter(short, shutter).data
    halves = corrected[:20].mean() / corrected[90:110].mean()
    assert halves == pytest.approx(1.0, abs=2e-3)


def test_linear_travel_is_exact_up_to_the_edges(make_image, readout) -> None:
    y = np.linspace(-1, 1, readout.shape[0])[:, None] * np.ones(readout.shape[1])
    flats = [make_image(5000.0 * (t + 0.02 + 0.01 * y), seconds=t) for t in TIMES]
    shutter = measure_shutter(flats, cell_pixel=16)
    assert shutter.data == pytest.approx(0.02 + 0.01 * y, abs=2e-5)


def test_small_range_of_times_is_a_caveat(make_image, travel) -> None:
    with collecting() as notes:
        measure_shutter([make_image(2000.0 * (t + travel), seconds=t) for t in (1.0, 4.0)])
    assert "span a factor of 4 only" in notes.caveats[0]


def test_one_exposure_time_is_refused(make_image) -> None:
    with pytest.raises(UnprocessableData, match="1 exposure times; expected at least 2"):
        measure_shutter([make_image(100.0), make_image(100.0)])


def test_saturated_frames_are_left_out(make_image, readout) -> None:
    flats = [make_image(1000.0 * t, seconds=t) for t in TIMES]
    full = make_image(60000.0, seconds=90.0)
    full.set_flag("saturated", np.ones(readout.shape, np.bool_))
    assert measure_shutter([*flats, full]).data == pytest.approx(0.0, abs=1e-5)
