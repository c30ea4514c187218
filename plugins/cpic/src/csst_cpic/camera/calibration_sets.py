"""Frames of a calibration set by what they have in common, and their cosmic rays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, maximum_filter1d

from csst_cpic.camera.agreement import em_gain_of
from csst_cpic.detector import Detector
from csst_cpic.stages.cosmic_rays import flag_cosmic_rays
from csstcore.api import Image

MASKING = ("bad", "saturated", "cosmic_ray", "trail")
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


def by(value: Callable[[Image], float], images: Sequence[Image]) -> dict[float, list[Image]]:
    """Return the images by a value of theirs, in rising order."""
    ordered = sorted(images, key=value)
    return {number: list(members) for number, members in groupby(ordered, value)}


def clean_stack(
    frames: Sequence[Image], detector: Detector, *, dark: bool = False
) -> NDArray[np.float32]:
    """Return frames of one light without cosmic rays, shape (frames, rows, columns).

    Parameters
    ----------
    frames
        Of one EM gain and exposure time, in electron before multiplication.
    detector
        Of `flag_cosmic_rays`.
    dark
        Whether what little comes in the surroundings of cosmic rays, and in the register's
        tail behind bright ones, matters; it is left out then. The tail of a hot pixel stays: it
        is in every frame. What a saturated pixel spills into the next one goes too.

    Returns
    -------
    ndarray
        NaN where a pixel is hit, flagged or has no number.
    """
    masks = flag_cosmic_rays(frames, detector)
    stack = np.stack([np.asarray(frame.data, np.float32) for frame in frames])
    bright = detector.register_tail_electron / em_gain_of(frames[0])
    for plane, frame, mask in zip(stack, frames, masks, strict=True):
        names = [name for name in MASKING if name in frame.flag_bits]
        left_out = mask.mask | frame.flagged(*names) | ~np.isfinite(plane)
        if dark:
            around = binary_dilation(mask.mask, np.ones((3, 3), bool), MARGIN_PIXELS)
            source = mask.mask & (plane > bright)
            left_out |= (
                around | behind(source, tail_pixels(detector), 1) | behind(source, TRAIL_ROWS, 0)
            )
            left_out |= behind(frame.flagged("saturated"), 1 + SPILLED_PIXELS, 1)
        plane[left_out] = np.nan
    return stack


def tail_pixels(detector: Detector) -> int:
    """Return how many pixels after a bright one its tail in the register reaches."""
    return round(TAIL_LENGTHS * detector.register_tail_pixel)


def behind(bright: NDArray[np.bool_], pixels: int, axis: int) -> NDArray[np.bool_]:
    """Return the pixels that follow bright ones along an axis, less than `pixels` after them."""
    reach = maximum_filter1d(
        bright.view(np.uint8), pixels, axis=axis, origin=(pixels - 1) // 2, mode="constant"
    )
    return np.asarray(reach != 0) & ~bright
