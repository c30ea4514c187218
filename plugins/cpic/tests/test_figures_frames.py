"""Pictures of frames."""

from __future__ import annotations

import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable

from csst_cpic.figures_frames import coadded_frames, star_places
from csstcore.api import Image, NotApplicable, Table


def frames(number):
    """The columns of a table of frames that are drawn."""
    place = 20 + np.arange(number) * 0.1
    return Table(
        QTable(
            {
                "plane": np.arange(number),
                "x": place * u.pix,
                "y": -place * u.pix,
                "position_angle": place * u.deg,
            }
        )
    )


@pytest.mark.parametrize("number", [1, 12])
def test_stars_are_drawn_where_they_are(number):
    left, right = star_places(frames(number)).axes[:2]
    assert left.collections[0].get_offsets()[0].tolist() == [20.0, -20.0]
    assert left.get_xlim()[0] < 20 < left.get_xlim()[1]
    assert len(right.lines[0].get_xdata()) == number


def test_a_coadded_image_is_drawn_with_north_up():
    data = np.full((31, 31), np.nan, np.float32)
    data[5:25, 5:25] = np.random.default_rng(1).normal(0, 1, (20, 20))
    data[15, 15] = 1e5
    image = coadded_frames(Image(data, u.electron)).axes[0].images[0]
    assert image.origin == "lower"
    assert image.get_array().max() == image.get_array()[15, 15]
    coadded_frames(Image(np.zeros((9, 9), np.float32)))


def test_nothing_is_not_drawn():
    with pytest.raises(NotApplicable):
        star_places(frames(0))
    with pytest.raises(NotApplicable):
        coadded_frames(Image(np.full((9, 9), np.nan, np.float32)))
