"""What of memory products hold on to."""

from __future__ import annotations

import numpy as np

from csstcore.api import Image
from csstcore.products.planes import footprint, own, shared_planes
from csstcore.run.values import Series


def test_a_footprint_stands_for_its_product() -> None:
    data = np.zeros((2, 3), np.float32)
    image, other = Image(data), Image(data)
    held = footprint(other)
    assert shared_planes(image, [held]) == shared_planes(image, [other]) == {"data"}
    owned = own(image, [held])
    owned.data += 1
    assert not other.data.any()
    assert own(owned, [held]).data is owned.data


def test_a_series_knows_the_footprints_of_what_it_holds_now() -> None:
    series = Series("image", {0: Image(np.zeros((2, 2))), 1: Image(np.ones((2, 2))), 2: None})
    before = dict(series.footprints())
    assert set(before) == {0, 1}
    series.products.pop(0)
    series.products[1] = Image(np.ones((2, 2)))
    after = dict(series.footprints())
    assert set(after) == {1}
    assert after[1].spans != before[1].spans
