import astropy.units as u
import numpy as np
import pytest

from csst_calib.stages.bad_pixels import flag_bad_pixels
from csst_calib.stages.find_bad_pixels import COLUMN, RESPONSE, UNSTABLE, find_bad_pixels
from csstcore.api import Image
from csstcore.notes import collecting

RATE = u.electron / u.s


@pytest.fixture
def references(make_image, rng, readout) -> dict[str, Image]:
    flat = make_image(rng.normal(1.0, 0.01, readout.shape), u.dimensionless_unscaled)
    return {"flat": flat, "dark": make_image(0.02, RATE), "bias": make_image(0.0)}


def darks(make_image, rng, readout, count=7) -> list[Image]:
    return [make_image(rng.normal(2.0, 5.2, readout.shape)) for _ in range(count)]


def test_good_detector_has_no_bad_pixels(make_image, rng, readout, references) -> None:
    mask = find_bad_pixels(darks(make_image, rng, readout), readout=readout, **references)
    assert np.count_nonzero(mask.flags) < 3


def test_response_unstable_and_column_are_told_apart(make_image, rng, readout, references) -> None:
    references["flat"].data[5, 9] = 0.4
    references["flat"].data[6, 9] = 1.6
    references["flat"].data[:64, 20] *= 0.8
    frames = darks(make_image, rng, readout)
    for image in frames:
        image.data[30, 40] = rng.normal(2.0, 60.0)
    frames[3].data[50, 50] = 5000.0
    with collecting() as notes:
        mask = find_bad_pixels(frames, readout=readout, **references)
    assert mask.data[5, 9] == mask.data[6, 9] == RESPONSE
    assert mask.data[30, 40] == UNSTABLE
    assert np.all(mask.data[:64, 20] & COLUMN)
    assert not mask.flagged("bad")[64:, 20].any()
    assert not mask.flagged("bad")[50, 50]
    assert notes.metrics["bad_column_pixels"] == 64


def test_column_that_is_mostly_bad_is_bad_as_a_whole(make_image, rng, readout, references) -> None:
    references["flat"].data[:64:2, 33] = 0.1
    mask = find_bad_pixels(darks(make_image, rng, readout), readout=readout, **references)
    assert mask.flagged("bad")[:64, 33].all()


def test_hot_and_warm_are_those_of_the_survey_exposure(
    make_image, rng, readout, references
) -> None:
    limit = 25.0 / 150.0
    references["dark"].data[3, :3] = (0.4 * limit, 0.6 * limit, 1.1 * limit)
    mask = find_bad_pixels(darks(make_image, rng, readout), readout=readout, **references)
    assert mask.flagged("warm")[3, :3].tolist() == [False, True, False]
    assert mask.flagged("hot")[3, :3].tolist() == [False, False, True]


def test_few_frames_are_a_caveat(make_image, rng, readout, references) -> None:
    with collecting() as notes:
        find_bad_pixels(darks(make_image, rng, readout, 3), readout=readout, **references)
    assert "3 dark frames do not tell unstable pixels" in notes.caveats[0]


def test_mask_adds_its_bad_pixels_to_an_image(make_image, readout, references) -> None:
    mask = make_image(0.0)
    where = np.zeros(readout.shape, np.bool_)
    where[4, 7] = True
    mask.set_flag("bad", where)
    mask.set_flag("hot", ~where)
    image = flag_bad_pixels(make_image(1.0), references["flat"], mask)
    assert np.array_equal(image.flagged("bad"), where)
    assert not image.flagged("hot").any()
