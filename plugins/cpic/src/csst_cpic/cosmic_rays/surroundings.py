"""Pixels that hold a little of a cosmic ray beside those that it hit."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, maximum_filter1d

from csst_cpic.camera.agreement import em_gain_of
from csst_cpic.detector import Detector
from csstcore.api import Image

MARGIN_PIXELS = 2
"""Around a cosmic ray, where single electrons of its cloud are no longer told from light."""
TAIL_LENGTHS = 5.0
"""After a bright hit in the direction of reading, of a register tail. It ends before the next row
is read."""
TRAIL_ROWS = 12
"""After a bright hit in its column, with what transfers left behind: the hit itself is cut where
the register is full, and `correct_cte` cannot know all of it."""
SPILLED_PIXELS = 1
"""After pixels that filled the register: the packet that takes the rest without being full."""


def surroundings(frame: Image, hit: NDArray[np.bool_], detector: Detector) -> NDArray[np.bool_]:
    """Return the pixels around cosmic rays, in their tails, and after saturated ones.

    Parameters
    ----------
    frame
        In electron before multiplication.
    hit
        Its cosmic rays.
    detector
        Charge from which the register leaves tails, and how long they are.

    Returns
    -------
    ndarray
        Shape of the frame; the hit pixels are in it.
    """
    bright = hit & (frame.data > detector.register_tail_electron / em_gain_of(frame))
    around = binary_dilation(hit, np.ones((3, 3), bool), MARGIN_PIXELS)
    around |= behind(bright, tail_pixels(detector), 1) | behind(bright, TRAIL_ROWS, 0)
    if "saturated" in frame.flag_bits:
        around |= behind(frame.flagged("saturated"), 1 + SPILLED_PIXELS, 1)
    return np.asarray(around)


def tail_pixels(detector: Detector) -> int:
    """Return how many pixels after a bright one its tail in the register reaches."""
    return round(TAIL_LENGTHS * detector.register_tail_pixel)


def behind(bright: NDArray[np.bool_], pixels: int, axis: int) -> NDArray[np.bool_]:
    """Return the pixels that follow bright ones along an axis, less than `pixels` after them."""
    reach = maximum_filter1d(
        bright.view(np.uint8), pixels, axis=axis, origin=(pixels - 1) // 2, mode="constant"
    )
    return np.asarray(reach != 0) & ~bright
