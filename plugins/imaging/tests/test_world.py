"""`set_wcs`."""

from __future__ import annotations

import numpy as np

from csst_imaging.position.tpv import tangent_wcs
from csst_imaging.stages.world import set_wcs
from csstcore.api import Image, Wcs


def test_planes_are_shared_and_the_input_keeps_its_coordinates():
    image = Image(np.zeros((4, 4), np.float32))
    wcs = Wcs(tangent_wcs((2.0, 2.0), 10.0, 20.0, np.eye(2) * 1e-5))
    result = set_wcs(image, wcs)
    assert result.wcs is wcs.wcs
    assert result.data is image.data
    assert image.wcs is None
